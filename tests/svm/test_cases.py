"""Problems from bug reports of other solvers, on which this one was wrong or undecided once."""

import json
import warnings
from fractions import Fraction
from pathlib import Path

import pytest

import bank
import marginflow as mf
from marginflow.cli.main import main
from marginflow.problem.named import load
from marginflow.svm.describe import describe_problem


CASES = Path(__file__).parents[1] / "data" / "svm"

ONE = 1 / Fraction(100.4534)
"""The value of the rows (100.4534, h), (100.4534, -h) under every norm of diagonal weights and, with z = 1, of all."""


def _solved(case, norm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mf.solve(load(str(CASES / f"{case}.npz")), norm)


@pytest.mark.parametrize("norm", bank.NORMS)
def test_an_infeasible_problem_is_so_under_every_norm(norm):
    solution = _solved("B4-infeasible-only-nuclear-proves", norm)
    assert solution.status is mf.SvmStatus.infeasible
    assert "exactly, in rational arithmetic" in solution.reason


def test_describe_agrees():
    found = describe_problem(load(str(CASES / "B4-infeasible-only-nuclear-proves.npz")))
    assert found.separable is found.diagonal_separable is False
    found = describe_problem(load(str(CASES / "columns-near-contradiction.npz")))
    assert found.separable is found.diagonal_separable is True


@pytest.mark.parametrize("norm", bank.DIAGONAL_NORMS)
def test_columns_that_nearly_contradict_are_separable(norm):
    """Exact l1 value 20000003.18747, by the simplex method in rationals."""
    solution = _solved("columns-near-contradiction", norm)
    assert solution.certificate.lower < 20000003.1875
    assert solution.status is not mf.SvmStatus.infeasible
    assert solution.certificate.upper < float("inf")
    if norm == "l1":
        assert solution.certificate.upper > 20000003.1874
    if norm == "linf":
        # The first search separates nothing; the second starts where the proof of feasibility ended.
        assert solution.certificate.gap < 1e-5


@pytest.mark.parametrize("norm", bank.DIAGONAL_NORMS)
@pytest.mark.parametrize("case", ["l1-gap-met-but-inaccurate", "l1-1e40"])
def test_one_long_row_direction(case, norm):
    solution = _solved(case, norm)
    assert solution.status is mf.SvmStatus.optimal
    assert Fraction(solution.certificate.lower) <= ONE <= Fraction(solution.certificate.upper)


@pytest.mark.parametrize("norm", bank.DIAGONAL_NORMS)
@pytest.mark.parametrize("h", [1e60, 1e90])
def test_up_to_the_largest_numbers(h, norm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solution = mf.solve(mf.Constraints([[100.4534, h], [100.4534, -h]], [0, 0], [[1.0, 1.0]]), norm)
    assert solution.status is mf.SvmStatus.optimal, solution.reason
    assert Fraction(solution.certificate.lower) <= ONE <= Fraction(solution.certificate.upper)


@pytest.mark.parametrize("norm", bank.MATRIX_NORMS)
@pytest.mark.parametrize("case", ["big-coeff-1e+11", "big-coeff-1e+12", "big-coeff-1e+13"])
def test_a_large_coefficient(case, norm):
    solution = _solved(case, norm)
    assert solution.status is mf.SvmStatus.optimal
    assert Fraction(solution.certificate.lower) <= ONE <= Fraction(solution.certificate.upper)


def test_printed_bounds_are_rounded_outwards(capsys):
    path = str(CASES / "one-third.npz")
    assert main(["svm", path, "--norm", "frobenius"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("certified"))
    lower, upper = line.split("[")[1].split("]")[0].split(", ")
    assert Fraction(lower) <= Fraction(1, 3) <= Fraction(upper)
    assert Fraction(upper) - Fraction(lower) < Fraction(1, 10**11)


def test_the_reason_is_printed(capsys):
    path = str(CASES / "B4-infeasible-only-nuclear-proves.npz")
    assert main(["svm", path, "--norm", "l2"]) == 0
    assert "contradict each other" in capsys.readouterr().out
    assert main(["svm", path, "--norm", "l2", "--json"]) == 0
    assert "contradict each other" in json.loads(capsys.readouterr().out)["reason"]
    assert main(["svm", "sphere:n=3,T=4,d=6,seed=1", "--norm", "frobenius", "--tol", "1e-15"]) == 1
    assert "as near as float64 brings them" in capsys.readouterr().out
