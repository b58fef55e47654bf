"""Problems with answers: every closed form of theory 6, by norm, and random problems for referees."""

from dataclasses import dataclass, field

import numpy as np

import marginflow as mf
from marginflow.problem import planted
from marginflow.problem.planted import pairs


MATRIX_NORMS = ("nuclear", "frobenius", "operator")
DIAGONAL_NORMS = ("l1", "l2", "linf", "lp:1.5", "lp:1.75", "lp:3")
ENTRY_NORMS = ("entry-l1", "entry-linf", "entry-lp:3")
NORMS = MATRIX_NORMS + DIAGONAL_NORMS + ENTRY_NORMS


@dataclass(frozen=True, eq=False)
class Entry:
    """A problem, its value by norm, and whether the nuclear optimum is the only one (None: not said)."""

    name: str
    problem: mf.Problem
    values: dict[str, float]
    unique: bool | None = field(default=None)


def closed_forms() -> list[Entry]:
    """Theory 6.1 to 6.7 and their limits."""
    families = [
        planted.single(),
        planted.angle(0.5),
        planted.angle(0.1),
        planted.angle(0.0),
        planted.angle(-0.7),
        planted.angle(0.999),
        planted.spiked(),
        planted.spiked(20, 0.6),
        planted.sign_orbit(),
        planted.hadamard(),
        planted.orthogonal(1),
        planted.orthogonal(2),
        planted.orthogonal(6),
        planted.orthogonal(2, 2.0),
        planted.rank_infeasible(),
        planted.trap_finite(),
        planted.trap_infinity(),
        planted.nearly_infeasible(),
        planted.nearly_infeasible(1e-12),
    ]
    entries = [Entry(f.problem.name, f.problem, dict(f.values), f.unique) for f in families]
    entries = [*entries, _one_pair(), _one_sample(), _both_signs()]
    return [Entry(e.name, e.problem, e.values | _entrywise(e.problem), e.unique) for e in entries]


def exponent(norm: str) -> float:
    """p of a norm of single weights, by its name."""
    kind = norm.removeprefix("entry-")
    return {"l1": 1.0, "l2": 2.0, "linf": np.inf}.get(kind) or float(kind.removeprefix("lp:"))


def _entrywise(problem: mf.Problem) -> dict[str, float]:
    """Where no two constraints see one entry of W: each has its own 1/(|a|_q |z|_q), and the value is their p-norm."""
    rows = problem.constraints()
    used = (rows.a[:, :, None] * rows.queries[:, None, :] != 0.0).sum(axis=0)
    if used.max(initial=0) != 1:
        return {}
    values = {}
    for norm in (*ENTRY_NORMS, "entry-lp:1.5"):
        p = exponent(norm)
        q = {1.0: np.inf, np.inf: 1.0}.get(p) or p / (p - 1.0)
        own = 1.0 / (np.linalg.norm(rows.a, q, axis=1) * np.linalg.norm(rows.queries, q, axis=1))
        values[norm] = float(np.linalg.norm(own, p))
    return values


def _one_pair() -> Entry:
    """Theory 6.1: A = a z'; every matrix norm gives 1/(|a||z|), the p-norm gives 1/|a o z|_q."""
    c = np.array([2.0, 1.0, 0.5])
    values = dict.fromkeys(MATRIX_NORMS, 1.0 / (np.linalg.norm(c) * np.sqrt(3.0)))
    values |= {"l1": 0.5, "l2": 1.0 / np.linalg.norm(c), "linf": 1.0 / 3.5}
    for p in (1.5, 1.75, 3.0):
        q = p / (p - 1.0)
        values[f"lp:{p:g}"] = 1.0 / np.sum(c**q) ** (1.0 / q)
    return Entry("one pair", pairs(c[None], np.ones((1, 3))), values, True)


def _one_sample() -> Entry:
    """Theory 6.2: n = 1, two differences at cosine c; w = (a_1 + a_2)/(1 + c), all matrix norms coincide."""
    c = 0.3
    a = np.array([[1.0, 0.0, 0.0], [c, np.sqrt(1 - c * c), 0.0]])
    X = np.concatenate((np.zeros((1, 3)), -a))[None]
    value = np.sqrt(2.0 / (1.0 + c)) / 5.0
    problem = mf.Problem(X, [[3.0, 4.0]], [[1.0, 0.0, 0.5]])
    return Entry("one sample", problem, dict.fromkeys(MATRIX_NORMS, value), True)


def _both_signs() -> Entry:
    """Diagonal: beta_1 >= 1 and -2 beta_2 >= 1: every norm of (1, -1/2)."""
    values = {"l1": 1.5, "l2": np.sqrt(1.25), "linf": 1.0}
    values |= {f"lp:{p:g}": (1.0 + 0.5**p) ** (1.0 / p) for p in (1.5, 1.75, 3.0)}
    return Entry("both signs", pairs(np.array([[1.0, 0.0], [0.0, -2.0]]), np.ones((2, 2))), values)


def random_problem(seed: int) -> mf.Problem | None:
    """Gaussian, badly scaled, with duplicates, or small integers; None where the draw is no problem."""
    rng = np.random.default_rng(seed)
    n, T, d = rng.integers(1, 8), rng.integers(2, 9), rng.integers(1, 7)
    d_z = d if seed % 2 else rng.integers(1, 7)
    kind = seed % 5
    if kind == 0:
        X = rng.integers(-2, 3, (n, T, d)).astype(float)
        z = rng.integers(-2, 3, (n, d_z)).astype(float)
        z[~z.any(axis=1)] = 1.0
    else:
        X, z = rng.standard_normal((n, T, d)), rng.standard_normal((n, d_z))
    if kind == 1:
        X *= 10 ** rng.uniform(-1.5, 1.5, (n, T, 1))
        z *= 10 ** rng.uniform(-1.5, 1.5, (n, 1))
    if kind == 2:
        X[:, -1] = X[:, 0]
    try:
        return mf.Problem(X, z, rng.random((n, T)))
    except mf.InputError:
        return None


def sphere(n: int, T: int, d: int, seed: int = 0, d_z: int | None = None) -> mf.Problem:
    """Tokens and queries uniform on spheres, scores uniform."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, T, d))
    z = rng.standard_normal((n, d_z or d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    return mf.Problem(X, z, rng.random((n, T)))


def written_out(constraints: mf.Constraints, diagonal: bool) -> np.ndarray:
    """(C, D) the rows of the linear map W -> margins."""
    if diagonal:
        return np.asarray(constraints.diagonal)
    return (constraints.a[:, :, None] * constraints.queries[:, None, :]).reshape(len(constraints), -1)
