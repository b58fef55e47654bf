"""Bounds of the norm of W by the parameters, which the flow does not raise over its margin (docs/attractors.md 2)."""

import math
from collections.abc import Mapping

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.norms import Operator


def squares(arrays: Mapping[str, Floats]) -> float:
    """|theta|^2, rounded up."""
    return rounding.up(sum(float((array * array).sum()) for array in arrays.values()), _roundings(arrays))


def between_factors(arrays: Mapping[str, Floats], imbalance: float) -> float:
    """sqrt(|theta|^4 - imbalance^2) / 2, rounded up, for two factors and `imbalance` <= |K'K - Q'Q|_*."""
    whole = squares(arrays)
    least = min(max(imbalance, 0.0), whole)
    return rounding.up(math.sqrt(whole - least) * math.sqrt(whole + least) / 2.0, 8)


def imbalance_of_matrices(K: Floats, Q: Floats) -> float:
    """A number that |K'K - Q'Q|_* is not below: <K'K - Q'Q, X> / |X| for the X found by eigenvectors."""
    C = K.T @ K - Q.T @ Q
    values, V = np.linalg.eigh(C)
    X = (V * np.where(values < 0.0, -1.0, 1.0)) @ V.T
    size = np.abs(K).T @ np.abs(K) + np.abs(Q).T @ np.abs(Q)
    error = rounding.gamma(len(K) + len(Q) + X.size + 8) * float((size * np.abs(X)).sum())
    return (float((C * X).sum()) - error) / Operator().value_upper(X) * (1.0 - 8 * rounding.U)


def imbalance_of_coordinates(k: Floats, q: Floats) -> float:
    """A number that sum |k_j^2 - q_j^2| is not below."""
    error = rounding.gamma(k.size + 8) * float((k * k + q * q).sum())
    return float(np.abs(k * k - q * q).sum()) - error


def _roundings(arrays: Mapping[str, Floats]) -> int:
    """Those of one sum over all entries."""
    return sum(array.size for array in arrays.values()) + 8
