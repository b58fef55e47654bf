"""l_p below its door: optimality from its own first-order conditions, limits, and central points of the power cones."""

import numpy as np
import pytest

from marginflow.norms import Lp
from marginflow.problem.constraints import Constraints
from marginflow.svm.diagonal.lp import solve_lp
from marginflow.svm.diagonal.power_cone import power_cone
from marginflow.svm.program import Svm


def rows_of(seed, C=6, d=4):
    draw = np.random.default_rng(seed)
    beta = draw.standard_normal(d)
    R = draw.standard_normal((C, d))
    R *= np.sign(R @ beta)[:, None]
    return Constraints(R, np.arange(C), np.ones((C, d))), beta


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p", [1.25, 1.75, 3.0, 12.0, 60.0])
def test_the_gradient_of_the_norm_is_a_combination_of_active_rows(p, seed):
    rows, _ = rows_of(seed)
    norm, R = Lp(p), rows.diagonal
    found = solve_lp(Svm(rows, norm), 1e-9)
    beta = found.W / (R @ found.W).min()
    lam = found.dual / norm.dual_value(found.dual @ R)
    assert norm.value(beta) == pytest.approx(lam.sum(), rel=1e-7)
    gradient = np.sign(beta) * np.abs(beta) ** (p - 1) / norm.value(beta) ** (p - 1)
    np.testing.assert_allclose(lam @ R, gradient, atol=2e-3)
    assert (lam * (R @ beta - 1)).max() < 1e-6


def test_between_its_neighbours():
    """|.|_p falls in p, so the least values do; and p = 2 is the Euclidean one."""
    rows, _ = rows_of(7)
    R = rows.diagonal
    values = []
    for p in (1.2, 1.5, 3.0, 6.0, 40.0):
        W = solve_lp(Svm(rows, Lp(p)), 1e-9).W
        values.append(Lp(p).value(W) / (R @ W).min())
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("p", [20.0, 300.0])
def test_central_points_close_their_gap_tenfold(p):
    """Every yielded pair is feasible, and its bounds come together whatever p is."""
    rows, beta = rows_of(2)
    R = rows.diagonal
    h, norm = np.ones(len(R)), Lp(p)
    gaps = []
    for k, (point, y) in enumerate(power_cone(R, h, p, 3.0 * beta / (R @ beta).min())):
        assert (R @ point > h).all() and (y > 0).all()
        gaps.append(norm.value(point) / (R @ point).min() * norm.dual_value(y @ R) / y.sum() - 1)
        if k == 6:
            break
    assert len(gaps) >= 5 and all(g > -1e-12 for g in gaps)
    assert gaps[-1] < 1e-3 * gaps[0]
