"""The rank of every optimum: what is said is proved, what is not proved is not said."""

import numpy as np
import pytest
from small_problems import completion, extreme_optima, whole_numbers

import marginflow as mf
from marginflow.norms.faces import AlignedMatrices, PinnedMatrices
from marginflow.svm.optimum import rank
from marginflow.svm.optimum.exact import exact_kernel, exact_rank
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.optimum.singular import least_singular_down
from marginflow.svm.proof.certificate import certify


def rows(a):
    return mf.Constraints(a, np.arange(len(a)), np.ones((len(a), len(a[0]))))


@pytest.mark.parametrize(
    ("constraints", "norm", "expected"),
    [
        (rows([[1.0, -1.0], [1.0, 0.0]]), "l2", 1),
        (rows([[1e5, 0.0], [0.0, 1e-5]]), "l1", 2),
        (rows([[1e5, 0.0], [0.0, 1e-5]]), "l2", 2),
        (mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.eye(2)), "frobenius", 2),
        (mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.ones((2, 2))), "frobenius", 1),
        (mf.Constraints([[1e5, 0.0], [0.0, 1e-5]], [0, 1], np.ones((2, 2))), "nuclear", 1),
        (rows([[1.0, 1e-9]]), "l2", 2),
        (rows([[1.0, 1e-9]]), "linf", 2),
        (rows([[1.0, 1e-9]]), "l1", 1),
        (rows([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "lp:3", 2),
        (rows([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), "linf", None),
    ],
)
def test_exact_answers(constraints, norm, expected):
    found = mf.solve(constraints, norm).rank_evidence
    assert found.rank == expected, found
    assert found.at_least <= (expected or found.at_least) <= found.at_most


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_completions_are_never_called_of_full_rank(n):
    """Every singular value of the dual is 1, the optimum is d d': full rank passed for free until now."""
    draw = np.random.default_rng(n)
    for diagonal in (np.ones(n), 2.0 ** draw.integers(-2, 3, n)):
        tree = [(int(draw.integers(0, j)), j) for j in range(1, n)]
        solution = mf.solve(completion(diagonal, tree), "nuclear")
        assert solution.value == pytest.approx((diagonal**2).sum(), rel=1e-8)
        assert solution.rank in (1, None) and solution.rank_evidence.at_least == 1
        assert solution.unique is not False


@pytest.mark.parametrize("norm", ["nuclear", "operator", "l1", "linf"])
def test_ranks_of_small_whole_numbers_against_optima_of_another_solver(norm):
    said = 0
    for seed in range(16):
        constraints = whole_numbers(seed)
        solution = mf.solve(constraints, norm)
        if solution.status is not mf.SvmStatus.optimal or solution.rank is None:
            continue
        said += 1
        for W in extreme_optima(constraints, norm, solution.value):
            s = np.linalg.svd(W, compute_uv=False) if W.ndim == 2 else np.abs(W)
            assert (s > 2e-4 * s.max()).sum() == solution.rank, (seed, s, solution.rank_evidence)
    assert said >= 4


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "l1", "l2", "linf", "operator"])
def test_the_radius_holds_every_optimum_and_the_spread_every_dual(norm):
    """A coarse solution's claims, against the fine one."""
    for seed in range(4):
        constraints = mf.Problem(
            np.random.default_rng(seed).standard_normal((3, 3, 4)),
            np.random.default_rng(seed + 50).standard_normal((3, 4)),
            np.random.default_rng(seed + 90).random((3, 3)),
        ).constraints()
        fine, coarse = mf.solve(constraints, norm, 1e-12), mf.solve(constraints, norm, 1e-4)
        near = coarse.optimum
        assert np.linalg.norm(near.svm.weights(fine.W) - near.weights) <= rank.distance(near) * (1 + 1e-9)
        if near.dual_spread is not None:
            moved = np.abs(fine.dual - coarse.dual) * near.lengths
            assert (moved <= near.dual_spread.rows + 1e-9).all()
            assert np.linalg.norm(fine.optimum.B - near.B) <= near.dual_spread.matrix + 1e-9


def test_a_dual_that_is_not_known_well_enough_bounds_nothing_above():
    """With the spread of the dual taken for zero the rank of a coarse solution would be stated."""
    problem = mf.load("sphere:n=6,T=8,d=10,seed=3")
    coarse = mf.solve(problem, "nuclear", 1e-2)
    assert coarse.certificate.gap > 1e-5
    assert coarse.rank is None and coarse.rank_evidence.at_most > coarse.rank_evidence.at_least
    assert mf.solve(problem, "nuclear").rank == 4


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "l1", "l2"])
def test_bounds_of_coarse_solutions_hold_the_rank_of_the_fine_one(norm):
    """Whatever the gap: W and B are then full of values that the optimum does not have."""
    for seed in range(3):
        problem = mf.load(f"sphere:n=4,T=6,d=8,seed={seed}")
        fine = mf.solve(problem, norm)
        assert fine.rank is not None
        for tol in (0.1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
            near = mf.solve(problem, norm, tol).optimum
            for shaken in (0.0, 1e-3, 1e-6):
                W = near.weights + shaken * np.random.default_rng(seed).standard_normal(near.weights.shape)
                made = certify(near.svm, W, near.dual)
                moved = Optimum(near.svm, made.W, made.dual, made.certificate, tol)
                found = rank.rank_of(moved)
                assert found.at_least <= fine.rank <= found.at_most, (seed, tol, shaken, found)


def test_faces_bound_what_they_leave_out():
    """Matrices near a face, drawn: the error is below the bound for their slack, and not by orders of magnitude."""
    draw = np.random.default_rng(3)
    U, V = (np.linalg.qr(draw.standard_normal((4, 4)))[0] for _ in range(2))
    C = U @ np.diag([1.0, 1.0, 0.5, 0.2]) @ V.T
    worst = {"aligned": 0.0, "pinned": 0.0}
    for _ in range(300):
        size = 10.0 ** draw.uniform(-6, -1)
        bent = U[:, :2] + size * draw.standard_normal((4, 2))
        M = bent @ np.diag([2.0, 1.0]) @ (V[:, :2] + size * draw.standard_normal((4, 2))).T
        M /= np.linalg.svd(M, compute_uv=False).sum()
        face = AlignedMatrices.of(C, 1e-3)
        slack = max(1.0 - float((C * M).sum()), 1e-16)
        lost = float(np.linalg.norm(_known_part(face, M)))
        assert lost <= face.error(slack, 1.0) * (1 + 1e-9) + 1e-7
        worst["aligned"] = max(worst["aligned"], lost / face.error(slack, 1.0))

        # Turned alike on both sides towards values just below the largest: the cheapest way out of the face.
        close = U @ np.diag([1.0, 1.0, 0.99, 0.2]) @ V.T
        turn = np.eye(4)[:, :2] + size * draw.standard_normal((4, 2))
        turned = U @ turn @ turn.T @ V.T
        turned /= np.linalg.svd(turned, compute_uv=False).sum()
        face = AlignedMatrices.of(close, 1e-3)
        slack = max(1.0 - float((close * turned).sum()), 1e-16)
        lost = float(np.linalg.norm(_known_part(face, turned)))
        assert lost <= face.error(slack, 1.0) * (1 + 1e-9) + 1e-7

        rotation = np.linalg.qr(np.eye(4) + size * draw.standard_normal((4, 4)))[0]
        N = U @ (rotation * np.sign(np.diag(rotation))) @ V.T
        D = C / np.linalg.svd(C, compute_uv=False).sum()
        face = PinnedMatrices.of(D, 1e-3)
        slack = max(1.0 - float((D * N).sum()), 1e-16)
        lost = float(np.linalg.norm(_known_part(face, N - U @ V.T)))
        assert lost <= face.error(slack, 1.0) * (1 + 1e-9) + 1e-7
        worst["pinned"] = max(worst["pinned"], lost / face.error(slack, 1.0))
    assert worst["aligned"] > 0.05 and worst["pinned"] > 0.05


def _known_part(face, M):
    d, d_z = M.shape
    a, z = np.repeat(np.eye(d), d_z, axis=0), np.tile(np.eye(d_z), (d, 1))
    return M.ravel() @ face.known(a, z)


@pytest.mark.parametrize("small", [1e-3, 1e-12, 0.0])
def test_the_least_singular_value_is_bounded_from_below(small):
    draw = np.random.default_rng(0)
    U, V = np.linalg.qr(draw.standard_normal((9, 4)))[0], np.linalg.qr(draw.standard_normal((4, 4)))[0]
    E = (U * np.array([1.0, 0.5, 0.1, small])) @ V.T
    bound = least_singular_down(E)
    # Entries carry roundings of their own: what is near them proves nothing.
    assert bound < small or bound == small == 0.0
    assert bound > 0.9 * small if small > 1e-6 else bound < small * 0.999 + 1e-300


def test_rational_ranks_and_kernels():
    from fractions import Fraction as F

    assert exact_rank([[F(1), F(2)], [F(2), F(4)]]) == 1
    assert exact_rank([[F(1), F(2)], [F(2), F(4) + F(1, 10**40)]]) == 2
    assert exact_kernel([[F(1), F(1), F(0)], [F(2), F(2), F(0)]], 3) == [[-1, 1, 0], [0, 0, 1]]
    assert exact_kernel([], 1) == [[1]]
