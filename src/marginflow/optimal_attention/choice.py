"""The finite part of a loss that is convex in W: -log of the label's share, inside the components of a graph."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats, Ints


EPS: Final = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Choice:
    """f(y) = sum over rows of log sum_l c_l e^{(P y)_l} - (P y)_label - log c_label, strictly convex in y.

    Attributes:
        P: (nodes, r) the logits of nodes as functions of y.
        nodes: for each row, the (t,) different nodes that stay; copies: how many tokens each is; label: which of them.
    """

    P: Floats
    nodes: Sequence[Ints]
    copies: Sequence[Ints]
    label: Sequence[int]


@dataclass(frozen=True, eq=False)
class Settled:
    """The minimum of a `Choice`.

    Attributes:
        y: (r,) the minimiser.
        value: f there; gap: f is not larger than its infimum by more, rounding included; inf where it is not known.
        decrement: Newton's, squared, half of it: what one more step would gain.
        error: no logit difference inside a row is further from the minimiser's.
    """

    y: Floats
    value: float
    gap: float
    decrement: float
    error: float


def settle(choice: Choice) -> Settled:
    """Newton's method, damped until it converges quadratically, and a bound of what is left (theory 10.3)."""
    y = np.zeros(choice.P.shape[1])
    if not len(y):
        value = _value(choice, y)
        return Settled(y, value, 64.0 * EPS * (1.0 + value), 0.0, 0.0)
    least, best = math.inf, y
    for _ in range(200):
        g, H = _derivatives(choice, y)
        step = -np.linalg.lstsq(H, g, rcond=None)[0]
        decrement = max(0.0, -float(g @ step))
        if decrement < least:
            least, best = decrement, y
        elif decrement < 1e-20:
            break
        if decrement < 1e-32:
            break
        # Of a self-concordant function; the range of a step in a row says how far its model holds.
        reach = max(float(np.ptp(choice.P[nodes] @ step)) for nodes in choice.nodes)
        y = y + step / max(1.0, reach)
    return _settled(choice, best, least)


def shares(choice: Choice, y: Floats) -> list[Floats]:
    """The shares of the kinds of every row."""
    return [_share(choice, i, y) for i in range(len(choice.nodes))]


def _share(choice: Choice, i: int, y: Floats) -> Floats:
    s = choice.P[choice.nodes[i]] @ y + np.log(choice.copies[i])
    e = np.exp(s - s.max())
    return np.asarray(e / e.sum())


def _value(choice: Choice, y: Floats) -> float:
    total = 0.0
    for i, label in enumerate(choice.label):
        s = choice.P[choice.nodes[i]] @ y + np.log(choice.copies[i])
        total += float(np.log1p(np.exp(np.delete(s, label) - s[label]).sum()))
    return total


def _derivatives(choice: Choice, y: Floats) -> tuple[Floats, Floats]:
    nodes = len(choice.P)
    g, S = np.zeros(nodes), np.zeros((nodes, nodes))
    for i, label in enumerate(choice.label):
        at, p = choice.nodes[i], _share(choice, i, y)
        off = np.array(p)
        off[label] = -np.delete(p, label).sum()
        g[at] += off
        S[np.ix_(at, at)] += np.diag(p) - np.outer(p, p)
    return choice.P.T @ g, choice.P.T @ (S @ choice.P)


def _settled(choice: Choice, y: Floats, decrement: float) -> Settled:
    g, H = _derivatives(choice, y)
    size = max(
        float(np.linalg.norm(choice.P[nodes] - choice.P[nodes[k]], axis=1).max())
        for nodes, k in zip(choice.nodes, choice.label, strict=True)
    )
    terms = max(len(nodes) for nodes in choice.nodes) + len(choice.nodes) + len(y) + 8
    logits = max(float(np.abs(choice.P[nodes] @ y).max()) for nodes in choice.nodes)
    doubt = 4.0 * EPS * terms * size * (1.0 + logits) * len(choice.nodes)
    formed = 4.0 * EPS * terms * (float(np.trace(H)) + size**2 * len(choice.nodes) * (1 + logits))
    curvature = _least_eigenvalue_down(H) - formed
    value = _value(choice, y)
    if curvature <= 0.0:
        return Settled(y, value, math.inf, 0.5 * decrement, math.inf)
    # Along the way to the minimum the second derivative falls no faster than e^(-rho t), rho the range of a logit
    # difference in a row on a step of unit length in the Hessian's norm.
    nu = (float(np.linalg.norm(g)) + doubt) / math.sqrt(curvature)
    rho = 2.0 * size / math.sqrt(curvature)
    if rho * nu >= 0.5:
        return Settled(y, value, math.inf, 0.5 * decrement, math.inf)
    t = -math.log1p(-rho * nu) / rho
    gap = nu * t + 4.0 * EPS * terms * (1.0 + logits) * len(choice.nodes)
    return Settled(y, value, gap, 0.5 * decrement, rho * t)


def _least_eigenvalue_down(H: Floats) -> float:
    """What no eigenvalue of the symmetric part of H (r, r) is below; 0 where that is not shown to be positive.

    eigvalsh only proposes it: if Cholesky's method runs on H - s in float64, no eigenvalue of that is below
    -gamma/(1 - gamma) times its trace, gamma = (r + 2) eps (Demmel 1989; Rump, BIT 2006, theorem 2.3).
    """
    S = 0.5 * (H + H.T)
    r = len(S)
    gamma = (r + 2) * EPS
    doubt = 4.0 * gamma * (float(np.trace(S)) + float(np.abs(S).max()))
    s = float(np.linalg.eigvalsh(S)[0]) - 2.0 * doubt
    if not s > 0.0:
        return 0.0
    try:
        np.linalg.cholesky(S - s * np.eye(r))
    except np.linalg.LinAlgError:
        return 0.0
    return s - doubt
