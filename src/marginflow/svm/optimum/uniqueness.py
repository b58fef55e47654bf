"""Whether the optimum is the only one (derived in docs/svm.md, Uniqueness).

Strictly convex norms have one optimum; the certified radius says how well it is known. For the others an
optimal dual confines every optimum to a face: W = U1 S V1' (nuclear), the weights at |b_j| = 1 (l1), a free
block beside a fixed one (operator, linf), with margin 1 wherever the multiplier is positive. If the equations
of the face determine its coordinates the optimum is unique; else their kernel leads to another one.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.norms import Frobenius
from marginflow.svm.optimum.radius import radius
from marginflow.svm.proof.certificate import certify


if TYPE_CHECKING:
    from marginflow.svm.solution import Solution


@dataclass(frozen=True, eq=False)
class Uniqueness:
    """The verdict with the number that shows it.

    Attributes:
        unique: True, False, or None for undecided.
        number: the radius around W that holds every optimum (strictly convex norms); the smallest singular
            value of the face's equations (unique, undecided); the distance |W1 - W2|_F / |W|_F (not unique).
        sentence: what the number means.
        optima: two certified optima (d, d_z) when not unique, else ().
    """

    unique: bool | None
    number: float
    sentence: str
    optima: tuple[Floats, ...] = field(default=())

    @property
    def word(self) -> str:
        """unique, not unique or undecided."""
        return {True: "unique", False: "not unique", None: "undecided"}[self.unique]


def uniqueness(solution: "Solution") -> Uniqueness:
    """Decide from the weights and multipliers of `solution` alone."""
    certificate = solution.certificate
    if not np.isfinite(certificate.upper) or not np.isfinite(certificate.gap):
        return Uniqueness(None, np.nan, "no optimum was found")
    if certificate.upper == 0.0:
        return Uniqueness(True, 0.0, "W = 0 is the only matrix of norm 0")
    if solution.norm.strictly_convex:
        return Uniqueness(
            True,
            radius(solution),
            f"the {solution.norm.name} norm is strictly convex; "
            "the optimum lies within this distance of W, in that norm",
        )
    if certificate.gap > _SHARP:
        return Uniqueness(None, np.nan, f"the gap {certificate.gap:.1e} is too wide to see the optimal face")
    theta = max(_FLAT, float(np.sqrt(certificate.gap)))
    E, lift = _FACES[solution.norm.name](solution, theta)
    rows, columns = E.shape
    smallest = 0.0
    if columns == 0:
        return Uniqueness(True, np.inf, "the dual fixes every entry of W")
    if columns <= rows:
        length = np.sqrt((E * E).sum(axis=1))
        unit = E / np.maximum(length, 1e-12 * length.max(initial=1e-300))[:, None]
        smallest = float(np.linalg.svd(unit, compute_uv=False)[-1])
        if smallest > max(_FULL, 10.0 * theta):
            return Uniqueness(True, smallest, "smallest singular value of the equations that fix W on the optimal face")
    other = _move(solution, E, lift)
    return other or Uniqueness(
        None,
        smallest,
        "the equations on the optimal face are nearly dependent and no second optimum was found",
    )


Face = tuple[Floats, Callable[[Floats], Floats]]
"""The equations (active rows) x (coordinates) and the map from coordinates to W."""


def _active(solution: "Solution", theta: float) -> Ints:
    """Constraints whose multiplier is positive for certain: every optimum has margin 1 there."""
    constraints = solution.constraints
    share = solution.dual * np.abs(constraints.a).max(axis=1) * np.abs(constraints.queries).max(axis=1)
    return np.flatnonzero(share > 0.1 * theta * share.max())


def _unit(rows: Floats) -> Floats:
    """Rows scaled to largest entry one, so that their products stay in range."""
    return np.asarray(rows / np.maximum(np.abs(rows).max(axis=1, initial=0.0), 1e-300)[:, None])


def _nuclear(solution: "Solution", theta: float) -> Face:
    U, b, Vt = np.linalg.svd(solution.constraints.adjoint(solution.dual))
    r = int((b >= 1.0 - theta).sum())
    J = _active(solution, theta)
    x, y = _unit(solution.constraints.a[J]) @ U[:, :r], _unit(solution.constraints.queries[J]) @ Vt[:r].T
    i, j = np.triu_indices(r)
    E = x[:, i] * y[:, j]
    off = i != j
    E[:, off] = (E[:, off] + x[:, j[off]] * y[:, i[off]]) / np.sqrt(2.0)

    def lift(coordinates: Floats) -> Floats:
        S = np.zeros((r, r))
        S[i, j] = np.where(off, coordinates / np.sqrt(2.0), coordinates)
        S[j, i] = S[i, j]
        return np.asarray(U[:, :r] @ S @ Vt[:r])

    return E, lift


def _operator(solution: "Solution", theta: float) -> Face:
    U, b, Vt = np.linalg.svd(solution.constraints.adjoint(solution.dual))
    q = int((b > theta * b[0]).sum())
    J = _active(solution, theta)
    x, y = _unit(solution.constraints.a[J]) @ U[:, q:], _unit(solution.constraints.queries[J]) @ Vt[q:].T
    E = (x[:, :, None] * y[:, None, :]).reshape(len(J), -1)

    def lift(coordinates: Floats) -> Floats:
        return np.asarray(U[:, q:] @ coordinates.reshape(x.shape[1], y.shape[1]) @ Vt[q:])

    return E, lift


def _l1(solution: "Solution", theta: float) -> Face:
    b = np.abs(solution.dual @ solution.constraints.diagonal)
    return _coordinates(solution, np.flatnonzero(b >= 1.0 - theta), theta)


def _linf(solution: "Solution", theta: float) -> Face:
    b = np.abs(solution.dual @ solution.constraints.diagonal)
    return _coordinates(solution, np.flatnonzero(b <= theta * b.max()), theta)


def _coordinates(solution: "Solution", free: Ints, theta: float) -> Face:
    d = solution.W.shape[0]
    E = _unit(solution.constraints.diagonal[_active(solution, theta)])[:, free]

    def lift(coordinates: Floats) -> Floats:
        W = np.zeros((d, d))
        W[free, free] = coordinates
        return W

    return E, lift


_FACES: Final[dict[str, Callable[["Solution", float], Face]]] = {
    "nuclear": _nuclear,
    "operator": _operator,
    "l1": _l1,
    "linf": _linf,
}


def _move(solution: "Solution", E: Floats, lift: Callable[[Floats], Floats]) -> Uniqueness | None:
    """Walk from W along kernel directions of E, both ways, as far as the norm stays optimal."""
    size = _size(solution.W)
    best: tuple[float, Floats, Floats] | None = None
    for direction in _kernel(E):
        D = lift(direction)
        length = _size(D)
        if length == 0.0:
            continue
        D *= size / length
        ends = [_end(solution, sign * D) for sign in (1.0, -1.0)]
        distance = _size(ends[0] - ends[1]) / size
        if best is None or distance > best[0]:
            best = (distance, ends[0], ends[1])
    if best is None:
        return None
    distance, first, second = best
    gaps = [_gap(solution, W) for W in (first, second)]
    if max(gaps) > max(solution.tol, 10 * solution.certificate.gap):
        return None
    if distance < max(1e-6, _APART * float(np.sqrt(max(gaps)))):
        return None
    return Uniqueness(
        False,
        distance,
        f"distance over |W|_F of two optima, both certified to a gap of {max(gaps):.1e}",
        (first, second),
    )


def _size(W: Floats) -> float:
    return Frobenius().value(W)


def _kernel(E: Floats) -> list[Floats]:
    """A few unit directions x with E x = 0 as nearly as the equations allow."""
    rows, columns = E.shape
    generator = np.random.default_rng(0)
    if columns <= rows:
        _, s, Vt = np.linalg.svd(E, full_matrices=False)
        null = Vt[s <= 1e-7 * max(float(s[0]), 1e-300)]
        if len(null) == 0:
            null = Vt[-1:]
        mixed = generator.standard_normal((3, len(null))) @ null
        return [*null[-3:], *(mixed / np.linalg.norm(mixed, axis=1)[:, None])]
    trials = generator.standard_normal((4, columns))
    for _ in range(2):
        trials -= np.linalg.lstsq(E, E @ trials.T, rcond=1e-12)[0].T
    lengths = np.linalg.norm(trials, axis=1)
    return [trial / length for trial, length in zip(trials, lengths, strict=True) if length > 1e-8]


def _end(solution: "Solution", D: Floats) -> Floats:
    """The farthest of W + D, W + D/2, W + D/4, ... that is still optimal."""
    allowed = 2.0 * solution.certificate.gap + 1e-13
    step = 2.0
    for _ in range(40):
        W = solution.W + step * D
        worst = float(solution.constraints.margins(W).min())
        value = solution.norm.value(W.diagonal() if solution.norm.diagonal else W)
        if worst > 0.0 and value / worst <= solution.certificate.lower * (1.0 + allowed):
            return np.asarray(W / worst)
        step /= 2.0
    return solution.W


def _gap(solution: "Solution", W: Floats) -> float:
    svm = solution.svm
    return certify(svm, svm.weights(W), solution.dual).certificate.gap


_SHARP: Final = 1e-8
"""Certificates wider than this do not show the optimal face."""

_FLAT: Final = 1e-6
"""Distance from 1 (dual singular values) or from 0 (multipliers) that counts as none."""

_FULL: Final = 1e-5
"""Smallest singular value of the normalised equations that counts as full rank."""

_APART: Final = 100.0
"""Optima must be this many times farther apart than the square root of their gap."""
