"""Every closed form of theory 6 under every norm, to the tolerance asked."""

from itertools import pairwise

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.problem import planted


ENTRIES = bank.closed_forms()
CASES = [(entry, norm) for entry in ENTRIES for norm in entry.values]


def _id(value):
    return value.name if isinstance(value, bank.Entry) else str(value)


@pytest.mark.parametrize(("entry", "norm"), CASES, ids=_id)
def test_value_is_the_closed_form(entry, norm):
    solution = mf.solve(entry.problem, norm)
    want = entry.values[norm]
    assert solution.status is mf.SvmStatus.optimal, solution.reason
    assert solution.certificate.gap <= 1e-9
    assert solution.value == pytest.approx(want, rel=1e-9)
    # `want` carries a few roundings of its own formula, the data of the family another few.
    assert solution.certificate.lower <= want * (1 + 1e-14)
    assert solution.certificate.upper >= want * (1 - 1e-14)


def _spiked_operator(n, c):
    """W = u e_0 1' + t I + w 1 1': |W| = t, (sqrt n u, t + n w) on the circle of radius t."""
    return 1.0 / (np.sqrt(c / n + (1 - c) / n**2) + np.sqrt(1 - c) * (1 - 1 / n))


DERIVED = [
    *(("spiked", (n, c), "operator", _spiked_operator(n, c)) for n, c in ((8, 0.25), (20, 0.6), (3, 0.0), (1, 0.5))),
    # Theory 6.5: every sign gives the same row (2, 1), so beta = its dual vector over 1/|(2, 1)|_q.
    *(("sign_orbit", (), f"lp:{p}", (2 ** (p / (p - 1)) + 1) ** (1 / p - 1)) for p in (1.5, 3, 20, 100)),
    # Theory 6.6, diagonal: beta_i >= 1 but for the last, >= 1 / strength.
    *(("orthogonal", (2, 2.0), f"lp:{p}", (1 + 2.0**-p) ** (1 / p)) for p in (1.5, 3, 50)),
    *(("orthogonal", (6, 0.5), f"lp:{p}", (5 + 2.0**p) ** (1 / p)) for p in (1.5, 3, 50)),
    *(("orthogonal", (n, s), "linf", max(1.0, 1 / s)) for n, s in ((2, 2.0), (6, 0.5))),
    *(("orthogonal", (6, 0.5), norm, value) for norm, value in (("l1", 7.0), ("l2", 3.0))),
]


@pytest.mark.parametrize(("family", "arguments", "norm", "want"), DERIVED)
def test_values_derived_here(family, arguments, norm, want):
    solution = mf.solve(getattr(planted, family)(*arguments).problem, norm)
    assert solution.status is mf.SvmStatus.optimal, solution.reason
    assert solution.certificate.lower <= want * (1 + 1e-14)
    assert solution.certificate.upper >= want * (1 - 1e-14)
    assert solution.value == pytest.approx(want, rel=1e-9)


LADDERS = (("operator", "frobenius", "nuclear"), ("linf", "lp:50", "lp:3", "l2", "lp:1.75", "lp:1.5", "l1"))
"""Norms in increasing order; W = diag(beta) separates, so each diagonal value bounds the matrix value beside it."""


@pytest.mark.parametrize("entry", ENTRIES, ids=_id)
def test_every_norm_on_every_family_is_certified_and_in_order(entry):
    square = entry.problem.d == entry.problem.d_z
    bounds = {}
    for ladder in LADDERS if square else LADDERS[:1]:
        certificates = []
        for norm in ladder:
            solution = mf.solve(entry.problem, norm)
            if solution.status is mf.SvmStatus.infeasible:
                assert ladder is LADDERS[1] and norm not in entry.values
                continue
            assert solution.status is mf.SvmStatus.optimal, (norm, solution.reason)
            assert solution.certificate.gap <= 1e-9
            bounds[norm] = solution.certificate
            certificates.append(solution.certificate)
        assert len(certificates) in (0, len(ladder))  # feasible for one norm, feasible for all
        for below, above in pairwise(certificates):
            assert below.lower <= above.upper
    for matrix, diagonal in (("operator", "linf"), ("frobenius", "l2"), ("nuclear", "l1")):
        if diagonal in bounds:
            assert bounds[matrix].lower <= bounds[diagonal].upper


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.unique is not None], ids=_id)
def test_uniqueness_of_the_nuclear_optimum(entry):
    solution = mf.solve(entry.problem, "nuclear")
    if "nuclear" in entry.values:
        assert solution.unique is entry.unique, solution.uniqueness


@pytest.mark.parametrize(
    ("name", "norm", "rank"),
    [
        ("spiked:n=8,c=0.25", "nuclear", 1),
        ("spiked:n=8,c=0.25", "frobenius", 8),
        ("angle:c=0.5", "nuclear", 1),
        ("angle:c=0.5", "frobenius", 2),
        ("sign-orbit", "nuclear", 1),
        ("sign-orbit", "frobenius", 2),
        ("sign-orbit", "l1", 1),
        ("rank-infeasible", "nuclear", 2),
    ],
)
def test_rank_with_its_gap(name, norm, rank):
    problem = next(e.problem for e in ENTRIES if e.name == name)
    solution = mf.solve(problem, norm)
    assert solution.rank == rank
    evidence = solution.rank_evidence
    assert evidence.kept > 100 * evidence.dropped


def test_nuclear_equals_l1_on_sign_orbits():
    problem = next(e.problem for e in ENTRIES if e.name.startswith("hadamard"))
    nuclear, l1 = mf.solve(problem, "nuclear"), mf.solve(problem, "l1")
    assert nuclear.value == pytest.approx(l1.value, rel=1e-9)
    frobenius, l2 = mf.solve(problem, "frobenius"), mf.solve(problem, "l2")
    np.testing.assert_allclose(frobenius.W, l2.W, atol=1e-9)


def test_ranks_of_the_published_figure():
    """peers.md 1.1: the mean rank for n = 15, T = 5, d = 20 is 4.6, not the published 14.6."""
    ranks = []
    for seed in range(5):
        solution = mf.solve(_peer(15, 5, 20, seed), "nuclear")
        assert solution.certificate.gap <= 1e-9
        assert solution.rank_evidence.kept > 1e4 * solution.rank_evidence.dropped
        ranks.append(solution.rank)
    assert 3.5 <= np.mean(ranks) <= 5.5


def _peer(n, T, d, seed):
    """Unit-sphere tokens, queries and head, labels of either sign: the setting of the figure (theory 2.1)."""
    rng = np.random.default_rng(seed)
    X, z, v = rng.standard_normal((n, T, d)), rng.standard_normal((n, d)), rng.standard_normal(d)
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    y = rng.choice([-1.0, 1.0], n)
    return mf.Problem.from_head(X, z, y, v / np.linalg.norm(v))
