"""The numbers of a head, from spectra and m x m products; stacks of heads or control draws at once."""

from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.heads.triangles import Triangles


FIGURES: Final = (
    "nuclear",
    "frobenius",
    "operator",
    "effective_rank",
    "rank90",
    "balance",
    "alignment",
    "commutator",
)
"""The columns of every figure array, in this order."""

SHARE: Final = 0.9
"""rank90: components that hold this share of the squared singular values."""


def norms_and_ranks(singular: Floats) -> Floats:
    """(..., 5) nuclear, Frobenius and operator norm, effective rank and rank90 of spectra (..., r), descending.

    The effective rank is exp of the entropy of the singular values over their sum (Roy and Vetterli, EUSIPCO 2007).
    Zero matrices have rank 0.
    """
    nuclear = singular.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = singular / nuclear[..., None]
        entropy = -np.where(share > 0.0, share * np.log(share), 0.0).sum(axis=-1)
    effective = np.where(nuclear > 0.0, np.exp(entropy), 0.0)
    # Squares of what is small beside the largest may vanish; the ratio does not overflow.
    top = singular.max(axis=-1, initial=0.0)
    relative = singular / np.where(top > 0.0, top, 1.0)[..., None]
    return np.stack([nuclear, top * np.sqrt((relative**2).sum(axis=-1)), top, effective, rank90(relative)], axis=-1)


def rank90(singular: Floats) -> Floats:
    """(...,) how many components hold 90 % of the squared singular values (..., r), descending; 0 of a zero matrix."""
    held = np.cumsum(singular**2, axis=-1)
    # Shares that meet .9 to rounding count as met: four of five equal values do.
    enough = held >= (SHARE - 1e-12) * held[..., -1:]
    return np.where(held[..., -1] > 0.0, enough.argmax(axis=-1) + 1.0, 0.0)


def balance(keys: Floats, queries: Floats) -> Floats:
    """(...,) |KK' - QQ'| / (|KK'| + |QQ'|), Frobenius norms of (..., m, m); 0 of zeros."""
    total = _size(keys) + _size(queries)
    return _size(keys - queries) / np.where(total > 0.0, total, 1.0)


def commutator(keys: Floats, queries: Floats) -> Floats:
    """(...,) |KK'QQ' - QQ'KK'| over twice the product of their norms, at most 1/sqrt 2; 0 of zeros.

    Both are symmetric, so the second product is the transpose of the first.
    """
    product = keys @ queries
    total = 2.0 * _size(keys) * _size(queries)
    return _size(product - np.swapaxes(product, -1, -2)) / np.where(total > 0.0, total, 1.0)


def figures(singular: Floats, spectra: tuple[Floats, Floats], keys: Floats, queries: Floats, scale: float) -> Floats:
    """(..., 8) FIGURES of W = scale K'Q.

    Args:
        singular: (..., r) of K'Q, descending.
        spectra: singular values of K and of Q, (..., r) each or one for all.
        keys: (..., m, m) or (m, m), K K'.
        queries: Q Q', summed over the query heads that share the keys.
        scale: of the logits; alignment, balance and commutator do not know it.
    """
    most = (spectra[0] * spectra[1]).sum(axis=-1)
    alignment = singular.sum(axis=-1) / np.where(most > 0.0, most, 1.0)
    first = norms_and_ranks(singular)
    first[..., :3] *= scale
    rest = np.broadcast_arrays(balance(keys, queries), alignment, commutator(keys, queries))
    return np.concatenate([first, np.stack(rest, axis=-1)], axis=-1)


def own_figures(reduced: Triangles, shared: Floats | None, scale: float) -> Floats:
    """(8,) FIGURES of a head; `shared` as in `Head`."""
    queries = reduced.query_gram if shared is None else shared
    return figures(reduced.singular, reduced.factor_spectra, reduced.key_gram, queries, scale)


def _size(matrices: Floats) -> Floats:
    return np.asarray(np.linalg.norm(matrices, axis=(-2, -1)))
