"""A loss, a norm and a parameterisation of one's own, in a module outside the package, through every room."""

import importlib
import json
import sys

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.flow.integrate import resume
from marginflow.losses import LOSSES
from marginflow.model.registry import PARAMETERIZATIONS
from marginflow.norms.registry import _NAMED
from marginflow.report.build import build_report
from marginflow.svm.referee.verify import verify_saved
from marginflow.svm.solve import SOLVERS


MODULE = '''
from dataclasses import dataclass, field

import numpy as np

import marginflow as mf
from marginflow.model.combined import Combined
from marginflow.losses import AbstractLoss
from marginflow.norms import AbstractNorm, Frobenius
from marginflow.svm.candidate import Candidate


@dataclass(frozen=True)
class Sigmoid(AbstractLoss):
    """l(u) = 1 / (1 + e^u): bounded, and not convex."""

    word: str = field(default="sigmoid", init=False)
    convex: bool = field(default=False, init=False)

    def log_value(self, u):
        return -np.logaddexp(0.0, u)

    def log_slope(self, u):
        return -np.logaddexp(0.0, u) - np.logaddexp(0.0, -u)

    def curvature(self, u):
        return np.tanh(u / 2)

    def log_gain(self, u, log_expm1, offset):
        # l(u - delta) - l(u) = e^u (1 - e^-delta) / ((1 + e^u)(1 + e^(u - delta))), with e^delta = 1 + e^log_expm1
        delta = np.logaddexp(0.0, log_expm1 + offset)
        return u + log_expm1 - delta - np.logaddexp(0.0, u) - np.logaddexp(0.0, u - delta)


@dataclass(frozen=True)
class Doubled(AbstractNorm):
    """N(W) = 2 |W|_F, with the dual |M|_F / 2."""

    name: str = field(default="doubled", init=False)
    diagonal: bool = field(default=False, init=False)
    strictly_convex: bool = field(default=True, init=False)

    def value(self, W):
        return 2.0 * Frobenius().value(W)

    def dual_value(self, M):
        return Frobenius().value(M) / 2.0

    def value_upper(self, W):
        return 2.0 * Frobenius().value_upper(W)

    def dual_upper(self, M, error=None):
        return Frobenius().dual_upper(M, error) / 2.0


def solve_doubled(svm, tol, *, progress=None, start=None):
    found = mf.solve(svm.constraints, "frobenius", tol)
    return Candidate(found.W, found.dual)


@dataclass(frozen=True)
class Twice(Combined):
    """W again, said to lead to the norm above."""

    word: str = field(default="twice", init=False)
    flow_norm: str = field(default="doubled", init=False)
'''


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    (folder / "of_their_own.py").write_text(MODULE)
    before = [(table, dict(table)) for table in (LOSSES, PARAMETERIZATIONS, _NAMED, SOLVERS)]
    sys.path.insert(0, str(folder))
    module = importlib.import_module("of_their_own")
    mf.register(module.Sigmoid)
    mf.register(module.Doubled(), solver=module.solve_doubled)
    mf.register(module.Twice)
    yield module
    sys.path.remove(str(folder))
    for table, was in before:
        table.clear()
        table.update(was)


def through_every_room(path, tmp_path, capsys):
    table = mf.diagnose(path)
    assert np.isfinite(table["margin"]).all() and np.isfinite(table["alignment_force"][-1])
    path.save(tmp_path / "run.npz")
    back = mf.Trajectory.load(tmp_path / "run.npz")
    assert back.loss == path.loss and back.parameterization == path.parameterization
    np.testing.assert_array_equal(back.W(), path.W())
    assert build_report([back], tmp_path / "page.html") > 10_000
    assert main(["describe", str(tmp_path / "run.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    return back


def test_a_loss(own, tmp_path, capsys):
    """Its late constant is that of theory 5.6 with its own slope at the optimum, which nothing but the loss says."""
    problem = mf.load("sphere:n=3,T=3,d=6,seed=2")
    path = mf.integrate(problem, mf.Combined(), loss="sigmoid", until_margin=100.0)
    back = through_every_room(path, tmp_path, capsys)
    assert "--loss sigmoid" in back.method.command
    assert len(resume(back, until_margin=200.0)) > len(path)
    from marginflow.diagnostics.rates import log_prefactors

    c = problem.constraints()
    late = np.logaddexp.reduce(log_prefactors(problem, c, own.Sigmoid()) - path.at(-1).margins)
    assert path.log_excess[-1] == pytest.approx(late, abs=1e-8)


def test_a_loss_that_is_not_convex_has_no_barrier(own):
    """Below the excess where the theorem speaks for convex losses, the sentence is not said."""
    path = mf.integrate("sphere:n=3,T=3,d=6,seed=2", "w", loss=own.Sigmoid(), until_margin=1e4)
    assert path.status.name == "undecided" and path.verdict.log_barrier == -np.inf
    assert mf.integrate("sphere:n=3,T=3,d=6,seed=2", "w", until_margin=1e4).status.name == "minimal_loss"


def test_a_norm(own, tmp_path):
    problem = mf.load("sphere:n=3,T=3,d=6,seed=2")
    solution, plain = mf.solve(problem, "doubled"), mf.solve(problem, "frobenius")
    assert solution.status is mf.SvmStatus.optimal and solution.unique is True
    assert 2 * plain.certificate.lower == pytest.approx(solution.value, rel=1e-9)
    assert solution.certificate.lower <= 2 * plain.certificate.upper
    assert 2 * plain.certificate.lower <= solution.certificate.upper
    solution.save(tmp_path / "s.npz")
    back = mf.Solution.load(tmp_path / "s.npz")
    assert (back.status, back.value, back.norm.name) == (solution.status, solution.value, "doubled")
    with pytest.raises(
        mf.InputError, match="under doubled; expected nuclear, operator, frobenius, cut or one of single"
    ):
        verify_saved(tmp_path / "s.npz")
    path = mf.integrate(problem, mf.Combined(), until_margin=1e4)
    assert mf.diagnose(path, [solution])["value_ratio_doubled"][-1] == pytest.approx(1.0, abs=1e-3)


def test_a_parameterisation_that_leads_to_ones_own_norm(own, tmp_path, capsys):
    path = mf.integrate("sphere:n=3,T=3,d=6,seed=2", "twice", until_margin=1e4)
    back = through_every_room(path, tmp_path, capsys)
    assert back.norm == back.method.norm == "doubled" and back.status.name == "minimal_loss"
    assert "--parameterization twice" in back.method.command
    assert "doubled" in (tmp_path / "page.html").read_text()


def test_words_of_ours_and_other_things_are_refused(own):
    class Exponential(own.Sigmoid):
        word = "exponential"

    class Nuclear(own.Doubled):
        name = "nuclear"

    for thing, solver in (
        (Exponential, None),
        (Nuclear(), own.solve_doubled),
        (own.Doubled(), None),
        (own.Sigmoid, own.solve_doubled),
        (3, None),
        (dict, None),
    ):
        with pytest.raises(InputError, match="register: got"):
            mf.register(thing, solver=solver)
