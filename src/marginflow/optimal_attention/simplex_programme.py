"""min l(sum_r V_r' p_r) over shares p_r >= 0, sum p_r = 1: one output's convex programme, solved and proved."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, starts_of_runs


EPS: Final = float(np.finfo(float).eps)
CENTRED: Final = 1e-14
"""Where the path of centres ends; products share x reduced cost there tell members from others."""


@dataclass(frozen=True, eq=False)
class Programme:
    """One output.

    Attributes:
        V: (N, k) the values of all tokens of its rows.
        row: (N,) the row of each, 0, 1, ..., ascending.
        value, gradient, terms, hessian: of the loss at u (k,); `terms` are the sizes that the gradient adds up.
        convex, smooth, bend: of the loss (`AbstractOutputLoss`); nothing is proved of one that is not convex.
    """

    V: Floats
    row: Ints
    value: Callable[[Floats], float]
    gradient: Callable[[Floats], Floats]
    terms: Callable[[Floats], Floats]
    hessian: Callable[[Floats], Floats]
    convex: bool
    smooth: float
    bend: float

    @property
    def starts(self) -> Ints:
        """(rows,) the first token of each row."""
        return starts_of_runs(self.row)


@dataclass(frozen=True, eq=False)
class Optimum:
    """Shares p (N,) and what is proved of them.

    Attributes:
        p: the shares; 0 outside `members`.
        members: (N,) bool.
        decided: whether every member has a share in the optimum and no other token has, with proof.
        unique: whether the optimum is one point, with proof.
        error: no entry of p is further from that point; inf where it is not unique.
        value: the loss there; gap: it is not larger than the least by more.
    """

    p: Floats
    members: Bools
    decided: bool
    unique: bool
    error: float
    value: float
    gap: float


def solve_programme(programme: Programme) -> Optimum:
    """The optimum: a path of centres to its face, Newton's method on it, and a proof that trusts neither."""
    p, members = _centre(programme)
    polished = _polish(programme, p, members)
    return _prove(programme, polished, polished > 0.0)


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def _centre(f: Programme) -> tuple[Floats, Bools]:
    """Shares near the centre of the optimal face, and which of them belong to it: share above reduced cost."""
    starts, row = f.starts, f.row
    p = (1.0 / np.bincount(row))[row]
    g = f.V @ f.gradient(p @ f.V)
    slack = g - np.minimum.reduceat(g, starts)[row] + max(float(np.ptp(g)), 1e-300)
    mu, size = float((p * slack).mean()), _rounding(f, p)
    onto = (row == np.arange(len(starts))[:, None]).astype(float)
    for _ in range(400):
        u = p @ f.V
        g = f.V @ f.gradient(u)
        nu = np.add.reduceat(p * (g - slack), starts)
        D = slack / p
        K = f.V @ f.hessian(u) @ f.V.T
        K[np.diag_indices_from(K)] += D
        scale = 1.0 / np.sqrt(np.diag(K))
        right = np.column_stack([mu / p - g + nu[row], onto.T])
        try:
            solved = np.linalg.solve(K * scale[:, None] * scale, right * scale[:, None]) * scale[:, None]
            dnu = np.linalg.solve(onto @ solved[:, 1:], 1.0 - np.add.reduceat(p, starts) - onto @ solved[:, 0])
        except np.linalg.LinAlgError:
            break  # every direction along a face of several optima is as good as rounding can tell
        dp = solved[:, 0] + solved[:, 1:] @ dnu
        ds = mu / p - slack - D * dp
        if not (np.isfinite(dp).all() and np.isfinite(ds).all()):
            break  # costs that float64 cannot tell from 0
        # Beyond a bend of 2 the quadratic model of the loss says nothing.
        bend = (f.bend if f.bend < math.inf else 1.0) * float(np.linalg.norm(dp @ f.V))
        step = min(1.0, 0.995 * _room(p, dp), 0.995 * _room(slack, ds), 2.0 / bend if bend > 2.0 else 1.0)
        p, slack = p + step * dp, slack + step * ds
        now, size = float((p * slack).mean()), _rounding(f, p)
        if now <= CENTRED * size and step > 0.5:
            break
        mu = now * (0.1 if step > 0.9 else 0.5 if step > 0.3 else 1.0)
    members = p > slack / size
    # A row without any is one whose costs are all rounding: nothing tells its tokens apart.
    return p, np.asarray(members | ~np.logical_or.reduceat(members, starts)[row])


def _rounding(f: Programme, p: Floats) -> float:
    """The size of which the costs have rounding errors: of the gradient's terms, and of the outputs in it."""
    u, V = p @ f.V, np.abs(f.V)
    return float((V @ (f.terms(u) + np.abs(f.hessian(u)) @ (p @ V))).max()) + 1e-300


def _room(x: Floats, dx: Floats) -> float:
    """How far along dx the positive x stays so."""
    down = dx < 0.0
    return float((x[down] / -dx[down]).min()) if down.any() else math.inf


def _polish(f: Programme, p: Floats, members: Bools) -> Floats:
    """Newton's method on the members alone, while it makes the loss flatter; 0 elsewhere."""
    p = np.where(members, p, 0.0)
    p /= np.add.reduceat(p, f.starts)[f.row]
    inside, row = np.flatnonzero(members), f.row[members]
    V, rows = f.V[inside], len(f.starts)
    best, flattest = p, math.inf
    for _ in range(30):
        u = p @ f.V
        g = V @ f.gradient(u)
        mean = np.bincount(row, g, rows) / np.bincount(row, minlength=rows)
        flat = float(np.abs(g - mean[row]).max())
        if not flat < 0.9 * flattest:
            break
        best, flattest = p, flat
        onto = (row == np.arange(rows)[:, None]).astype(float)
        K = np.block([[V @ f.hessian(u) @ V.T, onto.T], [onto, np.zeros((rows, rows))]])
        step = np.linalg.lstsq(K, np.concatenate([mean[row] - g, 1.0 - onto @ p[inside]]), rcond=1e-14)[0][: len(V)]
        new = p[inside] + min(1.0, 0.9 * _room(p[inside], step)) * step
        p = np.zeros(len(p))
        p[inside] = new / np.bincount(row, new, rows)[row]
    return best


def _prove(f: Programme, p: Floats, members: Bools) -> Optimum:
    """Bounds from convexity, and near the optimum from self-concordance (derived in theory 10.2)."""
    u = p @ f.V
    if not f.convex:
        return Optimum(p, members, False, False, math.inf, f.value(u), math.inf)
    g = f.V @ f.gradient(u)
    least = np.minimum.reduceat(g, f.starts)
    size = _rounding(f, p) * (1.0 + float(np.abs(u).max()))
    doubt = 4.0 * EPS * (len(p) + f.V.shape[1] + 8) * size * len(f.starts)
    gap = max(float((p * (g - least[f.row])).sum()), 0.0) + doubt
    value = f.value(u)
    cost = g - least[f.row] - doubt
    found = _Near.of(f, p, members, cost, gap)
    if found is not None:
        unique, error = True, found.error
        decided = bool((p[members] > error).all() and (cost > found.moved)[~members].all())
    else:
        # Whatever the members do, the gradient is this near to that of the optimum (cocoercivity).
        reach = float(np.sqrt((f.V * f.V).sum(axis=1)).max())
        moved = 2.0 * math.sqrt(2.0 * f.smooth * gap) * reach + doubt
        unique, error = False, math.inf
        decided = _single(f, members) and bool((cost > moved)[~members].all())
    return Optimum(p, members, decided, unique and decided, error, value, gap + 4.0 * EPS * abs(value))


@dataclass(frozen=True, eq=False)
class _Near:
    """How near to p the optimum is.

    Attributes:
        error: no share of a member differs by more.
        moved: no reduced cost differs by more.
    """

    error: float
    moved: Floats

    @classmethod
    def of(cls, f: Programme, p: Floats, members: Bools, cost: Floats, gap: float) -> "_Near | None":
        """None where the loss is too flat along the members, or a token outside costs no more than they do."""
        u = p @ f.V
        sigma = _least_curvature(f, u, members)
        if sigma <= 0.0 or not (cost[~members] > 0.0).all():
            return None
        lengths = np.sqrt((f.V * f.V).sum(axis=1))
        # What the optimum may give to tokens outside, as mass and as output.
        mass = float((gap / cost[~members]).sum())
        output = float((gap / cost[~members] * lengths[~members]).sum()) + mass * float(lengths.max())
        root = math.sqrt(sigma)
        wide = f.bend * float(np.linalg.norm(f.V[members]))
        a = wide * math.sqrt(gap) / root
        b = wide * math.sqrt(f.smooth) * output / root + f.bend * output
        if not (a < 0.3 and b < 0.3):
            return None
        # The exponent x = bend |u* - u| satisfies x <= a sqrt(1 + x) + b, so that it is below 1.
        distance = math.sqrt(1.6 * gap)
        error = (distance + math.sqrt(f.smooth) * output) / root + mass
        H = f.hessian(u)
        first = np.array([np.flatnonzero((f.row == r) & members)[0] for r in range(len(f.starts))])
        away = f.V - f.V[first][f.row]
        moved = math.e * distance * np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", away, H, away), 0.0)) * (1.0 + 1e-9)
        return cls(error, moved)


def _single(f: Programme, members: Bools) -> bool:
    """Whether every row has one member."""
    return bool((np.bincount(f.row, members, len(f.starts)) == 1).all())


def _least_curvature(f: Programme, u: Floats, members: Bools) -> float:
    """The least second derivative of the loss along changes of the members' shares; 0 where rounding could be all."""
    inside, row = np.flatnonzero(members), f.row[members]
    blocks = []
    for r in range(len(f.starts)):
        own = inside[row == r]
        if len(own) > 1:
            # Orthonormal directions of sum 0.
            basis = np.linalg.svd(np.ones((1, len(own))))[2][1:]
            blocks.append(basis @ f.V[own])
    if not blocks:
        return math.inf
    D = np.concatenate(blocks)
    H = f.hessian(u)
    spectrum = np.linalg.eigvalsh(D @ H @ D.T)
    size = float((np.abs(D) @ np.abs(H) @ np.abs(D).T).trace()) * (1.0 + float(np.abs(u).max()))
    doubt = 16.0 * EPS * (len(D) + f.V.shape[1]) * size
    return float(spectrum[0] - doubt) if spectrum[0] > 2.0 * doubt else 0.0
