"""Problem families whose SVM values are known in closed form (theory 3.6 and 6)."""

from dataclasses import dataclass, field

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.problem.problem import Problem


LARGEST_N = 5000
"""Larger planted problems are refused: they would need arrays of more than 200 MB and show nothing new."""


@dataclass(frozen=True, eq=False)
class Planted:
    """A problem with the answers that a derivation gives for it.

    Attributes:
        problem: the data.
        values: SVM value by the norm's name ("nuclear", "frobenius", "operator", "l1", "l2").
        unique: whether the nuclear optimum is the only one; None where the family does not say.
        source: where the derivation is.
    """

    problem: Problem
    values: dict[str, float] = field(default_factory=dict)
    unique: bool | None = None
    source: str = ""


def pairs(a: Floats, z: Floats, *, name: str = "") -> Problem:
    """Two tokens per sample, a_i (score 1, optimal) and 0 (score 0): one constraint a_i z_i' each."""
    a = np.asarray(a, dtype=np.float64)
    X = np.stack([a, np.zeros_like(a)], axis=1)
    return Problem(X, z, np.tile([1.0, 0.0], (len(a), 1)), name=name)


def single(*, name: str = "single") -> Planted:
    """One sample, two tokens: a = (1,2,2), z = (3,4); every matrix norm gives 1/(|a||z|) (theory 6.1)."""
    value = 1 / 15
    values = {"nuclear": value, "frobenius": value, "operator": value}
    problem = pairs(np.array([[1.0, 2.0, 2.0]]), np.array([[3.0, 4.0]]), name=name)
    return Planted(problem, values, True, "theory 6.1")


def angle(c: float = 0.5, *, name: str = "") -> Planted:
    """Two samples whose differences meet at cosine `c`; queries e_1, e_2 (theory 6.3)."""
    if not -1 < c < 1:
        raise InputError(f"angle: got c={c:g}; expected a cosine strictly between -1 and 1")
    a = np.array([[1.0, 0.0], [c, np.sqrt((1 - c) * (1 + c))]])
    values = {
        "frobenius": np.sqrt(2.0),
        "nuclear": 2 / np.sqrt(1 + abs(c)),
        "operator": 2 / (np.sqrt(1 + c) + np.sqrt(1 - c)),
    }
    problem = pairs(a, np.eye(2), name=name or f"angle:c={c}")
    return Planted(problem, values, c != 0, "theory 6.3")


def spiked(n: int = 8, c: float = 0.25, *, name: str = "") -> Planted:
    """`n` differences sqrt(c) e_0 + sqrt(1-c) e_i with orthogonal queries (theory 6.4).

    The nuclear optimum has rank 1, the Frobenius one rank n.
    """
    if not 1 <= n <= LARGEST_N or not 0 <= c < 1:
        raise InputError(f"spiked: got n={n}, c={c:g}; expected n >= 1, n <= {LARGEST_N} and 0 <= c < 1")
    a = np.zeros((n, n + 1))
    a[:, 0] = np.sqrt(c)
    a[np.arange(n), np.arange(1, n + 1)] = np.sqrt(1 - c)
    values = {"frobenius": np.sqrt(n), "nuclear": n / np.sqrt(1 + (n - 1) * c)}
    problem = pairs(a, np.eye(n), name=name or f"spiked:n={n},c={c}")
    return Planted(problem, values, c > 0 or n == 1, "theory 6.4")


def sign_orbit(*, name: str = "sign-orbit") -> Planted:
    """The orbit of a = (2,1), z = (1,1) under sign changes: nuclear = l1, Frobenius = l2 (theory 6.5)."""
    s = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=float)
    l2 = 1 / np.sqrt(5)
    values = {"nuclear": 0.5, "frobenius": l2, "operator": 1 / 3, "l1": 0.5, "l2": l2, "linf": 1 / 3}
    return Planted(pairs(s * [2.0, 1.0], s * [1.0, 1.0], name=name), values, True, "theory 6.5")


def hadamard(bases: int = 3, seed: int = 3, *, name: str = "") -> Planted:
    """`bases` random pairs in 4 dimensions under the 4 Hadamard sign vectors: nuclear value = l1 value.

    The two values are equal by the derivation; the number itself is not known in closed form.
    """
    if not 1 <= bases <= LARGEST_N:
        raise InputError(f"hadamard: got bases={bases}; expected at least 1 and at most {LARGEST_N}")
    signs = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]], dtype=float)
    draw = np.random.default_rng(seed)
    a, z = np.abs(draw.standard_normal((2, bases, 4)))
    z[:, 1:] *= draw.choice([-1.0, 1.0], size=(bases, 3))
    orbit = signs[None, :, :]
    problem = pairs(
        (orbit * a[:, None, :]).reshape(-1, 4),
        (orbit * z[:, None, :]).reshape(-1, 4),
        name=name or f"hadamard:bases={bases},seed={seed}",
    )
    return Planted(problem, {}, None, "theory 6.5")


def orthogonal(n: int = 2, strength: float = 1.0, *, name: str = "") -> Planted:
    """Orthonormal a_i = z_i = e_i, the last a scaled by `strength` (theory 6.6).

    Every PSD matrix with the prescribed diagonal is a nuclear optimum: the value is known, the direction not.
    """
    if not 1 <= n <= LARGEST_N or not (np.isfinite(strength) and strength > 0):
        raise InputError(
            f"orthogonal: got n={n}, strength={strength:g}; expected n >= 1, n <= {LARGEST_N}, strength > 0"
        )
    a = np.eye(n)
    a[-1, -1] = strength
    diagonal = 1 / np.diag(a)
    values = {
        "nuclear": float(diagonal.sum()),
        "frobenius": float(np.sqrt((diagonal**2).sum())),
        "operator": float(diagonal.max()),
        "l1": float(diagonal.sum()),
        "l2": float(np.sqrt((diagonal**2).sum())),
    }
    default = f"orthogonal:n={n}" + ("" if strength == 1 else f",strength={strength}")
    return Planted(pairs(a, np.eye(n), name=name or default), values, n == 1, "theory 6.6")


def rank_infeasible(*, name: str = "rank-infeasible") -> Planted:
    """W11, W22, W12, -W21 >= 1: separable, but by no matrix of rank one (theory 6.7)."""
    e = np.eye(2)
    a = np.array([e[0], e[1], e[0], -e[1]])
    z = np.array([e[0], e[1], e[1], e[0]])
    values = {"nuclear": 2 * np.sqrt(2.0), "frobenius": 2.0, "operator": np.sqrt(2.0)}
    return Planted(pairs(a, z, name=name), values, None, "theory 6.7")


def trap_finite(*, name: str = "trap:finite") -> Planted:
    """Scores 1, .9, 0 on the line: starts beyond w = .1579 stop at the second token (theory 6.8)."""
    X = np.array([[[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]])
    problem = Problem(X, np.array([[1.0, 0.0]]), np.array([[1.0, 0.9, 0.0]]), name=name)
    # The binding constraint is against the token 0: a = (-1, 0).
    return Planted(problem, {"nuclear": 1.0, "frobenius": 1.0, "operator": 1.0}, True, "theory 6.8")


def trap_infinity(*, name: str = "trap:infinity") -> Planted:
    """Separable, two tokens, equal scores; still some starts never reach the minimal loss (theory 3.6)."""
    a = np.array([[1.0, 0.0], [-2.0, 0.5]])
    value = float(np.sqrt(37.0))
    values = {"nuclear": value, "frobenius": value, "operator": value}
    return Planted(pairs(a, np.ones((2, 1)), name=name), values, True, "theory 3.6")


def nearly_infeasible(eps: float = 1e-9, *, name: str = "") -> Planted:
    """a = (1,0) and (-1,eps), z = 1: separable, with a solution of norm close to 2/eps."""
    if not 0 < eps <= 1:
        raise InputError(f"nearly-infeasible: got eps={eps:g}; expected a number in (0, 1]")
    value = float(np.hypot(1.0, 2 / eps))
    values = {"nuclear": value, "frobenius": value, "operator": value}
    problem = pairs(np.array([[1.0, 0.0], [-1.0, eps]]), np.ones((2, 1)), name=name or f"nearly-infeasible:eps={eps}")
    return Planted(problem, values, True, "W = (1, 2/eps): both constraints active, rank one")
