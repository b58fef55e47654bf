"""Alignment defects: 0 when aligned, whatever the rotation or multiplicity; linear in what breaks it."""

import numpy as np
import pytest

from marginflow.diagnostics.alignment import alignment, distance_to_spaces, shared_spaces, subspace_angle


ROUNDING = 1e-15


def rotation(n: int, seed: int) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def test_diagonal_factors_are_exactly_aligned() -> None:
    found = alignment(np.diag([0.3, 0.5, 0.5]), np.diag([0.1, -0.2, 0.7]), np.diag([2.0, 1.0, 1.0]))
    assert (found.force, found.inner, found.rates, found.worst) == (0.0, 0.0, 0.0, 0.0)


def test_rotations_do_not_change_the_defects() -> None:
    draw = np.random.default_rng(2)
    U, V, R = rotation(5, 1), rotation(4, 2), rotation(3, 3)
    K, Q = np.eye(5, 3) * [0.3, 0.5, 2.0], np.eye(4, 3) * [0.1, -0.2, 1.0]
    G = np.eye(5, 4) * [2.0, 1.0, 1.0, 0]
    generic = tuple(draw.standard_normal(shape) for shape in ((5, 3), (4, 3), (5, 4)))
    assert alignment(U @ K @ R, V @ Q @ R, U @ G @ V.T).worst <= ROUNDING
    K, Q, G = generic
    before, after = alignment(K, Q, G), alignment(U @ K @ R, V @ Q @ R, U @ G @ V.T)
    assert before.worst > 0.1
    assert vars(after) == pytest.approx(vars(before))


@pytest.mark.parametrize("size", [1e-8, 1e-4])
def test_a_small_break_is_seen_in_proportion(size: float) -> None:
    draw = np.random.default_rng(4)
    K, Q, G = np.diag([0.3, 0.5]), np.diag([0.1, -0.2]), np.diag([2.0, 1.0])
    E = draw.standard_normal((2, 2))
    one, half = (alignment(K + s * E, Q, G).worst for s in (size, size / 2))
    # Second order in the break is left: relative size `size` / 0.1.
    assert one == pytest.approx(2 * half, rel=20 * size)


def test_shared_spaces_with_repeated_singular_values() -> None:
    # B is diagonal in a basis of A's repeated space that no SVD routine would choose.
    R = rotation(2, 5)
    A = np.diag([2.0, 2.0, 1.0])
    B = np.zeros((3, 3))
    B[:2, :2] = R @ np.diag([3.0, -1.0]) @ R.T
    assert shared_spaces(A, B) <= ROUNDING
    B[0, 1] += 0.1
    assert shared_spaces(A, B) > 1e-3
    assert shared_spaces(A, 0 * B) == 0.0


def test_angles_between_spaces() -> None:
    angle = 1e-9
    e, f = np.array([[1.0], [0.0]]), np.array([[np.cos(angle)], [np.sin(angle)]])
    assert subspace_angle(e, f) == pytest.approx(np.sin(angle), rel=1e-6)
    assert subspace_angle(e, np.array([[0.0], [1.0]])) == 1.0
    assert distance_to_spaces(np.outer(e, f), e, f) <= ROUNDING
    assert distance_to_spaces(np.diag([0.0, 1.0]), e, e) == 1.0
    assert distance_to_spaces(np.zeros((2, 2)), e, e) == 0.0


def test_both_sides_count() -> None:
    """AB' symmetric does not make A'B so: orthogonal rows share their left space and nothing else."""
    A, B = np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])
    assert shared_spaces(A, B) == pytest.approx(np.sqrt(0.5))
    assert shared_spaces(A.T, B.T) == pytest.approx(shared_spaces(A, B))
    draw = np.random.default_rng(0)
    A, B = draw.standard_normal((2, 3, 5))
    left, right = A @ B.T, A.T @ B
    size = np.linalg.norm(left - left.T) + np.linalg.norm(right - right.T)
    assert shared_spaces(A, B) == pytest.approx(size / (2 * np.linalg.norm(A) * np.linalg.norm(B)))
