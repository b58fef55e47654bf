"""The instances of peers.md section 3, and bounds from weights and multipliers alone."""

import numpy as np

import marginflow as mf
from marginflow.norms import parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.spectral.first_order import Point


def unit_sphere(n, T, d, seed=0, d_z=None):
    """Unit tokens and queries, a token selected uniformly in each sample."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, T, d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z = rng.standard_normal((n, d_z or d))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    scores = np.zeros((n, T))
    scores[np.arange(n), rng.integers(T, size=n)] = 1.0
    return mf.Problem(X, z, scores).constraints()


def svm(constraints, norm):
    """The problem of least `norm` over `constraints`."""
    return Svm(constraints, parse_norm(norm))


def nothing(A):
    """No weights and no multipliers, the bounds infinity and 0."""
    return Point(np.zeros(A.shape), np.zeros(len(A)), np.inf, 0.0)


def bounds(constraints, candidate, norm):
    """Upper and lower bound of the value under `norm`, "nuc" or 2 (NumPy's names)."""
    margin = constraints.margins(candidate.W).min()
    upper = np.linalg.norm(candidate.W, norm) / margin if margin > 0 else np.inf
    dual = {"nuc": 2, 2: "nuc"}[norm]
    return upper, candidate.dual.sum() / np.linalg.norm(constraints.adjoint(candidate.dual), dual)


def tick(monkeypatch):
    """A clock that advances a second per look, so that every step is one to report progress at."""
    import marginflow.svm.spectral.solve_spectral as spectral

    clock = iter(range(10**6))
    monkeypatch.setattr(spectral.time, "monotonic", lambda: float(next(clock)))
