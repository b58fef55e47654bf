"""What the same figures are without training's pairing of keys with queries, and without training at all."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.heads.figures import figures
from marginflow.heads.head import Head
from marginflow.heads.triangles import Triangles


CONTROLS: Final = ("rotation", "iid")
SENTENCES: Final = {
    "rotation": "a random rotation between the same keys and queries",
    "iid": "independent Gaussian weights of the same norms",
}


def rotations(m: int, draws: int, random: np.random.Generator) -> Floats:
    """(draws, m, m) orthogonal matrices, uniform (Haar): QR of Gaussians with the signs of R taken out."""
    Q, R = np.linalg.qr(random.standard_normal((draws, m, m)))
    return np.asarray(Q * np.sign(np.diagonal(R, axis1=-2, axis2=-1))[:, None, :])


def rotated(head: Head, reduced: Triangles, draws: int, random: np.random.Generator) -> Floats:
    """(draws, 8) FIGURES of K' O Q with random rotations O: same spectra and row spaces of K and Q, chance pairing."""
    turns = rotations(len(head.K), draws, random)
    singular = _singular(reduced.keys @ (turns @ reduced.queries.T))
    own = reduced.query_gram if head.shared is None else head.shared
    queries = turns @ own @ np.swapaxes(turns, -1, -2)
    return figures(singular, reduced.factor_spectra, reduced.key_gram, queries, head.scale)


def independent(head: Head, reduced: Triangles, draws: int, random: np.random.Generator) -> Floats:
    """(draws, 8) FIGURES of independent Gaussian K and Q with the Frobenius norms of the head's.

    The other queries of a group are drawn as well, with the norm of theirs together.
    """
    m, (D, D_z) = len(head.K), (head.K.shape[1], head.Q.shape[1])
    size, query_size = np.linalg.norm(reduced.keys), np.linalg.norm(reduced.queries)
    keys = _scaled(gaussian_triangles(m, D, draws, random), size)
    queries = _scaled(gaussian_triangles(m, D_z, draws, random), query_size)
    gram = np.swapaxes(queries, -1, -2) @ queries
    if head.shared is not None:
        others = max(float(np.trace(head.shared)) - float(query_size) ** 2, 0.0)
        rest = _scaled(gaussian_triangles(m, D_z * (head.group - 1), draws, random), others**0.5)
        gram = gram + np.swapaxes(rest, -1, -2) @ rest
    spectra = (_singular(keys), _singular(queries))
    singular = _singular(keys @ np.swapaxes(queries, -1, -2))
    return figures(singular, spectra, np.swapaxes(keys, -1, -2) @ keys, gram, head.scale)


def gaussian_triangles(m: int, D: int, draws: int, random: np.random.Generator) -> Floats:
    """(draws, min(m, D), m) triangles of Gaussian (D, m) matrices, without drawing them.

    Bartlett's decomposition: chi variables with D, D - 1, ... degrees of freedom on the diagonal, normal ones above.
    """
    if m > D:
        return np.asarray(np.linalg.qr(random.standard_normal((draws, D, m)), mode="r"))
    out = np.triu(random.standard_normal((draws, m, m)), 1)
    place = np.arange(m)
    out[:, place, place] = np.sqrt(random.chisquare(D - place, size=(draws, m)))
    return out


def interval(values: Floats | Sequence[float]) -> tuple[float, float]:
    """The central 95 % of draws."""
    low, high = np.quantile(np.asarray(values, dtype=np.float64), [0.025, 0.975])
    return float(low), float(high)


def _singular(matrices: Floats) -> Floats:
    return np.asarray(np.linalg.svd(matrices, compute_uv=False), dtype=np.float64)


def _scaled(matrices: Floats, size: float | np.floating) -> Floats:
    own = np.linalg.norm(matrices, axis=(-2, -1), keepdims=True)
    return np.asarray(matrices * (float(size) / np.where(own > 0.0, own, 1.0)))
