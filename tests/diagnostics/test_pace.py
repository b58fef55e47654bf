"""The pace of keys and queries: closed cases, invariances, and what it refuses."""

import numpy as np
import pytest

from marginflow.diagnostics.pace import pace
from marginflow.errors import UndefinedError
from marginflow.problem.constraints import Constraints
from marginflow.problem.planted import angle, orthogonal, spiked
from marginflow.problem.random import equal
from marginflow.svm.solve import solve


SOLVED = 1e-6
"""Multipliers of a solution with gap 1e-12 are right to about its square root."""


def test_rank_one_is_paced_by_the_off_support_share() -> None:
    for made, rho in ((angle(0.5), np.sqrt(0.5 / 1.5)), (spiked(5, 0.4), np.sqrt(0.6 / 2.6))):
        found = pace(solve(made.problem, "nuclear", 1e-12))
        assert found.rank == 1 and found.power == pytest.approx(rho - 1, abs=SOLVED)
        # Every mixed perturbation lies between the symmetric and the antisymmetric rate.
        assert (found.rates >= (1 - rho) / 2 - SOLVED).all() and (found.rates <= (1 + rho) / 2 + SOLVED).all()


def test_the_slowest_perturbation_is_not_seen_by_active_constraints() -> None:
    solution = solve(equal(n=4, T=2, d=4, seed=6), "nuclear", 1e-12)
    found = pace(solution)
    assert found.rank == 2 and found.active == 4
    assert np.abs(solution.constraints.margins(found.slowest)).max() <= SOLVED
    assert np.linalg.norm(found.slowest) == pytest.approx(1.0)
    # Mixed with the neutral support block it is slower than (1 - rho)/2 alone.
    assert 0 < found.rates[0] < found.off_support / 2
    assert found.power == -found.rates[0]


def late_flow(a, z, W):
    """dW/dx of theory 5.7, item 1, from its definition: square roots by eigenvalues, p from the margins that stay 1."""

    def root(S):
        values, vectors = np.linalg.eigh(S)
        return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T

    left, right = root(W @ W.T), root(W.T @ W)
    moved = [(left @ G + G @ right) / 2 for G in a[:, :, None] * z[:, None, :]]
    seen = np.array([[x @ M @ y for M in moved] for x, y in zip(a, z, strict=True)])
    return np.tensordot(np.linalg.solve(seen, np.ones(len(a))), moved, axes=1) - W


@pytest.mark.parametrize("seed", [6, 8, 10])
def test_the_slowest_perturbation_decays_at_its_rate_in_the_late_flow(seed) -> None:
    solution = solve(equal(n=4, T=2, d=4, seed=seed), "nuclear", 1e-13)
    found, rows = pace(solution), solution.constraints
    on = solution.dual > 1e-6 * solution.dual.max()
    flow = [late_flow(rows.a[on], rows.queries[on], solution.W + s * found.slowest) for s in (1e-4, -1e-4)]
    np.testing.assert_allclose((flow[0] - flow[1]) / 2e-4, -found.rates[0] * found.slowest, atol=1e-3)


def test_rotations_and_a_longer_side_do_not_change_the_rates() -> None:
    problem = equal(n=4, T=2, d=4, seed=6)
    rows = problem.constraints()
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    wide = Constraints(rows.a @ turn[:4], rows.sample, rows.z, rows.token)
    plain, turned = (pace(solve(c, "nuclear", 1e-12)) for c in (rows, wide))
    assert turned.rates[0] == pytest.approx(plain.rates[0], abs=SOLVED)
    assert turned.slowest.shape == (6, 4)
    # Two more dimensions per support direction, without force: rate 1/2 each.
    assert len(turned.rates) == len(plain.rates) + 2 * plain.rank


def test_many_optima_have_no_pace_of_their_own() -> None:
    # Orthogonal data: every direction is support and the face has a free correlation of rate 0.
    found = pace(solve(orthogonal(2).problem, "nuclear", 1e-12))
    assert found.rank == 2 and found.rates[0] == pytest.approx(0.0, abs=1e-12)


def test_refuses_other_norms() -> None:
    with pytest.raises(UndefinedError, match="frobenius"):
        pace(solve(angle(0.5).problem, "frobenius"))
