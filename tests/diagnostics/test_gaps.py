"""The gap of a run in each norm: what has none says why."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.diagnostics.gaps import gaps


@pytest.fixture(scope="module")
def run():
    draw = np.random.default_rng(0)
    problem = mf.Problem(draw.standard_normal((3, 4, 5)), draw.standard_normal((3, 3)), draw.standard_normal((3, 4)))
    return mf.descend(problem, "w", "gd", iterations=400)


@pytest.mark.parametrize(("norm", "why"), [("nope", "got 'nope'"), ("lp:x", "expected lp:P"), ("l1", "5 and queries")])
def test_a_norm_without_a_gap_says_why_and_hides_no_other(run, norm, why):
    found = gaps(run, norms=(norm, "frobenius"))
    assert why in found[norm].reason and np.isnan(found[norm].values).all() and np.isnan(found[norm].least)
    least = mf.solve(run.problem, "frobenius").certificate.lower
    margins = run.problem.constraints().margins(run.W(-1))
    expected = np.linalg.norm(run.W(-1)) / margins.min() / least - 1.0
    assert found["frobenius"].values[0] == pytest.approx(expected, rel=1e-12)
