"""Whether the optimum is the only one (derived in docs/svm.md, Uniqueness).

Strictly convex norms have one optimum; the certified radius says how well it is known. For the others an optimal
dual confines every optimum to a face, with margin 1 wherever the multiplier is positive. If the equations of the face
determine its coordinates, by more than the exact dual can differ from the one found, the optimum is unique; if not,
their kernel may lead to another one.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.norms import Frobenius
from marginflow.norms.faces import AbstractFace, AlignedCoordinates, AlignedMatrices, PinnedCoordinates, PinnedMatrices
from marginflow.svm.optimum.linear import linear_optimum
from marginflow.svm.optimum.optimum import Optimum
from marginflow.svm.optimum.radius import radius
from marginflow.svm.optimum.singular import least_singular_down
from marginflow.svm.proof.certificate import certify


@dataclass(frozen=True, eq=False)
class Uniqueness:
    """The verdict with the number that shows it.

    Attributes:
        unique: True, False, or None for undecided.
        number: the radius around W that holds every optimum (strictly convex norms); a lower bound of the smallest
            singular value of the equations of the face (unique, undecided); the distance |W1 - W2|_F / |W|_F (not
            unique).
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


def uniqueness(optimum: Optimum) -> Uniqueness:
    """Decide from the weights and multipliers of `optimum` alone."""
    certificate, norm = optimum.certificate, optimum.svm.norm
    if certificate.upper == 0.0:
        return Uniqueness(True, 0.0, "W = 0 is the only matrix of norm 0")
    if not optimum.found or not np.isfinite(certificate.gap):
        return Uniqueness(None, np.nan, "no optimum was found")
    if norm.strictly_convex:
        return Uniqueness(
            True,
            radius(optimum),
            f"the {norm.name} norm is strictly convex; the optimum lies within this distance of W, in that norm",
        )
    if min(optimum.weights.shape) == 1 and not norm.entrywise:
        return Uniqueness(True, np.nan, "W is one row or column, on which the norm is Euclidean and strictly convex")
    exact = linear_optimum(optimum)
    if exact is not None and exact.determined:
        return Uniqueness(True, np.inf, "the optimal face has one point, in rational numbers")
    if exact is not None and exact.other is not None:
        pair = [np.array([float(x) for x in beta]) for beta in (exact.beta, exact.other)]
        distance = _size(pair[0] - pair[1]) / _size(pair[0])
        sentence = "distance over |W|_F of two optima in rational numbers"
        svm = optimum.svm
        first, second = (svm.matrix(weights.reshape(svm.shape)) for weights in pair)
        return Uniqueness(False, distance, sentence, (first, second))
    if certificate.gap > _SHARP:
        return Uniqueness(
            None, np.nan, f"the gap {rounding.text_up(certificate.gap, 2)} is too wide to see the optimal face"
        )
    face = optimum.face
    if face is None:
        return Uniqueness(None, np.nan, f"the faces of the {norm.name} norm are not derived")
    least, needed = _determined(optimum, face)
    if least > needed:
        sentence = (
            "smallest singular value (certified) of the equations that fix W on the optimal face"
            if face.dimension
            else "the dual fixes every entry of W"
        )
        return Uniqueness(True, least, sentence)
    return _move(optimum, face) or Uniqueness(
        None,
        least,
        "the equations on the optimal face have a smallest singular value of at least "
        f"{rounding.text_down(least, 2)}, where {rounding.text_up(needed, 2)} would be needed for a proof, and no "
        "second optimum was found",
    )


def _determined(optimum: Optimum, face: AbstractFace) -> tuple[float, float]:
    """A lower bound of the smallest singular value of the face's equations, and what it must exceed.

    The equations count only where the multiplier of *every* optimal dual is positive; the bases of the face move by
    no more than the dual matrix can, over the gap that separates the face.
    """
    spread = optimum.dual_spread
    if spread is None:
        return 0.0, math.inf
    turned = _turned(face, spread.matrix)
    if not face.dimension:
        return (math.inf, 0.0) if turned < 1.0 else (0.0, math.inf)
    equal = optimum.svm.constraints.equal
    sure = np.flatnonzero((optimum.dual * optimum.lengths > spread.rows * (1.0 + 1e-12)) | equal)
    sure = sure[np.isin(sure, optimum.active)]
    if len(sure) * face.dimension > _ENTRIES:
        return 0.0, math.inf
    least = least_singular_down(face.free(*optimum.factors(sure)))
    if not turned < 1.0:
        return least, math.inf
    return least, optimum.stretch(sure) * turned / (1.0 - turned) + face.skew


def _turned(face: AbstractFace, moved: float) -> float:
    """What share of a difference of two optima can lie outside the free part of `face`, the dual being `moved` away.

    Matrices, aligned: the eigenspace at 1 of [[0, B*], [B*', 0]] is within eta = moved / (1 - b_{r+1}) of the face's:
    with [U; V] = (what the face has) + sqrt(2) Y, |Y| <= eta, D = U S V' is within 2 sqrt(2) eta + 2 eta^2 of it.
    Pinned: B*'D = 0 and D B*' = 0 leave at most 2 moved / b_q of D. Coordinates: the face is exact as soon as no
    coordinate can change sides.
    """
    if isinstance(face, AlignedMatrices):
        # The other eigenvalues are b_{r+1}, ... and, where the face is all of a square matrix, -1.
        square = face.r == len(face.left) == len(face.right)
        gap = (2.0 if square else 1.0 - face.below) - 2.0 * moved
        eta = moved / gap if gap > 0.0 else math.inf
        return 2.0 * math.sqrt(2.0) * eta + 2.0 * eta * eta
    if isinstance(face, PinnedMatrices):
        least = float(face.values[face.r - 1]) if face.r else math.inf
        return 2.0 * moved / least
    assert isinstance(face, AlignedCoordinates | PinnedCoordinates)
    return 0.0 if face.clear(moved) else math.inf


def _move(optimum: Optimum, face: AbstractFace) -> Uniqueness | None:
    """Walk from W along kernel directions of the face's equations, both ways, as far as the norm stays optimal."""
    size = _size(optimum.weights)
    best: tuple[float, Floats, Floats] | None = None
    for direction in _kernel(face.free(*optimum.factors(optimum.active))):
        D = face.lift(direction)
        length = _size(D)
        if length == 0.0:
            continue
        D *= size / length
        ends = [_end(optimum, sign * D) for sign in (1.0, -1.0)]
        distance = _size(ends[0] - ends[1]) / size
        if best is None or distance > best[0]:
            best = (distance, ends[0], ends[1])
    if best is None:
        return None
    distance, first, second = best
    gaps = [_gap(optimum, W) for W in (first, second)]
    if max(gaps) > max(optimum.tol, 10 * optimum.certificate.gap):
        return None
    if distance < max(1e-6, _APART * float(np.sqrt(max(gaps)))):
        return None
    return Uniqueness(
        False,
        distance,
        f"distance over |W|_F of two optima, both certified to a gap of {max(gaps):.1e}",
        (optimum.svm.matrix(first), optimum.svm.matrix(second)),
    )


def _size(W: Floats) -> float:
    return Frobenius().value(W)


def _kernel(E: Floats) -> list[Floats]:
    """A few unit directions x with E x = 0 as nearly as the equations allow."""
    rows, columns = E.shape
    generator = np.random.default_rng(0)
    if columns == 0:
        return []
    if columns <= rows:
        _, s, Vt = np.linalg.svd(E, full_matrices=False)
        null = Vt[s <= _NULL]
        if len(null) == 0:
            return []
        mixed = generator.standard_normal((3, len(null))) @ null
        return [*null[-3:], *(mixed / np.linalg.norm(mixed, axis=1)[:, None])]
    trials = generator.standard_normal((4, columns))
    if rows:
        for _ in range(2):
            trials -= np.linalg.lstsq(E, E @ trials.T, rcond=1e-12)[0].T
    lengths = np.linalg.norm(trials, axis=1)
    return [trial / length for trial, length in zip(trials, lengths, strict=True) if length > 1e-8]


def _end(optimum: Optimum, D: Floats) -> Floats:
    """The farthest of W + D, W + D/2, W + D/4, ... that is still optimal."""
    svm, allowed = optimum.svm, 2.0 * optimum.certificate.gap + 1e-13
    step = 2.0
    for _ in range(40):
        W = optimum.weights + step * D
        worst = svm.least_margin(W)
        if worst > 0.0 and svm.norm.value(W) / worst <= optimum.certificate.lower * (1.0 + allowed):
            return np.asarray(W / worst)
        step /= 2.0
    return optimum.weights


def _gap(optimum: Optimum, W: Floats) -> float:
    return certify(optimum.svm, W, optimum.dual).certificate.gap


_SHARP: Final = 1e-8
"""Certificates wider than this do not show the optimal face."""

_NULL: Final = 1e-10
"""Of unit rows: what the equations see of a direction that they do not determine is rounding, and the bases' error."""

_ENTRIES: Final = 4_000_000
"""Most entries of a system whose singular values are computed."""

_APART: Final = 100.0
"""Optima must be this many times farther apart than the square root of their gap."""
