"""Long sums: their roundings counted by numbers that count, and bounds against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.norms import parse_norm
from marginflow.svm.program import Svm
from marginflow.svm.proof import sums
from marginflow.svm.proof.certificate import certify, dual_matrix, margins_down


class Counted:
    """A number that knows through how many roundings its terms went, at most."""

    def __init__(self, roundings=0):
        self.roundings = roundings

    def __mul__(self, other):
        return Counted(max(self.roundings, other.roundings) + 1)

    __add__ = __mul__

    def conjugate(self):
        return self


def _counted(*shape):
    return np.array([Counted() for _ in range(int(np.prod(shape)))], dtype=object).reshape(shape)


@pytest.mark.parametrize("terms", [1, 2, 31, 32, 33, 64, 65, 96, 97, 500, 1000, 1023, 1025])
def test_a_term_takes_part_in_as_many_roundings_as_are_counted(terms):
    """Entries of object arrays are summed one after the other: the most roundings that any order takes."""
    inner = sums.products(_counted(1, terms), _counted(1, terms))[0]
    entry = sums.matrix_product(_counted(1, terms), _counted(terms, 2))[0, 1]
    assert max(inner.roundings, entry.roundings) <= sums.roundings(terms)
    blocks = -(-terms // sums.BLOCK)
    assert inner.roundings > (sums.BLOCK if blocks > 1 else terms - 1)  # so that pairs left out are seen
    assert sums.in_pairs(iter(_counted(blocks, 1)))[0].roundings == int(np.ceil(np.log2(blocks)))


def test_runs_are_of_one_owner_and_short():
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(40), rng.integers(1, 100, 40))
    starts = sums.runs(owner)
    for run in np.split(np.arange(len(owner)), starts[1:]):
        assert len(run) <= sums.BLOCK
        assert len(set(owner[run])) == 1
    assert starts[0] == 0 and len(starts) < 40 + len(owner) / sums.BLOCK


def test_sums_of_runs_are_added_in_order(monkeypatch):
    """Whole numbers, so that every order gives the same; and as many roundings as a run has terms."""
    rng = np.random.default_rng(0)
    rows, weights = rng.integers(-9, 9, (100, 3)).astype(float), rng.integers(0, 9, 100).astype(float)
    starts = np.array([0, 1, 7, 39, 71])
    expected = np.add.reduceat(weights[:, None] * rows, starts, axis=0)
    for runs in (1, 2, sums.RUNS):
        monkeypatch.setattr(sums, "RUNS", runs)
        total, size = sums.run_sums(weights, starts, rows.__getitem__)
        assert (total == expected).all()
        assert (size == np.add.reduceat(np.abs(weights[:, None] * rows), starts, axis=0)).all()


def _many(seed, n=150, d=5):
    """Rows of very different multipliers, more of one sample than a block holds."""
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.integers(0, n, 2 * n))
    sample[:45] = 0
    a = rng.standard_normal((2 * n, d)) * 10.0 ** rng.integers(-6, 7, (2 * n, 1))
    return mf.Constraints(a, sample, rng.standard_normal((n, d))), rng.random(2 * n) * 10.0 ** rng.integers(
        -6, 7, 2 * n
    )


@pytest.mark.parametrize("norm", ["nuclear", "l1"])
def test_the_dual_matrix_of_many_rows_is_within_its_bound(norm):
    for seed in range(3):
        constraints, dual = _many(seed)
        svm = Svm(constraints, parse_norm(norm))
        M, error = dual_matrix(svm, dual)
        rows = [[Fraction(x) for x in row] for row in constraints.a.tolist()]
        queries = [[Fraction(x) for x in row] for row in constraints.queries.tolist()]
        weights = [Fraction(x) for x in dual.tolist()]
        for at in np.ndindex(M.shape):
            j, k = at[0], at[-1]
            terms = [w * a[j] * z[k] for w, a, z in zip(weights, rows, queries, strict=True)]
            off = abs(Fraction(float(M[at])) - sum(terms))
            assert off <= Fraction(float(error[at]))
            assert float(error[at]) <= 90 * 2.0**-53 * float(sum(map(abs, terms)))  # 308 roundings, were they in a row


def test_margins_of_wide_rows_are_within_their_bound():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((70, 90)) * 10.0 ** rng.integers(-8, 9, (70, 90))
    constraints = mf.Constraints(rng.standard_normal((4, 70)), [0, 0, 1, 1], rng.standard_normal((2, 90)))
    svm = Svm(constraints, parse_norm("nuclear"))
    down, up = margins_down(svm, W), -margins_down(svm, -W)
    for c in range(4):
        pairs = [
            Fraction(x) * Fraction(y) * Fraction(float(W[j, k]))
            for j, x in enumerate(constraints.a[c].tolist())
            for k, y in enumerate(constraints.queries[c].tolist())
        ]
        assert Fraction(float(down[c])) <= sum(pairs) <= Fraction(float(up[c]))
        assert float(up[c] - down[c]) <= 2 * 90 * 2.0**-53 * float(sum(map(abs, pairs)))  # 166 in a row


@pytest.mark.parametrize("norm", ["nuclear", "operator", "l1"])
def test_so_many_samples_cost_no_digits(norm):
    """One problem 6,000 times: the same optimum, and bounds as near to it; in a row they would be 2e-12 apart."""
    once = mf.solve(bank.sphere(2, 3, 6, 4), norm)
    rows, times = once.constraints, 3000
    constraints = mf.Constraints(
        np.tile(rows.a, (times, 1)),
        (rows.sample + len(rows.z) * np.arange(times)[:, None]).ravel(),
        np.tile(rows.z, (times, 1)),
    )
    W = once.beta if once.norm.diagonal else once.W
    many = certify(Svm(constraints, once.norm), W, np.tile(once.dual, times) / times).certificate
    assert many.lower == pytest.approx(once.certificate.lower, rel=3e-14)
    assert many.upper == pytest.approx(once.certificate.upper, rel=3e-14)
