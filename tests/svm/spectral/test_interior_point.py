"""Interior points alone, for both norms of singular values."""

import pytest
from peers import nothing, unit_sphere

import marginflow as mf
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.spectral.interior_point import interior_point
from marginflow.svm.spectral.nuclear import Nuclear
from marginflow.svm.spectral.operator import OperatorNorm


@pytest.mark.parametrize(
    ("norm", "shape", "most"),
    [
        (Nuclear(), (6, 8, 10), 30),
        (Nuclear(), (20, 8, 20), 30),
        (OperatorNorm(), (6, 8, 10), 25),
        (OperatorNorm(), (12, 6, 12), 25),
        (OperatorNorm(), (20, 8, 20), 25),
    ],
)
def test_interior_point_alone(norm, shape, most):
    A = presolve(unit_sphere(*shape)).operator
    point, steps = interior_point(A, norm, nothing(A), 1e-9, 1e11)
    assert point.gap <= 1e-9
    assert steps <= most


@pytest.mark.parametrize("norm", [Nuclear(), OperatorNorm()])
def test_interior_point_sees_infeasible_data(norm):
    constraints = mf.Constraints([[1.0, 2], [-2, 1], [1, -3], [-1, -1]], [0] * 4, [[1.0]])
    A = presolve(constraints).operator
    point, _ = interior_point(A, norm, nothing(A), 1e-9, 1e11)
    assert point.lower > 1e11
