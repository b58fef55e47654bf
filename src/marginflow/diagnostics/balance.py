"""The conserved quantity of separate keys and queries, and how balanced they are (docs/theory.md 3.7)."""

import numpy as np

from marginflow.arrays import Floats


def conserved(K: Floats, Q: Floats) -> Floats:
    """K'K - Q'Q, constant along the flow: (m, m) for K (d, m), Q (d_z, m); k^2 - q^2, (d,), for vectors."""
    if K.ndim == 1:
        return K * K - Q * Q
    return K.T @ K - Q.T @ Q


def relative_drift(start: tuple[Floats, Floats], now: tuple[Floats, Floats]) -> float:
    """|C_now - C_start|_F / (|K|^2 + |Q|^2) at the later time.

    The denominator is the size that rounding errors of C have: C is the difference of two matrices that grow,
    so float64 leaves about 1e-16 here however exact the flow is.
    """
    K, Q = now
    drift = conserved(K, Q) - conserved(*start)
    return float(np.linalg.norm(drift)) / float((K * K).sum() + (Q * Q).sum())


def balance(K: Floats, Q: Floats) -> float:
    """|K|_F^2 / |Q|_F^2, which tends to 1: the difference of the two is conserved while both grow."""
    size = float((Q * Q).sum())
    return float((K * K).sum()) / size if size else float("inf")


def imbalance(K: Floats, Q: Floats) -> float:
    """|K'K - Q'Q|_F / (|K|^2 + |Q|^2): 0 for balanced factors, at most 1."""
    return float(np.linalg.norm(conserved(K, Q))) / float((K * K).sum() + (Q * Q).sum())
