"""Several heads: the joint value against one large problem, and what is said of all heads against what each says."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.norms import AbstractNorm, Frobenius, combined_down, combined_up


def rows_of(seed: int, heads: int, n: int = 3, T: int = 4, d: int = 4) -> mf.Constraints:
    draw = np.random.default_rng(seed)
    count = n * heads * (T - 1)
    sample = np.repeat(np.arange(n * heads), T - 1)
    z = draw.standard_normal((n * heads, d))
    return mf.Constraints(draw.standard_normal((count, d)), sample, z, head=sample // n)


def lifted(rows: mf.Constraints) -> mf.Constraints:
    """One W of all heads, tokens and queries of head h in its own coordinates: only diagonal blocks are seen."""
    unit = np.eye(rows.heads)
    of_sample = np.zeros(len(rows.z), dtype=int)
    of_sample[rows.sample] = rows.head
    a = np.einsum("ch,cd->chd", unit[rows.head], rows.a).reshape(len(rows), -1)
    z = np.einsum("nh,nd->nhd", unit[of_sample], rows.z).reshape(len(rows.z), -1)
    return mf.Constraints(a, rows.sample, z)


@pytest.mark.parametrize("heads", [2, 3])
@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator", "entry-l1", "entry-lp:1.5"])
def test_joint_value_is_that_of_one_block_diagonal_problem(norm, heads):
    rows = rows_of(heads, heads)
    solution, whole = mf.solve(rows, norm), mf.solve(lifted(rows), norm)
    assert solution.status.name == "optimal" and solution.certificate.gap <= 1e-9
    assert max(solution.certificate.lower, whole.certificate.lower) <= min(
        solution.certificate.upper, whole.certificate.upper
    )
    assert solution.W.shape == (heads, 4, 4)
    assert rows.margins(solution.W).min() > 1 - 1e-9


@pytest.mark.parametrize("norm, p", [("nuclear", 1.0), ("frobenius", 2.0), ("operator", np.inf)])
def test_multipliers_are_those_of_the_joint_problem(norm, p):
    rows = rows_of(5, 3)
    solution = mf.solve(rows, norm)
    q = {1.0: np.inf, 2.0: 2.0, np.inf: 1.0}[p]
    sizes = [solution.norm.dual_value(B) for B in rows.adjoint(solution.dual)]
    assert abs(np.linalg.norm(sizes, q) - 1.0) < 1e-9
    assert abs(solution.dual.sum() / solution.value - 1.0) < 1e-8
    each = [mf.solve(own, norm).value for _, own in rows.per_head]
    assert abs(np.linalg.norm(each, p) / solution.value - 1.0) < 1e-8


def test_rank_and_uniqueness_are_the_heads_together():
    rows = rows_of(1, 2)
    solution = mf.solve(rows, "nuclear")
    assert solution.unique and solution.rank == sum(part.rank for part in solution.parts)
    loose = mf.solve(rows, "operator")
    assert loose.unique is False and loose.rank is None
    for W in loose.uniqueness.optima:
        assert rows.margins(W).min() > 1 - 1e-9 and loose.norm.value(W) < loose.value * (1 + 1e-8)


def test_one_contradicting_head_makes_all_infeasible():
    rows = rows_of(2, 2)
    both = mf.Constraints(
        np.vstack((rows.a, [[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])),
        np.append(rows.sample, [5, 5]),
        rows.z,
        head=np.append(rows.head, [1, 1]),
    )
    solution = mf.solve(both, "nuclear")
    assert solution.status.name == "infeasible" and solution.reason.startswith("head 1: ")
    assert not solution.dual[both.head == 0].any() and np.isnan(solution.value)


def test_a_head_without_constraints_weighs_nothing():
    rows = rows_of(4, 1)
    more = mf.Constraints(rows.a, rows.sample, rows.z, head=np.zeros(len(rows), dtype=int), heads=2)
    solution = mf.solve(more, "frobenius")
    assert not solution.W[1].any() and abs(solution.value / mf.solve(rows, "frobenius").value - 1) < 1e-9


def test_files_keep_heads(tmp_path):
    solution = mf.solve(rows_of(6, 2), "frobenius")
    solution.save(tmp_path / "a.npz")
    back = mf.Solution.load(tmp_path / "a.npz")
    assert back.certificate == solution.certificate and np.array_equal(back.W, solution.W)
    assert back.constraints.head.tolist() == solution.constraints.head.tolist()


class Unknown(Frobenius):
    """A norm that says nothing of several heads."""

    across = AbstractNorm.across


def test_a_norm_without_a_joint_norm_is_refused():
    with pytest.raises(mf.InputError, match="several heads"):
        mf.solve(rows_of(0, 2), Unknown())


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 7.0, np.inf])
def test_combined_bounds_enclose_the_norm(p):
    from mpmath import mp, mpf

    values = np.random.default_rng(0).random(5) * [1.0, 1e-3, 1e3, 1.0, 2.0]
    with mp.workdps(40):
        exact = max(values) if p == np.inf else sum(mpf(v) ** mpf(p) for v in values) ** (1 / mpf(p))
        assert combined_down(values.tolist(), p) <= exact <= combined_up(values.tolist(), p)
        assert combined_up(values.tolist(), p) <= exact * (1 + mpf(10) ** -12)


def test_a_head_of_equalities_alone_has_no_weights_to_lengthen():
    rows = mf.Constraints(
        [[1.0, 0.0], [0.0, 1.0]], [0, 0], [[1.0, 0.0]], level=[1.0, 0.0], equal=[False, True], head=[0, 1]
    )
    solution = mf.solve(rows, "operator")
    assert solution.unique is None and not solution.W[1].any() and "operator, optimal: value 1" in repr(solution)
