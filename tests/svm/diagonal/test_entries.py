"""Norms of all entries of a full W: what they share with norms of vectors and other full weights, and their traps."""

import itertools

import numpy as np
import pytest
from ugly_problems import near_contradiction

import bank
import marginflow as mf
from marginflow.diagnostics.ratio import certify_weights
from marginflow.norms import parse_norm
from marginflow.npz import read_npz, write_npz
from marginflow.problem.constraints import Constraints
from marginflow.problem.planted import angle, pairs
from marginflow.svm.program import Svm
from marginflow.svm.referee.verify import digest, verify_saved


NORMS = (*bank.ENTRY_NORMS, "entry-lp:1.5")


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("d", "d_z"), [(5, 5), (6, 3), (2, 7), (1, 4)])
def test_the_vector_norm_of_written_out_rows(norm, d, d_z):
    """Rows a_c z_c' as tokens and queries of ones: the same program under the norm of a diagonal."""
    rows = (
        bank.sphere(3, 3, d, d_z=d_z, seed=d).constraints()
        if d > 1
        else Constraints([[2.0], [0.5]], [0, 0], [[1, 2, -3, 0.5]])
    )
    R = bank.written_out(rows, False)
    lifted = Constraints(R, np.arange(len(R)), np.ones((len(R), R.shape[1])))
    entries, vector = mf.solve(rows, norm), mf.solve(lifted, norm.removeprefix("entry-"))
    assert entries.status.name == vector.status.name == "optimal"
    assert entries.certificate.lower <= vector.certificate.upper
    assert vector.certificate.lower <= entries.certificate.upper
    if norm in ("entry-lp:3", "entry-lp:1.5"):
        assert np.abs(entries.W.ravel() - vector.beta).max() <= 1e-6 * np.abs(vector.beta).max()


def test_p_two_is_frobenius():
    problem = bank.sphere(3, 3, 5)
    assert mf.solve(problem, "entry-lp:2").certificate == mf.solve(problem, "frobenius").certificate
    near = [mf.solve(problem, f"entry-lp:{p}").value for p in (1.999, 2.001)]
    assert near[1] < mf.solve(problem, "frobenius").value < near[0]


def test_norms_fall_with_p():
    problem = bank.sphere(4, 4, 6, d_z=3)
    values = [
        mf.solve(problem, norm).value for norm in ("entry-l1", "entry-lp:1.5", "frobenius", "entry-lp:3", "entry-linf")
    ]
    assert all(first > second for first, second in itertools.pairwise(values))
    # max |W_ij| <= |W|_op <= |W|_F <= |W|_* <= sum |W_ij|, so the least values are in that order as well.
    assert values[-1] < mf.solve(problem, "operator").value < values[2] < mf.solve(problem, "nuclear").value < values[0]


@pytest.fixture(scope="module")
def nearly_contradicting():
    """Data by seed, each with whether the nuclear SVM calls it infeasible."""
    data = {seed: near_contradiction(seed) for seed in range(0, 72, 6)}
    return {seed: (each, mf.solve(each, "nuclear").status.name == "infeasible") for seed, each in data.items()}


@pytest.mark.parametrize("norm", NORMS)
def test_feasibility_is_that_of_the_other_full_weights(nearly_contradicting, norm):
    """One answer, and the same proof, for all norms of a full W."""
    seen = set()
    for seed, (data, infeasible) in nearly_contradicting.items():
        entries = mf.solve(data, norm)
        assert (entries.status.name == "infeasible") == infeasible, seed
        assert (entries.status.name == "infeasible") or entries.certificate.upper < np.inf
        seen.add(entries.status.name)
    contradiction = mf.solve(Constraints([[1.0, 2.0], [-1.0, -2.0]], [0, 0], [[1.0, 0.5, 0.25]]), norm)
    assert contradiction.status.name == "infeasible"
    assert "contradict" in contradiction.reason
    assert seen >= {"optimal"}


@pytest.mark.parametrize("norm", NORMS)
def test_another_norm_in_the_file_is_refused(tmp_path, norm):
    """A forger writes one norm for another and renews the digest."""
    solution = mf.solve(bank.sphere(3, 3, 4, 1), norm)
    solution.save(tmp_path / "a.npz")
    assert verify_saved(tmp_path / "a.npz").holds
    assert mf.Solution.load(tmp_path / "a.npz").norm == parse_norm(norm)
    arrays = read_npz(tmp_path / "a.npz")
    arrays.pop("digest")
    others = {*NORMS, *bank.MATRIX_NORMS, "l1", "linf", "lp:3", "entry-lp:3.0001"} - {norm}
    for other in sorted(others):
        forged = arrays | {"norm": np.asarray(other)}
        write_npz(tmp_path / "b.npz", **forged, digest=digest(forged))
        assert not verify_saved(tmp_path / "b.npz").holds, other
        with pytest.raises(mf.InputError):
            mf.Solution.load(tmp_path / "b.npz")


def test_one_row_is_not_euclidean():
    """min |w_1| + |w_2| and min max |w_j| on one row or column have many optima where a matrix norm has one."""
    column = pairs(np.array([[1.0, 1.0]]), np.array([[1.0]]))
    flat = mf.solve(column, "entry-l1")
    assert flat.uniqueness.unique is False
    for W in flat.uniqueness.optima:
        assert W.shape == (2, 1)
        assert np.abs(W).sum() == pytest.approx(1.0, abs=1e-12)
        assert W.sum() >= 1.0 - 1e-12
    row = mf.solve(pairs(np.array([[1.0], [2.0]]), np.array([[1.0, 0.0], [0.0, 1.0]])), "entry-linf")
    assert row.uniqueness.unique is False
    assert mf.solve(column, "nuclear").uniqueness.unique is True


def test_two_optima_of_a_full_matrix():
    found = mf.solve(angle(0.5).problem, "entry-linf")
    assert found.uniqueness.unique is False
    first, second = found.uniqueness.optima
    for W in (first, second):
        assert found.constraints.margins(W).min() >= 1.0 - 1e-9
        assert np.abs(W).max() <= found.certificate.upper * (1.0 + 1e-9)
    assert np.abs(first - second).max() > 1e-3


@pytest.mark.parametrize("norm", NORMS)
def test_ranks_are_those_of_the_matrix(norm):
    """Stated ranks against the singular values of a tighter solve; one query leaves a product, whatever p."""
    stated = 0
    for seed in range(8):
        problem = bank.sphere(3, 3, 4, seed, d_z=3)
        found = mf.solve(problem, norm)
        s = np.linalg.svd(mf.solve(problem, norm, 1e-12).W, compute_uv=False)
        evidence = found.rank_evidence
        assert evidence.at_least <= int((s > 1e-7 * s[0]).sum()) <= evidence.at_most or found.unique is not True
        stated += found.rank is not None
    assert stated >= 6
    single = mf.solve(mf.load("single"), norm)
    assert single.rank == 1 if norm != "entry-linf" else single.rank in (1, None)


def test_entries_without_a_multiplier_bound_the_rank_as_a_pattern():
    """W = 1 in each of three entries of one row: three entries, rank one."""
    problem = pairs(np.array([[1.0, 0.1], [1.0, 0.1], [1.0, 0.1]]), np.eye(3))
    found = mf.solve(problem, "entry-l1")
    np.testing.assert_allclose(found.W, [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], atol=1e-12)
    assert found.rank == 1
    assert "leaves all other entries" in found.rank_evidence.sentence


def test_powers_of_a_product_are_no_product_of_more_queries():
    """The dual matrix of two queries has rank two, the optimum under p = 3 more: powers of entries keep no rank."""
    found = mf.solve(bank.sphere(2, 4, 5, 3), "entry-lp:3")
    assert len(found.constraints.z) == 2
    assert np.linalg.matrix_rank(found.W, tol=1e-6) > 2
    assert found.rank is None or found.rank > 2


@pytest.mark.parametrize(
    ("norm", "d", "C"),
    [("entry-linf", 67, 4), ("entry-lp:3", 67, 4), ("entry-l1", 100, 2001), ("entry-lp:1.5", 100, 2001)],
)
def test_too_large_is_one_line(norm, d, C):
    """D^2 numbers where the solver factors them, C D where not; the certificate needs neither."""
    a = np.abs(np.random.default_rng(0).standard_normal((C, d)))
    rows = Constraints(a, np.zeros(C, dtype=int), np.ones((1, d)))
    with pytest.raises(mf.InputError, match="20,000,000"):
        Svm(rows, parse_norm(norm)).written_out(square=d == 67)
    with pytest.raises(mf.InputError, match="20,000,000") as refused:
        mf.solve(rows, norm)
    assert "\n" not in str(refused.value)
    W = np.ones((d, d))
    assert 1.0 <= certify_weights(W, np.ones(C), rows, norm).value < np.inf


def test_rows_are_written_out_to_the_bit_where_they_fit():
    rows = bank.sphere(3, 3, 4, d_z=5).constraints()
    svm = Svm(rows, parse_norm("entry-linf"))
    R = svm.written_out(square=True) * (svm.rows.scale.size * svm.rows.scale.unit)[:, None]
    np.testing.assert_allclose(R, bank.written_out(rows, False), rtol=1e-14)


@pytest.mark.parametrize("norm", NORMS)
def test_a_neighbour_sets_out_from_the_earlier_optimum(norm):
    problem = bank.sphere(4, 4, 5, 2)
    first = mf.solve(problem, norm)
    near = mf.Problem(problem.X * (1 + 1e-6), problem.z, problem.scores)
    again = mf.solve(near, norm, start=first)
    assert again.status.name == "optimal"
    assert sum(again.iterations.values()) < sum(first.iterations.values())
