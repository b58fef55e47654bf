"""Square systems in rational numbers."""

from collections.abc import Sequence
from fractions import Fraction


def solve_rational(
    matrix: Sequence[Sequence[Fraction | int]], right: Sequence[Fraction | int]
) -> list[Fraction] | None:
    """The solution of a square system by fraction-free elimination (Bareiss 1968); None where it is singular.

    Denominators must be powers of two, as those of float64 numbers and of integers are.
    """
    size = len(matrix)
    rows: list[list[int]] = []
    for row, value in zip(matrix, right, strict=True):
        common = 1
        for x in (*row, value):
            # The largest power of two is a common denominator.
            common = max(common, x.denominator)
        rows.append([int(x * common) for x in (*row, value)])
    previous = 1
    for k in range(size):
        pivot = next((i for i in range(k, size) if rows[i][k]), None)
        if pivot is None:
            return None
        rows[k], rows[pivot] = rows[pivot], rows[k]
        head = rows[k]
        for i in range(k + 1, size):
            below, first = rows[i], rows[i][k]
            rows[i] = [0] * (k + 1) + [
                (head[k] * below[j] - first * head[j]) // previous for j in range(k + 1, size + 1)
            ]
        previous = head[k]
    solution = [Fraction(0)] * size
    for k in reversed(range(size)):
        known = sum((rows[k][j] * solution[j] for j in range(k + 1, size)), Fraction(0))
        solution[k] = (rows[k][size] - known) / rows[k][k]
    return solution
