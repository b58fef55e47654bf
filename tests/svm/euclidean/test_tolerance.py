"""The solver stops at the tolerance asked, also where active rows depend on each other."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.svm.euclidean import solve_euclidean as euclidean


def own_margins(seed, *, queries, n=100, T=12, d=20):
    """A random W's own top tokens with its own margins as right-hand sides, few queries asked many times.

    With more active rows of one query than dimensions the Gram matrix of the support is singular.
    """
    random = np.random.default_rng(seed)
    W = random.standard_normal((d, d))
    z = random.standard_normal((queries, d))[random.integers(0, queries, n)]
    X = random.standard_normal((n, T, d))
    logits = np.einsum("ntd,nd->nt", X, z @ W.T)
    rows, sample = [], []
    for i, top in enumerate(logits.argmax(axis=1)):
        other = np.arange(T) != top
        rows.append((X[i, top] - X[i, other]) / (logits[i, top] - logits[i, other])[:, None])
        sample.append(np.full(T - 1, i))
    return mf.Constraints(np.concatenate(rows), np.concatenate(sample), z)


CASES = [own_margins(0, queries=3), own_margins(0, queries=10, n=300), own_margins(1, queries=3, T=30)]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("tol", [1e-2, 1e-5])
def test_dependent_rows_end_at_the_tolerance_asked(case, tol):
    loose = mf.solve(CASES[case], "frobenius", tol)
    tight = mf.solve(CASES[case], "frobenius", 1e-9)
    assert loose.status.name == tight.status.name == "optimal" and loose.certificate.gap <= tol
    assert tight.certificate.lower <= loose.value * (1 + 1e-12)
    assert loose.certificate.lower <= tight.value * (1 + 1e-12)
    # Neither the one-at-a-time method nor long bursts of gradients.
    assert "active_set" not in loose.iterations and loose.iterations["gradient"] <= 125


@pytest.mark.parametrize("case", [0, 1])
def test_the_ridge_is_what_ends_it(monkeypatch, case):
    monkeypatch.setattr(euclidean, "_ridge", lambda *_: 0.0)
    found = mf.solve(CASES[case], "frobenius", 1e-2)
    assert "active_set" in found.iterations or found.iterations["gradient"] > 125


def test_gradients_stop_within_a_burst(monkeypatch):
    monkeypatch.setattr(euclidean, "_pivot", lambda *_: False)
    monkeypatch.setattr(euclidean, "_ONE_BY_ONE", 0)
    found = mf.solve(CASES[1], "frobenius", 1e-1)
    ends = np.cumsum(euclidean._BURSTS)
    assert found.certificate.gap <= 1e-1 and found.iterations["gradient"] not in ends
