"""Paths and limits that are known without integrating anything (docs/theory.md 3.8, 5.3, 6.6)."""

import math

import numpy as np

from marginflow.arrays import Floats


def diagonal_path(k: Floats, q: Floats, b: Floats) -> Floats:
    """(d,) beta = (P e^2b - M e^-2b) / 4 of the flow from k, q (d,); b integrates the force (theory 3.8)."""
    plus, minus = (k + q) ** 2, (k - q) ** 2
    return np.asarray((plus * np.exp(2 * b) - minus * np.exp(-2 * b)) / 4)


def single_sample(k: Floats, q: Floats, c: Floats, margin: float) -> Floats:
    """(d,) beta where the flow from k, q on the one constraint c.beta reaches `margin` (theory 5.3).

    The force is a multiple of c, so the path is beta(x) with b = c x and its margin increases with x.

    Raises:
        ValueError: the margin is not ahead of the start, or is not reached before overflow.
    """
    low, high = 0.0, 1.0
    if float(c @ diagonal_path(k, q, c * low)) >= margin:
        raise ValueError(f"the start is already beyond margin {margin:g}")
    while float(c @ diagonal_path(k, q, c * high)) < margin:
        high *= 2.0
        if high * np.abs(c).max() > 300.0:
            raise ValueError(f"margin {margin:g} is not reached")
    # Bisection to the last bit: the margin is monotone and its slope never vanishes.
    while (middle := 0.5 * (low + high)) not in (low, high):
        below = float(c @ diagonal_path(k, q, c * middle)) < margin
        low, high = (middle, high) if below else (low, middle)
    return diagonal_path(k, q, c * high)


def mirror_coordinate(beta: Floats, conserved: Floats) -> Floats:
    """(d,) grad Phi(beta) = arcsinh(2 beta / |c|) / 2, c = k^2 - q^2; its rate is the force (theory 3.8)."""
    return np.asarray(np.arcsinh(2.0 * beta / np.abs(conserved)) / 2.0)


def orthogonal_limit(K: Floats, Q: Floats, strengths: Floats) -> Floats:
    """(n, n) lim W / m_min on orthogonal data: correlations of the rows of K + Q (theory 6.6).

    Args:
        K, Q: (n, m) the start; row i belongs to constraint strengths_i W_ii >= 1.
        strengths: (n,).
    """
    rows = K + Q
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    size = 1.0 / np.sqrt(strengths)
    return np.asarray(rows @ rows.T * np.outer(size, size))


def finite_trap_threshold() -> float:
    """The stationary w of trap:finite: .9 x^2 - .2 x - 1 = 0 with x = e^w (theory 3.6)."""
    return math.log((1.0 + math.sqrt(91.0)) / 9.0)
