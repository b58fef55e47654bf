"""Solutions: what they say, how they are saved, and what of a file is believed."""

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.npz import read_npz, write_npz


@pytest.mark.parametrize("norm", bank.NORMS)
def test_save_and_load(norm, tmp_path):
    problem = bank.sphere(3, 4, 10, 1)
    solution = mf.solve(problem, norm)
    solution.save(tmp_path / "a.npz")
    loaded = mf.Solution.load(tmp_path / "a.npz")
    for name in ("W", "dual"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(solution, name))
    assert loaded.status is solution.status
    assert loaded.value == solution.value
    assert loaded.iterations == solution.iterations
    assert loaded.tol == solution.tol
    assert loaded.norm == solution.norm
    assert loaded.certificate.gap <= 1e-9
    assert loaded.unique == solution.unique
    assert loaded.rank == solution.rank
    np.testing.assert_array_equal(loaded.problem.X, problem.X)


def test_the_fixed_arrays(tmp_path):
    solution = mf.solve(bank.sphere(3, 4, 5), "nuclear")
    solution.save(tmp_path / "a.npz")
    arrays = dict(np.load(tmp_path / "a.npz", allow_pickle=False))
    assert arrays["W"].shape == (5, 5)
    assert len(arrays["dual"]) == len(arrays["sample"]) == len(arrays["token"]) == 9


def test_a_file_of_version_one_is_certified_anew(tmp_path):
    """Written before claims were compared: what its arrays prove is returned, whatever it says."""
    mf.solve(bank.sphere(3, 4, 5), "nuclear").save(tmp_path / "a.npz")
    arrays = read_npz(tmp_path / "a.npz")
    arrays |= {"format": np.array(1), "lower": np.array(1.0), "upper": np.array(1.0), "interrupted": np.array(False)}
    write_npz(tmp_path / "b.npz", **arrays)
    loaded = mf.Solution.load(tmp_path / "b.npz")
    assert 1.0 < loaded.certificate.lower <= loaded.certificate.upper
    assert loaded.status is mf.SvmStatus.optimal


@pytest.mark.parametrize("said", ["optimal", "infeasible"])
def test_a_word_of_version_one_that_the_arrays_do_not_support_is_not_repeated(tmp_path, said):
    mf.solve(bank.sphere(3, 4, 5), "nuclear").save(tmp_path / "a.npz")
    arrays = read_npz(tmp_path / "a.npz")
    arrays |= {"format": np.array(1), "status": np.array(said), "dual": arrays["dual"][::-1].copy()}
    write_npz(tmp_path / "b.npz", **arrays)
    loaded = mf.Solution.load(tmp_path / "b.npz")
    assert loaded.status is mf.SvmStatus.inaccurate
    assert "do not support" in loaded.reason


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format", np.array(99), "format"),
        ("norm", np.array("trace"), "norm"),
        ("status", np.array("fine"), "status"),
        ("W", np.zeros((2, 2)), "expected"),
        ("dual", np.zeros(2), "expected"),
        ("sample", np.full(9, 50), "sample"),
        ("X", np.zeros((1, 1, 1)), "expected"),
    ],
)
def test_damaged_files_are_one_error(tmp_path, name, value, message):
    mf.solve(bank.sphere(3, 4, 5), "nuclear").save(tmp_path / "a.npz")
    arrays = read_npz(tmp_path / "a.npz")
    arrays[name] = value
    write_npz(tmp_path / "b.npz", **arrays)
    with pytest.raises(mf.InputError, match=message):
        mf.Solution.load(tmp_path / "b.npz")


def test_what_is_shown():
    solution = mf.solve(bank.sphere(3, 4, 5), "nuclear")
    assert "nuclear, optimal" in repr(solution)
    assert "gap" in repr(solution)
    assert solution.reason == ""
    assert "true value" in solution.status.value
    assert solution.uniqueness.word in ("unique", "not unique", "undecided")
    with pytest.raises(mf.InputError, match="beta"):
        _ = solution.beta


def test_beta_is_the_diagonal():
    solution = mf.solve(bank.sphere(2, 3, 6, 4), "l1")
    np.testing.assert_array_equal(np.diag(solution.beta), solution.W)


def test_results_cannot_be_changed():
    solution = mf.solve(bank.sphere(3, 4, 5), "nuclear")
    with pytest.raises(ValueError, match="read-only"):
        solution.W[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        solution.dual[0] = 1.0
    with pytest.raises(AttributeError):
        solution.value = 0.0


@pytest.mark.parametrize("norm", bank.NORMS)
def test_the_dual_is_scaled_to_stand_for_itself(norm):
    solution = mf.solve(bank.sphere(2, 3, 6, 4), norm)
    M = solution.constraints.adjoint(solution.dual)
    size = solution.norm.dual_value(M.diagonal() if solution.norm.diagonal else M)
    assert size == pytest.approx(1.0, abs=1e-9)
    assert size <= 1.0
    assert solution.dual.sum() == pytest.approx(solution.certificate.lower, rel=1e-12)


def test_loading_sharpens_what_solving_sharpened(tmp_path):
    solution = mf.solve(mf.Constraints([[1.0, 0], [-1, 1e-9]], [0, 0], [[1.0]]), "frobenius")
    solution.save(tmp_path / "a.npz")
    loaded = mf.Solution.load(tmp_path / "a.npz")
    assert loaded.status is mf.SvmStatus.optimal
    assert loaded.certificate.gap <= 1e-12


@pytest.mark.parametrize("a", [[[1.0, 0], [-1, 0]], [[0.0, 0], [1, 0]], [[1.0, 2], [3, -1], [-2, -1]]])
def test_infeasible_solutions_stay_so(tmp_path, a):
    mf.solve(mf.Constraints(a, [0] * len(a), [[1.0]]), "nuclear").save(tmp_path / "a.npz")
    loaded = mf.Solution.load(tmp_path / "a.npz")
    assert loaded.status is mf.SvmStatus.infeasible
    assert loaded.infeasibility > 1e10
