"""Attention before a ReLU head: the problems of TF-as-SVM's multi_token, and which tokens their optimum shares.

A sample's output is sum_j relu(u_j) at u = C'p, C = X V the tokens' values and p its shares; the loss falls in label x
output. Where the label is -1 the output is to be least: a convex programme in p whose optimum is a set of tokens, and
`Sets` proves which. Where it is +1 the output is to be largest, and as it is convex in p, one token is best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, eye_array, hstack

from marginflow import rounding
from marginflow.arrays import Bools, Floats, Ints
from marginflow.gallery.torch_normals import TorchNormals, unit
from marginflow.problem.constraints import Constraints


SAMPLES: Final = 3
TOKENS: Final = 4

INNER: Final = 1e-9
"""Slopes of a kink this far from 0 and 1 say that the kink is met. Any number gives a proof; a smaller one a longer."""


@dataclass(frozen=True, eq=False)
class ReluHeads:
    """`B` problems of one width.

    Attributes:
        seeds: (B,) of torch's generator.
        X: (B, n, T, d) tokens.
        z: (B, n, d) queries.
        labels: (B, n) -1 or 1.
        values: (B, n, T, d) what each token adds before the ReLU, rounded to float64; proofs are of these numbers.
    """

    seeds: Ints
    X: Floats
    z: Floats
    labels: Floats
    values: Floats

    @classmethod
    def draw(cls, d: int, seeds: Sequence[int]) -> "ReluHeads":
        """The notebook's problems, up to last bits of float32 (`TorchNormals`); it leaves out those without a -1."""
        drawn = {seed: _draw(d, seed) for seed in seeds}
        kept = {seed: arrays for seed, arrays in drawn.items() if (arrays[2] < 0.0).any()}
        V, X, labels, z = (np.array(array, dtype=np.float64) for array in zip(*kept.values(), strict=True))
        return cls(np.array(list(kept)), X, z, labels, X @ V[:, None])

    def take(self, keep: Bools) -> "ReluHeads":
        """The problems where `keep` (B,)."""
        return ReluHeads(self.seeds[keep], self.X[keep], self.z[keep], self.labels[keep], self.values[keep])

    def constraints(self, k: int, members: Bools, reference: Ints) -> Constraints:
        """Of problem k: the `members` (n, T) stay level with `reference` (n,), which leaves all others behind."""
        X, rows = self.X[k], np.arange(SAMPLES)
        sample, token = np.nonzero(np.arange(TOKENS) != reference[:, None])
        a = X[rows, reference][sample] - X[sample, token]
        return Constraints(a, sample, self.z[k], token, equal=members[sample, token])


def _draw(d: int, seed: int) -> tuple[Any, ...]:
    normal = TorchNormals(seed)
    V = normal(d, d)
    X, signs, z = normal(SAMPLES, TOKENS, d), normal(SAMPLES), normal(SAMPLES, d)
    return unit(V.ravel()).reshape(d, d), unit(X), np.where(signs > 0.0, 1.0, -1.0), unit(z)


@dataclass(frozen=True, eq=False)
class Sets:
    """The shares of least loss, before any training.

    Attributes:
        shares: (B, n, T) of the optimum.
        gap: (B, n) the output at the shares is within it of the best one.
        error: (B, n) no share of any optimum is further from `shares`; inf where the optimum is not one point, or
            not proved to be: on a dead zone, where the output is 0, it is none.
    """

    shares: Floats
    gap: Floats
    error: Floats

    @classmethod
    def of(cls, heads: ReluHeads) -> "Sets":
        """By one linear programme for all samples, with bounds that trust no solver."""
        shares, gap, error = np.zeros(heads.X.shape[:3]), np.zeros(heads.labels.shape), np.zeros(heads.labels.shape)
        least, most = heads.labels < 0.0, heads.labels > 0.0
        shares[least], gap[least], error[least] = _least(heads.values[least])
        shares[most], error[most] = _largest(heads.values[most])
        return cls(shares, gap, error)

    @cached_property
    def members(self) -> Bools:
        """(B, n, T) the tokens with a share."""
        return self.shares > 0.0

    @cached_property
    def proved(self) -> Bools:
        """(B,) whether the shares of every sample are known well enough that no member can have none."""
        smallest = np.where(self.members, self.shares, 1.0).min(axis=2)
        return np.asarray((self.error < smallest).all(axis=1))

    @cached_property
    def several(self) -> Bools:
        """(B,) whether that is proved, and some sample has more than one member."""
        return self.proved & (self.members.sum(axis=2) > 1).any(axis=1)

    @cached_property
    def reference(self) -> Ints:
        """(B, n) the token of largest share."""
        return self.shares.argmax(axis=2)

    def take(self, keep: Bools) -> "Sets":
        """Those where `keep` (B,)."""
        return Sets(self.shares[keep], self.gap[keep], self.error[keep])


def _largest(C: Floats) -> tuple[Floats, Floats]:
    """Shares (B, T) of the token of largest output, and 0 where no rounding can change which it is, else inf."""
    output = np.maximum(C, 0.0).sum(axis=2)
    doubt = rounding.gamma(C.shape[2] + 2) * output.max(axis=1)
    first, second = np.sort(output, axis=1)[:, :-3:-1].T
    best = output.argmax(axis=1)
    return np.eye(C.shape[1])[best], np.where(first - second > 2.0 * doubt, 0.0, np.inf)


def _least(C: Floats) -> tuple[Floats, Floats, Floats]:
    """Shares (B, T), gaps (B,) and errors (B,) of min_p sum_j relu((C'p)_j)."""
    p, y = _programme(C)
    return p, *_bounds(C, p, y)


def _programme(C: Floats) -> tuple[Floats, Floats]:
    """Shares p (B, T) and slopes y (B, d) in [0, 1]: min sum_j s_j, s >= C'p, s >= 0, of all samples at once."""
    B, T, d = C.shape
    b, t, j = np.indices(C.shape).reshape(3, -1)
    A = hstack([coo_array((C.ravel(), (b * d + j, b * T + t))), -eye_array(B * d)], format="csr")
    shares = np.arange(B * T)
    ones: Any = coo_array((np.ones(B * T), (shares // T, shares)), shape=(B, B * (T + d))).tocsr()
    cost = np.repeat([0.0, 1.0], [B * T, B * d])
    found: Any = linprog(cost, A, np.zeros(B * d), ones, np.ones(B), method="highs-ds")
    p = np.maximum(found.x[: B * T].reshape(B, T), 0.0)
    return p / p.sum(axis=1, keepdims=True), np.clip(-found.ineqlin.marginals.reshape(B, d), 0.0, 1.0)


@np.errstate(divide="ignore", over="ignore")
def _bounds(C: Floats, p: Floats, y: Floats) -> tuple[Floats, Floats]:
    """The gap of p and y, and how far any optimum is from p; both (B,). Derived:

    For every optimum q with s = C'q, as relu(s) >= y s for slopes y in [0, 1],

        sum_t q_t (c_t'y - min c'y) + sum_j (relu(s_j) - y_j s_j) <= gap = sum_j relu((C'p)_j) - min_t c_t'y.

    Both sums have no negative term. So a token that loses by `slack` has q_t <= gap / slack, a kink whose slope is
    inside has |s_j| <= gap / min(y_j, 1 - y_j), and q solves, up to these, the equations that p solves.
    """
    B, T, d = C.shape
    at, size = np.einsum("btd,bt->bd", C, p), np.einsum("btd,bt->bd", np.abs(C), p)
    output, rough = np.maximum(at, 0.0).sum(axis=1), size.sum(axis=1)
    won, doubt = C @ y[:, :, None], rounding.gamma(d + 1) * (np.abs(C) @ y[:, :, None])
    low, high = (won - doubt)[..., 0], (won + doubt)[..., 0]
    # p adds up to 1 within gamma(T), each u_j and their sum are rounded.
    top = output + rounding.gamma(2 * T + d + 4) * rough
    gap = np.nextafter(top - low.min(axis=1), np.inf)
    member, inner = p > 0.0, np.minimum(y, 1.0 - y) > INNER
    slack = np.nextafter(low - high.min(axis=1)[:, None], -np.inf)
    lost = np.where(member, 0.0, np.where(slack > 0.0, gap[:, None] / slack, np.inf))
    kinks = np.where(inner, np.abs(at) + rounding.gamma(T + 1) * size + gap[:, None] / np.minimum(y, 1.0 - y), 0.0)
    sides = np.concatenate([np.ones((B, 1, T)), C.transpose(0, 2, 1) * inner[:, :, None]], axis=1)
    equations = np.concatenate([sides * member[:, None], np.eye(T) * ~member[:, None]], axis=1)
    carried = (np.abs(sides) @ np.where(np.isfinite(lost), lost, 0.0)[:, :, None])[..., 0].sum(axis=1)
    wrong = kinks.sum(axis=1) + lost.sum(axis=1) + carried + rounding.gamma(T + 2)
    spectrum = np.linalg.svd(equations, compute_uv=False)
    least = spectrum[:, -1] - 1e3 * rounding.U * spectrum[:, 0]
    return gap, np.where(least > 0.0, wrong * (1.0 + 1e-9) / least, np.inf)
