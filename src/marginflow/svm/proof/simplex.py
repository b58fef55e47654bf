"""Whether constraints contradict each other, decided in rational numbers: for what float64 cannot see.

lambda >= 0, M lambda = 0, sum lambda = 1 has a solution or some w has M_c' w > 0 for every column (Gordan). With rows
of level 0 only those of level 1 count in the sum, and w has M_c' w >= 0 at the others (Motzkin); an equality is two
columns, a row of level 0 each way. A basis is made by elimination, then the dual simplex method with costs zero moves
it until no multiplier is negative or a row shows that none can be (least index rule from some point on, so it ends:
Bland, Math. of Op. Res. 2, 1977). Integers over one common denominator throughout (Edmonds 1967), so nothing is
rounded.
"""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.svm.program import Svm
from marginflow.svm.proof.elimination import solve_rational


Whole = npt.NDArray[np.object_]
"""Python integers."""

LARGEST: Final = 64
"""Most constraints decided this way: elimination on more would take more than seconds."""


@dataclass(frozen=True, eq=False)
class Alternative:
    """Exactly one of the two.

    Attributes:
        multipliers: (C,) exact, >= 0 but for equalities, those of level 1 of sum 1, whose combination of the
            constraints vanishes.
        weights: exact weights, flat, largest entry 1, whose margins are positive at level 1, and meet all the others.
    """

    multipliers: list[Fraction] | None = field(default=None)
    weights: list[Fraction] | None = field(default=None)


def decide(svm: Svm, order: Floats) -> Alternative | None:
    """Decide at most `LARGEST` constraints, none of them zero; None where that takes more than seconds.

    Args:
        svm: the constraints; what the norm measures does not matter, only the weights that it allows.
        order: (C,) the first basis is made of those where this is large.
    """
    twice = np.flatnonzero(svm.constraints.equal)
    if len(svm) + len(twice) > LARGEST:
        return None
    M, powers = _columns(svm)
    M = np.hstack((M, -M[:, twice]))
    powers, order = powers + [powers[c] for c in twice], np.append(order, order[twice])
    counted = [int(lead) for lead in svm.leads.tolist()] + [0] * len(twice)
    sketch = _sketch(M)
    T = np.vstack((M if sketch is None else sketch @ M, np.array([counted], dtype=object)))
    T = np.hstack((T, np.zeros((len(T), 1), dtype=object)))
    T[-1, -1] = 1
    basis = _Basis(T)
    try:
        basis.eliminate(np.argsort(-order, kind="stable").tolist())
        short = None if basis.contradiction else basis.improve()
    except _TooLong:
        return None
    if basis.contradiction:
        rows, columns = basis.rows(), basis.columns()
        right = [counted[q] for q in columns]
    else:
        if short is None:
            exact = basis.solution()
            if any(
                M @ np.array([value.numerator * (basis.size // value.denominator) for value in exact], dtype=object)
            ):
                return None  # the sketch lost a dimension: does not happen to random integers in practice
            scaled = [value * Fraction(2) ** power for value, power in zip(exact, powers, strict=True)]
            for c, back in zip(twice.tolist(), scaled[len(svm) :], strict=True):
                scaled[c] -= back
            scaled = scaled[: len(svm)]
            total = sum((value for value, count in zip(scaled, counted, strict=False) if count), Fraction(0))
            return Alternative(multipliers=[value / total for value in scaled])
        rows, columns, right = basis.direction(short, counted)
    seen = M if sketch is None else sketch @ M
    weights = solve_rational(seen[rows][:, columns].T.tolist(), right)
    if weights is None:
        return None
    flat = np.zeros(len(M) if sketch is None else len(sketch), dtype=object)
    flat[:] = Fraction(0)
    flat[rows] = weights
    exact_weights: list[Fraction] = (flat if sketch is None else sketch.T @ flat).tolist()
    largest = max(abs(value) for value in exact_weights)
    return Alternative(weights=[value / largest for value in exact_weights])


def _columns(svm: Svm) -> tuple[Whole, list[int]]:
    """(D, C) the constraints as integer columns, column c being a_c z_c' (or a_c o z_c) times 2**power_c."""
    a, powers = _integers(svm.constraints.a, svm.slip)
    z, z_powers = _integers(svm.constraints.z, None)
    own = z[svm.constraints.sample]
    M = a * own if svm.diagonal else (a[:, :, None] * own[:, None, :]).reshape(len(a), -1)
    both = [p + z_powers[i] for p, i in zip(powers, svm.constraints.sample.tolist(), strict=True)]
    return M.T, both


def _integers(x: Floats, slip: Floats | None) -> tuple[Whole, list[int]]:
    """Rows of integers and the power of two that each was multiplied with."""
    out, powers = np.zeros(x.shape, dtype=object), []
    for r, row in enumerate(x.tolist()):
        exact = [Fraction(value) for value in row]
        if slip is not None:
            exact = [value + Fraction(extra) for value, extra in zip(exact, slip[r].tolist(), strict=True)]
        common = max(value.denominator for value in exact)
        whole = [int(value * common) for value in exact]
        shared = min(((v & -v).bit_length() - 1 for v in whole if v), default=0)
        out[r] = [v >> shared for v in whole]
        powers.append(common.bit_length() - 1 - shared)
    return out, powers


def _sketch(M: Whole) -> Whole | None:
    """Random small combinations of the rows of `M`, with the same row space, where there are many more than columns."""
    rows, columns = M.shape
    if rows <= 2 * columns + 8:
        return None
    signs = np.random.default_rng(0).integers(-1, 2, (columns + 4, rows))
    return np.asarray(signs.astype(object))


class _Basis:
    """The equations T x = t solved for basic variables, all entries over the common denominator `size` > 0."""

    def __init__(self, T: Whole) -> None:
        self.T, self.size = T, 1
        self.basic: dict[int, int] = {}  # row -> column
        self.count = T.shape[1] - 1
        self.work = 0

    def pivot(self, p: int, q: int) -> None:
        self.work += self.T.size * int(self.size).bit_length()
        if self.work > _WORK:
            raise _TooLong
        T = self.T
        head, factors = T[p].copy(), T[:, q].copy()
        pivot = head[q]
        T = (pivot * T - factors[:, None] * head[None, :]) // self.size
        T[p] = head
        if pivot < 0:
            T, pivot = -T, -pivot
        self.T, self.size = T, pivot
        self.basic[p] = q

    def eliminate(self, order: list[int]) -> None:
        """A basic column in every independent row."""
        last = len(self.T) - 1
        for q in order:
            free = [i for i in range(len(self.T)) if i not in self.basic and self.T[i, q]]
            if free:
                # The normalisation comes last: without it every column independent means that weights exist.
                rows = [i for i in free if i != last] or free
                self.pivot(rows[0], q)

    @property
    def contradiction(self) -> bool:
        """Whether no combination vanishes, whatever its signs: the normalisation cannot hold."""
        return len(self.T) - 1 not in self.basic

    def rows(self) -> list[int]:
        return sorted(i for i in self.basic if i != len(self.T) - 1)

    def columns(self) -> list[int]:
        return [self.basic[i] for i in self.rows()]

    def improve(self) -> int | None:
        """Pivot until no basic variable is negative (None), or return the row that shows one must be."""
        step = 0
        while True:
            step += 1
            short = [i for i in self.basic if self.T[i, -1] < 0]
            if not short:
                return None
            greedy = step < 3 * self.count
            p = min(short, key=lambda i: self.T[i, -1] if greedy else self.basic[i])
            row = self.T[p, :-1]
            falling = [q for q in range(self.count) if row[q] < 0]
            if not falling:
                return p
            self.pivot(p, min(falling, key=lambda q: row[q]) if greedy else falling[0])

    def solution(self) -> list[Fraction]:
        out = [Fraction(0)] * self.count
        for i, q in self.basic.items():
            out[q] = Fraction(int(self.T[i, -1]), int(self.size))
        return out

    def direction(self, p: int, counted: list[int]) -> tuple[list[int], list[int], list[int]]:
        """Equations w' M_c = right_c that fix weights of positive margins, from a row without negative entries.

        That row is y'M + y_0 `counted`, y_0 = -level < 0, zero at basic columns but one: w = y.
        """
        level = -int(self.T[p, -1])
        columns = list(self.basic.values())
        drop = next(q for i, q in self.basic.items() if self.T[i, -1])
        kept = [q for q in columns if q != drop]
        return self.rows(), kept, [level * counted[q] + (self.size if q == self.basic[p] else 0) for q in kept]


class _TooLong(Exception):
    """More arithmetic than `_WORK` allows."""


_WORK: Final = 2_000_000_000
"""Bits of tableau entries rewritten: some ten seconds."""
