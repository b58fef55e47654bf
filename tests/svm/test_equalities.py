"""Equalities and levels: every norm against other solvers, the Euclidean one against rational numbers, guards."""

from collections import Counter
from fractions import Fraction
from itertools import product

import cvxpy as cp
import numpy as np
import pytest
from equality_problems import exact_square, faces_of, opposed

import marginflow as mf
from marginflow.norms import parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.proof import farkas
from marginflow.svm.proof.certificate import evaluate, leading_margins
from marginflow.svm.proof.equalities import alike, lengths
from marginflow.svm.referee.verify import verify_saved


NORMS = ("nuclear", "frobenius", "operator", "entry-l1", "entry-linf", "entry-lp:3", "entry-lp:1.5", "cut")


@pytest.mark.parametrize("seed", range(50))
def test_bounds_hold_in_rational_numbers(seed):
    rows = faces_of(seed, whole=seed % 2 == 0, n=2, d=2 + seed % 2)
    exact, solution = exact_square(rows), mf.solve(rows, "frobenius")
    if exact is None:
        assert solution.status.name == "infeasible" and solution.certificate.upper == np.inf
        return
    assert solution.status.name == "optimal"
    assert Fraction(solution.certificate.lower) ** 2 <= exact <= Fraction(solution.certificate.upper) ** 2


def test_the_fifty_have_every_answer():
    seen = Counter()
    for seed in range(50):
        rows = faces_of(seed, whole=seed % 2 == 0, n=2, d=2 + seed % 2)
        seen[exact_square(rows) is None, bool(rows.equal.any())] += 1
    assert seen[True, True] >= 5 and seen[False, True] >= 15


def reference(rows: mf.Constraints, norm: str) -> float:
    signs = [np.array(list(product((1.0, -1.0), repeat=k))) for k in rows.shape]
    pairs = np.einsum("si,tj->stij", *signs).reshape(-1, *rows.shape)
    t = cp.Variable(len(pairs), nonneg=True)
    W = (
        cp.Variable(rows.shape)
        if norm != "cut"
        else cp.reshape(pairs.reshape(len(pairs), -1).T @ t, rows.shape, order="C")
    )
    lines = np.einsum("ci,cj->cij", rows.a, rows.queries)
    margins = [cp.sum(cp.multiply(line, W)) for line in lines]
    kinds = zip(margins, rows.level, rows.equal)
    limits = [m == 0 if equal else m >= level for m, level, equal in kinds]
    size = {
        "frobenius": lambda: cp.norm(W, "fro"),
        "nuclear": lambda: cp.normNuc(W),
        "operator": lambda: cp.sigma_max(W),
        "cut": lambda: cp.sum(t),
        "entry-l1": lambda: cp.sum(cp.abs(W)),
        "entry-linf": lambda: cp.max(cp.abs(W)),
        "entry-lp:3": lambda: cp.pnorm(cp.vec(W, order="C"), 3),
        "entry-lp:1.5": lambda: cp.pnorm(cp.vec(W, order="C"), 1.5),
    }[norm]()
    return cp.Problem(cp.Minimize(size), limits).solve(solver=cp.CLARABEL)


@pytest.mark.parametrize("norm", NORMS)
def test_values_are_those_of_clarabel_and_of_opposed_inequalities(norm):
    for seed in (24, 26, 3, 33):
        rows = faces_of(seed)
        solution, other = mf.solve(rows, norm), mf.solve(opposed(rows), norm)
        assert solution.status == other.status
        if solution.status.name == "infeasible":
            assert reference(rows, norm) == np.inf
            continue
        assert solution.status.name == "optimal" and solution.certificate.gap <= 1e-9
        assert abs(solution.value / reference(rows, norm) - 1.0) < 1e-6
        assert solution.certificate.lower <= other.certificate.upper
        assert other.certificate.lower <= solution.certificate.upper
        margins = rows.margins(solution.W)
        size = np.linalg.norm(solution.W) * lengths(solution.svm)
        assert np.abs(margins[rows.equal] / size[rows.equal]).max(initial=0.0) < 1e-14
        assert (margins - rows.level)[~rows.equal].min() > -1e-9
        assert (solution.dual[~rows.equal] >= 0.0).all()


@pytest.mark.parametrize("norm", ["l1", "l2", "linf", "lp:3"])
def test_diagonal_weights_take_equalities(norm):
    draw = np.random.default_rng(0)
    a = draw.standard_normal((6, 8))
    equal = np.array([True, True, False, False, False, False])
    rows = mf.Constraints(a, [0] * 6, np.ones((1, 8)), equal=equal, level=[0, 0, 1, 1, 1, 0])
    solution = mf.solve(rows, norm)
    beta = cp.Variable(8)
    p = {"l1": 1, "l2": 2, "linf": np.inf, "lp:3": 3}[norm]
    limits = [a[:2] @ beta == 0, a[2:] @ beta >= [1, 1, 1, 0]]
    value = cp.Problem(cp.Minimize(cp.pnorm(beta, p)), limits).solve(solver=cp.CLARABEL)
    assert solution.status.name == "optimal" and abs(solution.value / value - 1) < 1e-6
    assert np.abs(rows.margins(solution.beta)[equal]).max() < 1e-14


@pytest.mark.parametrize("norm", NORMS)
def test_files_are_verified_and_read_back(norm, tmp_path):
    for seed in (0, 8, 24):
        solution = mf.solve(faces_of(seed, whole=seed == 8), norm)
        solution.save(tmp_path / "a.npz")
        found = verify_saved(tmp_path / "a.npz")
        assert found.holds, str(found)
        assert mf.Solution.load(tmp_path / "a.npz").certificate == solution.certificate


def test_files_of_several_heads_are_verified(tmp_path):
    rows = faces_of(5)
    both = mf.Constraints(
        np.vstack((rows.a, -2.0 * rows.a)),
        np.append(rows.sample, rows.sample),
        rows.z,
        level=np.append(rows.level, rows.level),
        equal=np.append(rows.equal, rows.equal),
        head=np.repeat([0, 1], len(rows)),
    )
    for norm in ("nuclear", "frobenius", "operator", "entry-lp:1.5"):
        solution = mf.solve(both, norm)
        solution.save(tmp_path / "a.npz")
        assert verify_saved(tmp_path / "a.npz").holds
        single = mf.solve(rows, norm).value
        p = parse_norm(norm).across
        joint = single * np.linalg.norm([1.0, 0.5], p)
        assert abs(solution.value / joint - 1.0) < 1e-8


def contradiction() -> mf.Constraints:
    """Three tokens level with one another, in pairs of two queries, and one of them above another by 1."""
    x = np.array([[1.0, 0.2, 0.1], [0.3, 1.0, -0.4], [0.2, -0.6, 1.0]])
    a = [x[0] - x[1], x[1] - x[2], x[0] - x[2]]
    return mf.Constraints(a, [0, 0, 0], [[1.0, 0.3]], equal=[True, True, False])


@pytest.mark.parametrize("norm", NORMS)
def test_equalities_that_contradict_a_level_are_proved_to(norm, tmp_path):
    # Whole numbers times 1/8, so that the differences are exact.
    rows = contradiction()
    rows = mf.Constraints(np.round(8 * rows.a) / 8, rows.sample, rows.z, equal=rows.equal)
    exact = np.array(rows.a)
    exact[2] = exact[0] + exact[1]
    solution = mf.solve(mf.Constraints(exact, rows.sample, rows.z, equal=rows.equal), norm)
    assert solution.status.name == "infeasible" and "positive but for equalities" in solution.reason
    assert (solution.dual < 0.0).any()
    solution.save(tmp_path / "a.npz")
    assert verify_saved(tmp_path / "a.npz").holds
    assert mf.Solution.load(tmp_path / "a.npz").status.name == "infeasible"


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_a_contradiction_hidden_among_many_rows_is_found(norm):
    """Frobenius and nuclear solvers see different rays; whether anything separates is one question."""
    draw = np.random.default_rng(0)
    x, z = np.round(256 * draw.standard_normal((40, 30))) / 256, draw.standard_normal((40, 30))
    pairs = [(i, (i + 5 * k) % 40, i, k == 1 and i % 7 == 0) for i in range(40) for k in range(1, 4)]
    pairs += [(31, 32, 0, True), (32, 33, 0, True), (31, 33, 0, False)]
    a = [x[p] - x[q] for p, q, _, _ in pairs]
    rows = mf.Constraints(a, [i for *_, i, _ in pairs], z, equal=[equal for *_, equal in pairs])
    assert mf.solve(rows.restrict(np.arange(len(a)) != 5), norm).status.name == "optimal"
    solution = mf.solve(rows, norm)
    assert solution.status.name == "infeasible" and "exactly" in solution.reason


def test_multipliers_of_equalities_alone_contradict_nothing():
    rows = mf.Constraints([[1.0, 2.0], [-1.0, -2.0], [0.5, 0.1]], [0, 0, 0], [[1.0]], equal=[True, True, False])
    solution = mf.solve(rows, "frobenius")
    assert solution.status.name == "optimal"
    assert abs(rows.margins(solution.W)[0]) < 1e-15 and rows.margins(solution.W)[2] > 1 - 1e-12


def test_a_proof_needs_a_multiplier_at_level_1():
    rows = mf.Constraints([[1.0, 2.0], [-1.0, -2.0], [0.5, 0.1]], [0, 0, 0], [[1.0]], equal=[True, True, False])
    svm = Svm(rows, parse_norm("frobenius"))
    assert farkas.prove(svm, np.array([1.0, 1.0, 0.0])) is None
    assert farkas.prove(svm, np.array([1.0, 1.0, 0.1])) is None


def test_dependent_equalities_need_an_exact_reason():
    x = np.array([[1.0, 0.25], [0.5, -1.0], [0.0, 2.0]])
    a = np.array([x[0] - x[1], x[1] - x[2], x[0] - x[2], [1.0, 1.0]])
    other = np.array([[1.0, 0.5, 0.0]])
    wide = np.hstack((a, np.zeros((4, 2))))
    rows = mf.Constraints(wide, [0] * 4, other, equal=[True, True, True, False])
    assert mf.solve(rows, "nuclear").status.name == "infeasible"
    wide[3, 3] = 1.0
    rows = mf.Constraints(wide, [0] * 4, other, equal=[True, True, True, False])
    assert mf.solve(rows, "nuclear").status.name == "optimal"
    # What float64 takes for dependent is not: the third equality asks more than the others by 1e-13.
    wide[2, 3] = 1e-13
    rows = mf.Constraints(wide, [0] * 4, other, equal=[True, True, True, False])
    assert mf.solve(rows, "nuclear").status.name != "optimal"


def test_bounds_are_those_of_weights_on_the_equalities():
    rows = faces_of(5)
    svm = Svm(rows, parse_norm("frobenius"))
    solution = mf.solve(rows, "frobenius")
    for size in (1e-3, 1e-8):
        # Weights that give up equalities by a little have a smaller norm, and are no bound.
        off = (1.0 - size) * solution.W + size * mf.solve(rows.restrict(~rows.equal), "frobenius").W
        assert np.linalg.norm(off) < solution.certificate.lower
        assert evaluate(svm, off, solution.dual).upper >= solution.certificate.lower
        assert leading_margins(svm, off, False)[1] > 0.01 * size


def test_the_way_onto_the_equalities_costs_norm_as_well_as_margin():
    """W_11 >= 1, W_22 = W_33 = k W_11, nothing else: the value is 1 + 2k, and e_1 e_1' is off by sqrt(2) k."""
    e, k = np.eye(3), 1e-3
    pairs = [(e[0], e[0])]
    for j in (1, 2):
        pairs += [(e[j], e[0]), (e[0], e[j]), (e[j] - k * e[0], e[0] + e[j])]
    a, z = (np.array(x) for x in zip(*pairs))
    rows = mf.Constraints(a, np.arange(7), z, equal=np.arange(7) > 0)
    assert abs(mf.solve(rows, "nuclear").value - (1.0 + 2.0 * k)) < 1e-9
    assert evaluate(Svm(rows, parse_norm("nuclear")), np.outer(e[0], e[0]), np.zeros(7)).upper > 1.0 + 2.0 * k


def test_rows_that_see_nothing_hold_at_level_0():
    rows = mf.Constraints(
        [[0.0, 0.0], [0.0, 0.0], [1.0, 0.0]], [0] * 3, [[1.0]], equal=[True, False, False], level=[0, 0, 1]
    )
    for norm in ("nuclear", "frobenius", "entry-linf"):
        solution = mf.solve(rows, norm)
        assert solution.status.name == "optimal" and abs(solution.value - 1.0) < 1e-9
    zero = mf.Constraints([[0.0, 0.0], [1.0, 0.0]], [0, 0], [[1.0]], level=[1, 0])
    assert mf.solve(zero, "nuclear").status.name == "infeasible"


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "entry-l1"])
def test_nothing_at_level_1_is_solved_by_zero(norm, tmp_path):
    rows = mf.Constraints(np.eye(3), [0] * 3, [[1.0, 2.0]], equal=[True, False, False], level=[0, 0, 0])
    solution = mf.solve(rows, norm)
    assert solution.value == 0.0 and not solution.W.any() and solution.status.name == "optimal"
    solution.save(tmp_path / "a.npz")
    assert verify_saved(tmp_path / "a.npz").holds


def test_optima_not_unique_are_all_on_the_equalities():
    seen = 0
    for seed in range(12):
        rows = faces_of(seed)
        solution = mf.solve(rows, "operator")
        if solution.unique is not False:
            continue
        seen += 1
        for W in solution.uniqueness.optima:
            margins = rows.margins(W)
            assert np.abs(margins[rows.equal]).max(initial=0.0) < 1e-9 * np.linalg.norm(W)
            assert (margins - rows.level)[~rows.equal].min() > -1e-8
    assert seen >= 3


@pytest.mark.parametrize("seed", range(4))
def test_rows_that_differ_by_an_equality_share_a_multiplier(seed):
    """Two tokens level with each other against the same third: only the sum of the two multipliers is determined."""
    draw = np.random.default_rng(seed)
    x = draw.integers(-8, 9, (4, 3)) / 4.0
    a = [x[0] - x[1], x[0] - x[2], x[1] - x[2], x[0] - x[3]]
    rows = mf.Constraints(a, [0, 0, 1, 2], draw.standard_normal((3, 3))[[0, 0, 1]], equal=[True, False, False, False])
    solution = mf.solve(rows, "nuclear")
    assert solution.status.name == "optimal" and solution.unique
    assert solution.rank == int((np.linalg.svd(solution.W, compute_uv=False) > 1e-6).sum())
    assert alike(solution.svm, np.array([1, 2, 3]), np.array([0])).tolist() == [1, 1, 3]
    near = np.array(rows.a)
    near[2, 0] += 2.0**-40
    svm = Svm(mf.Constraints(near, rows.sample, rows.z, equal=rows.equal), parse_norm("nuclear"))
    assert alike(svm, np.array([1, 2, 3]), np.array([0])).tolist() == [1, 2, 3]


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_rank_and_radius_hold_for_clarabels_optimum(norm):
    for seed in (0, 1, 2):
        rows = faces_of(seed)
        solution = mf.solve(rows, norm)
        if solution.status.name != "optimal":
            continue
        s = np.linalg.svd(solution.W, compute_uv=False)
        assert solution.rank is None or solution.rank == int((s > 1e-7 * s[0]).sum())
        assert solution.unique is not False
