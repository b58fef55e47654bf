"""Every file that the library writes verifies and loads: same arrays, same status, same bounds, same words."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from
from ugly_problems import near_contradiction, ugly

import bank
import marginflow as mf
from marginflow.svm.candidate import Candidate
from marginflow.svm.proof.status import answer
from marginflow.svm.referee.verify import verify_saved


def _round_trip(solution, path):
    solution.save(path)
    verification = verify_saved(path)
    assert verification.holds, str(verification)
    loaded = mf.Solution.load(path)
    for name in ("W", "dual"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(solution, name))
    for name in ("status", "reason", "tol", "iterations"):
        assert getattr(loaded, name) == getattr(solution, name), name
    assert (loaded.certificate.lower, loaded.certificate.upper) == (
        solution.certificate.lower,
        solution.certificate.upper,
    )
    assert loaded.value == solution.value or np.isnan(loaded.value) == np.isnan(solution.value) == True  # noqa: E712
    certificate = solution.certificate
    assert (solution.status is mf.SvmStatus.optimal) == (certificate.gap <= solution.tol)
    if np.isfinite(certificate.upper):
        assert certificate.lower <= solution.value <= certificate.upper


@settings(max_examples=20, deadline=None)
@given(integers(0, 10**6), sampled_from(bank.NORMS))
def test_nearly_contradicting_data(tmp_path_factory, seed, norm):
    _round_trip(mf.solve(near_contradiction(seed), norm), tmp_path_factory.mktemp("near") / "a.npz")


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_two_hundred_near_contradictions(tmp_path, first):
    for seed in range(first, first + 50):
        _round_trip(mf.solve(near_contradiction(seed), bank.NORMS[seed % len(bank.NORMS)]), tmp_path / "a.npz")


def test_weights_without_a_lower_bound(tmp_path):
    """Multipliers of zero leave a gap of infinity, which is a reason of its own."""
    problem = bank.sphere(2, 3, 4)
    fine = mf.solve(problem, "nuclear")
    found = answer(fine.svm, 1e-9, Candidate(fine.W, np.zeros(len(fine.dual))))
    arrays = found.certified
    assert arrays.certificate.lower == 0.0 < arrays.certificate.upper < np.inf
    solution = replace(
        fine,
        W=arrays.W,
        dual=arrays.dual,
        value=arrays.value(fine.svm),
        certificate=arrays.certificate,
        status=found.status,
        reason=found.reason,
    )
    assert "from below" in solution.reason
    _round_trip(solution, tmp_path / "a.npz")


def _one_answer(seed, path):
    """Solve and save under every norm; the number of files. Norms of the same weights agree on feasibility."""
    problem, answers, files = ugly(seed), {}, 0
    if problem is None:
        return 0
    for norm in bank.NORMS:
        try:
            solution = mf.solve(problem, norm)
        except mf.UndefinedError:
            continue
        _round_trip(solution, path)
        files += 1
        separated = np.isfinite(solution.certificate.upper)
        answers.setdefault(solution.norm.diagonal, set()).add("weights" if separated else solution.status.name)
    assert all(not {"weights", "infeasible"} <= found for found in answers.values()), (seed, answers)
    assert all(len(found) == 1 or "infeasible" not in found for found in answers.values()), (seed, answers)
    return files


def test_a_few_of_every_kind(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(_one_answer(seed, tmp_path / "a.npz") for seed in range(12)) == 138


_FILES = dict(zip(range(0, 200, 20), (228, 222, 216, 222, 222, 216, 228, 228, 222, 234), strict=True))
"""By first seed; data without a diagonal norm, or without a draw, make fewer."""


@pytest.mark.long
@pytest.mark.parametrize("first", _FILES)
def test_fifteen_hundred_files(tmp_path, first):
    """Of 200 seeds, in pieces that can be run one by one (`-k "files and 40"`)."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(_one_answer(seed, tmp_path / "a.npz") for seed in range(first, first + 20)) == _FILES[first]


def test_the_pieces_are_fifteen_hundred():
    assert sum(_FILES.values()) > 1500
