"""The cut-dual norm against programs over every sign pair, its SVM against CVXPY, its files."""

import itertools

import cvxpy
import numpy as np
import pytest
from scipy.optimize import linprog

import marginflow as mf
from marginflow.errors import InputError
from marginflow.norms import cut as cut_norm
from marginflow.norms.cut import Cut, atoms_of, largest
from marginflow.npz import read_npz, write_npz
from marginflow.svm.referee import cut as referee
from marginflow.svm.referee.exact import Exact
from marginflow.svm.referee.verify import digest, verify_saved


def all_pairs(d, k):
    """(s, d k) every x y', each once."""
    xs = np.array(list(itertools.product([1.0, -1.0], repeat=d)))
    ys = np.array([(*y, 1.0) for y in itertools.product([1.0, -1.0], repeat=k - 1)])
    return (xs[:, None, :, None] * ys[None, :, None, :]).reshape(-1, d * k)


def least_sum(W):
    """N(W) by the linear program over all of them."""
    pairs = all_pairs(*W.shape)
    found = linprog(np.ones(len(pairs)), A_eq=pairs.T, b_eq=W.ravel(), method="highs")
    return found.fun


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (3, 2), (3, 4), (5, 3)])
@pytest.mark.parametrize("rank", [1, 2])
def test_both_norms_are_those_of_every_sign_pair(shape, rank):
    rng = np.random.default_rng(sum(shape))
    W = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    norm = Cut()
    assert norm.dual_value(W) == pytest.approx((all_pairs(*shape) @ W.ravel()).max(), rel=1e-14)
    assert norm.value(W) == pytest.approx(least_sum(W), rel=1e-10)
    assert norm.value_upper(W) >= least_sum(W) * (1 - 1e-12)
    E = 0.1 * np.abs(rng.standard_normal(shape))
    worst = max((all_pairs(*shape) @ (W + E * s.reshape(shape)).ravel()).max() for s in all_pairs(*shape)[:8])
    assert worst <= norm.dual_upper(W, E) <= norm.dual_value(W) + E.sum() + 1e-9
    assert norm.value(1e-200 * W) == pytest.approx(1e-200 * norm.value(W), rel=1e-10)
    assert norm.dual_value(1e200 * W) == pytest.approx(1e200 * norm.dual_value(W), rel=1e-14)


def test_a_bound_from_the_wrong_atoms_still_holds():
    """Atoms are a guess: what they do not reach is paid for entry by entry."""
    W = np.random.default_rng(0).standard_normal((4, 3))
    wrong = Cut((np.ones((1, 4)), np.ones((1, 3))))
    assert least_sum(W) <= wrong.value_upper(W) <= np.abs(W).sum() + 1e-9
    for M in (W, 0.0 * W):
        assert least_sum(W) * (1 - 1e-12) <= Cut().along(lambda M=M: M).value_upper(W) <= np.abs(W).sum() + 1e-9


def test_entries_that_vanish_take_both_signs():
    M = np.array([[1.0, 1.0], [1.0, -1.0]])
    X, Y = atoms_of(M, 1e-9)
    found = {tuple(np.outer(x, y).ravel()) for x, y in zip(X, Y, strict=True)}
    best = all_pairs(2, 2)
    assert found == {tuple(p) for p in best[best @ M.ravel() == 2.0]} and len(found) == 4


@pytest.mark.parametrize("name", ["sphere:n=3,T=3,d=4,seed=1", "equal:n=2,T=4,d=5,seed=0", "angle:c=0.5"])
def test_the_svm_is_the_program_over_every_sign_pair(name):
    problem = mf.load(name)
    found = mf.solve(problem, "cut")
    rows = problem.constraints()
    R = (rows.a[:, :, None] * rows.queries[:, None, :]).reshape(len(rows), -1)
    pairs = all_pairs(*rows.shape)
    t = cvxpy.Variable(len(pairs), nonneg=True)
    value = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(t)), [R @ pairs.T @ t >= 1]).solve(solver=cvxpy.CLARABEL)
    assert found.status.name == "optimal" and found.certificate.gap < 1e-10
    assert found.value == pytest.approx(value, rel=1e-7)
    assert found.certificate.lower <= found.value <= found.certificate.upper
    assert (R @ found.W.ravel()).min() >= 1 - 1e-10
    assert least_sum(found.W) == pytest.approx(found.value, rel=1e-9)


def test_between_the_largest_entry_and_the_sum_of_entries():
    problem = mf.load("equal:n=6,T=8,d=10,seed=3")
    value = {norm: mf.solve(problem, norm).value for norm in ("entry-linf", "cut", "entry-l1", "nuclear", "operator")}
    assert value["entry-linf"] <= value["cut"] * (1 + 1e-9) and value["cut"] <= value["entry-l1"]
    # Grothendieck: |W|_op / sqrt(d d_z) <= pi_inf, and x y' has nuclear norm sqrt(d d_z).
    assert value["nuclear"] / 10 <= value["cut"] and value["operator"] / 10 <= value["cut"]


def test_contradicting_data_and_long_sides():
    tokens = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]])
    apart = mf.Problem(tokens, np.ones((2, 2)), np.array([[1.0, 0.0], [1.0, 0.0]]))
    found = mf.solve(apart, "cut")
    assert found.status.name == "infeasible" and found.certificate.upper == np.inf and found.reason
    with pytest.raises(InputError, match="at most 20 on the shorter side"):
        mf.solve("sphere:n=2,T=3,d=21,seed=0", "cut")
    with pytest.raises(InputError, match="NP-hard"):
        Cut().dual_value(np.ones((21, 22)))
    assert Cut().dual_value(np.ones((20, 1))) == 20.0


def test_saved_loaded_and_verified(tmp_path):
    found = mf.solve("equal:n=3,T=4,d=5,seed=2", "cut")
    found.save(tmp_path / "cut.npz")
    verified = verify_saved(tmp_path / "cut.npz")
    assert verified.holds and verified.gap < 1e-10
    assert verified.lower <= found.value <= verified.upper * (1 + 1e-12)
    again = mf.Solution.load(tmp_path / "cut.npz")
    assert again.certificate == found.certificate and again.norm == found.norm and np.array_equal(again.W, found.W)
    assert again.unique is None and again.rank is None


@pytest.mark.parametrize("change", ["W", "dual", "lower", "upper"])
def test_forgeries_are_refused(tmp_path, change):
    mf.solve("equal:n=3,T=4,d=5,seed=2", "cut").save(tmp_path / "cut.npz")
    arrays = dict(read_npz(tmp_path / "cut.npz"))
    if change == "W":
        arrays["W"] = arrays["W"] + 1e-6 * np.eye(5)
    elif change == "dual":
        arrays["dual"] = arrays["dual"] + 1e-6
    else:
        arrays[change] = np.asarray(float(arrays[change]) * (1.0 + (1e-7 if change == "lower" else -1e-7)))
    arrays["digest"] = np.asarray(digest(arrays))
    write_npz(tmp_path / "forged.npz", **arrays)
    assert not verify_saved(tmp_path / "forged.npz").holds
    with pytest.raises(InputError):
        mf.Solution.load(tmp_path / "forged.npz")


def test_the_referee_is_exact():
    rng = np.random.default_rng(5)
    for shape in ((3, 3), (2, 5), (5, 2)):
        M = rng.standard_normal(shape)
        M[0] = M[0, 0]
        exact = max(
            sum(Exact.of(M).fraction(int(v)) * int(s) for v, s in zip(Exact.of(M).whole.ravel(), pair, strict=True))
            for pair in all_pairs(*shape)
        )
        assert referee.cut_up(Exact.of(M)) == exact
    W = rng.standard_normal((3, 4))
    assert float(referee.cut_dual_up(Exact.of(W), None)) == pytest.approx(np.abs(W).sum(), rel=1e-15)
    assert least_sum(W) * (1 - 1e-12) <= float(referee.cut_dual_up(Exact.of(W), Exact.of(W))) <= np.abs(W).sum()


def test_mutual_prices_stop_only_at_the_optimum(monkeypatch):
    """A tolerance of a tenth in pricing leaves a gap that the certificate shows: nothing is called optimal for it."""
    from marginflow.svm import cut

    monkeypatch.setattr(cut, "EXACT", 0.3)
    monkeypatch.setattr(cut_norm, "_EXACT", 0.3)
    found = mf.solve("equal:n=6,T=8,d=10,seed=1", "cut")
    assert found.status.name == "inaccurate" and found.certificate.gap > 1e-6
    assert largest(np.eye(2))[0] == 2.0
