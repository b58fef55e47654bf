"""Which bounds are asked for: none that cannot tell a trap, and in passing none that it is in vain to ask again."""

from dataclasses import replace

import numpy as np
import pytest

import marginflow as mf
from marginflow.selection import holding, stability
from marginflow.selection.holding import Holding
from marginflow.selection.judge import Judge
from marginflow.selection.trap import Confinement, Hold, Part


def line_up(better):
    """One query 1; token 0 at 0 is selected, and the A_l of a worse and of a better token are (1, 0) and this."""
    tokens = [np.zeros(2), np.array([-1.0, 0.0]), -np.array(better)]
    return mf.Problem([tokens], np.ones((1, 1)), [[0.0, -1.0, 1.0]])


def counted(monkeypatch, module, name, answer=None):
    """The calls of a function from here on; it answers as before, or what is given."""
    calls, before = [], getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a: calls.append(a) or (before(*a) if answer is None else answer))
    return calls


def judged(better, W, **options):
    """The verdict on a run that stands at these weights."""
    path = mf.integrate(line_up(better), "w", init=np.array(W)[:, None], until_margin=W[0] + 1e-3)
    judge = Judge(path.problem, path.parameterization, path.loss)
    return judge(path.snapshots, None, **options)


def test_no_bound_is_sought_of_tokens_that_are_left(monkeypatch):
    asked = counted(monkeypatch, holding, "hold")
    assert "will be left" in judged((0.9, 0.5), [2000.0, 800.0]).reason and not asked
    assert judged((1.2, 0.5), [2000.0, 800.0]).status is mf.FlowStatus.trapped


@pytest.mark.parametrize("in_passing, better, solved", [(True, 1.009, 0), (True, 1.011, 1), (False, 1.009, 1)])
def test_in_passing_no_svm_is_solved_while_a_better_token_is_as_near_as_worse_ones(
    monkeypatch, in_passing, better, solved
):
    """A lead of 18 over the least margin 2,000 is less than any bound could show to be enough; one of 22 is not."""
    asked = counted(monkeypatch, stability, "decide")
    judged((better, 0.0), [2000.0, 0.0])
    asked.clear()
    verdict = judged((better, 0.0), [2000.0, 0.0], in_passing=in_passing)
    # The run itself is judged once, at its end.
    assert len(asked) == 1 + solved
    assert verdict.status is (mf.FlowStatus.trapped if better > 1.01 else mf.FlowStatus.undecided)


def test_a_bound_that_fell_short_is_sought_again_where_it_may_not(monkeypatch):
    """From 1.2 at the SVM it lost .7 at an excess of 1 %, so half of .7 sqrt(excess / 1 %) is lost for certain."""
    problem = line_up((1.2, 0.5))
    solution = mf.solve(problem, "nuclear", 1e-9, [0], against="worse")
    part = Part(problem, {}, solution, np.array([0]), np.zeros(1), np.array([2000.0]))
    asked = counted(monkeypatch, holding, "hold", Hold(False, 0.5, "short"))
    ask, bounds = Holding(mf.KeyQuery(1)), Confinement(2e3, 1.01, 1.01, 0.0, 2e3)
    assert not ask([part], [bounds], True).holds
    before = (0.2 / 0.35) ** 2 * 0.01
    assert ask([part], [replace(bounds, reach=1.0 + 1.01 * before)], True) is None and len(asked) == 1
    assert ask([part], [replace(bounds, reach=1.0 + 0.99 * before)], True) is not None and len(asked) == 2
    assert ask([part], [bounds], False) is not None and len(asked) == 3
    assert ask([replace(part, solution=replace(solution))], [bounds], True) is not None and len(asked) == 4
