"""Sets of tokens before a ReLU head: proved shares beside exact ones, dead zones, and where runs end."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from marginflow.gallery import multi_token, relu_flow, relu_head
from marginflow.gallery.relu_head import ReluHeads, Sets


@pytest.fixture(scope="module")
def heads():
    return ReluHeads.draw(6, range(1, 41))


@pytest.fixture(scope="module")
def sets(heads):
    return Sets.of(heads)


@pytest.fixture(scope="module")
def width():
    heads = ReluHeads.draw(10, range(1, 31))
    sets = Sets.of(heads)
    chosen = heads.take(sets.several)
    return multi_token.Width(0, chosen, sets.take(sets.several), relu_flow.flow(chosen, multi_token.starts(chosen)))


def exact_shares(C, members):
    """The only p (T,) with shares on `members` that is optimal, in rational numbers; None where there is none.

    Slopes y of the met kinks solve c_t'y = value on the members, p the kinks: both are solved and checked exactly.
    """
    values = [[Fraction(x) for x in row] for row in C.tolist()]
    inside = np.flatnonzero(members)
    at = (
        C[inside].T
        @ np.linalg.lstsq(
            np.vstack([np.ones(len(inside)), *[C[inside, j] for j in kinks(C, inside)]]),
            np.r_[1.0, np.zeros(len(inside) - 1)],
            rcond=None,
        )[0]
    )
    met = kinks(C, inside)
    p = rational([[Fraction(1)] * len(inside)] + [[values[t][j] for t in inside] for j in met], [1] + [0] * len(met))
    above = [j for j in range(C.shape[1]) if j not in met and at[j] > 0]
    # c_t'y = value for every member t: unknowns are the slopes at met kinks, and the value.
    rows = [[values[t][j] for j in met] + [Fraction(-1)] for t in inside]
    *y, value = rational(rows, [-sum(values[t][j] for j in above) for t in inside])
    slopes = dict.fromkeys(above, Fraction(1)) | dict(zip(met, y))
    won = [sum(values[t][j] * slope for j, slope in slopes.items()) for t in range(len(C))]
    assert all(x > 0 for x in p) and all(0 < x < 1 for x in y)
    assert all(won[t] > value for t in range(len(C)) if t not in inside)
    out = np.zeros(len(C))
    out[inside] = [float(x) for x in p]
    return out


def kinks(C, inside):
    """The len(inside) - 1 outputs that are nearest to 0 at the optimum, found by another of SciPy's solvers."""
    from scipy.optimize import linprog

    T, d = C.shape
    A = np.hstack([C.T, -np.eye(d)])
    cost, ones = np.r_[np.zeros(T), np.ones(d)], np.r_[np.ones(T), np.zeros(d)][None]
    p = linprog(cost, A, np.zeros(d), ones, [1.0], method="highs-ipm").x[:T]
    return sorted(np.abs(p @ C).argsort()[: len(inside) - 1].tolist())


def rational(rows, right):
    """The solution of a square system, by elimination in rational numbers."""
    M = [[*map(Fraction, row), Fraction(r)] for row, r in zip(rows, right, strict=True)]
    for k in range(len(M)):
        pivot = next(i for i in range(k, len(M)) if M[i][k] != 0)
        M[k], M[pivot] = M[pivot], M[k]
        M[k] = [x / M[k][k] for x in M[k]]
        M = [row if i == k else [x - row[k] * y for x, y in zip(row, M[k])] for i, row in enumerate(M)]
    return [row[-1] for row in M]


def test_proved_shares_are_the_exact_ones(heads, sets):
    places = np.argwhere((sets.members.sum(axis=2) > 1) & np.isfinite(sets.error))[:12]
    assert len(places) == 12
    for k, i in places:
        exact = exact_shares(heads.values[k, i], sets.members[k, i])
        assert np.abs(exact - sets.shares[k, i]).max() <= sets.error[k, i] < 1e-8


def test_a_dead_zone_has_no_shares_that_are_proved(heads, sets):
    at = (sets.shares[..., None, :] @ heads.values)[..., 0, :]
    dead = (np.maximum(at, 0.0).sum(axis=2) < 1e-12) & (heads.labels < 0.0)
    assert dead.sum() > 5 and np.isinf(sets.error[dead]).all()
    assert not sets.proved[dead.any(axis=1)].any() and sets.proved.sum() > 10


def test_shares_that_are_not_optimal_are_not_proved(heads):
    C = heads.values[heads.labels < 0.0]
    p, y = relu_head._programme(C)
    gap, error = relu_head._bounds(C, p, y)
    known = np.isfinite(error)
    moved, slopes = 0.5 * p + 0.125, np.where(y > 0.5, y, 0.5 * y)
    assert (relu_head._bounds(C, moved, y)[0][known] > 1e-4).all() and gap.max() < 1e-13
    other = known & (slopes != y).any(axis=1)
    assert other.sum() > 20 and (relu_head._bounds(C, p, slopes)[0][other] > 1e-6).all()
    assert (relu_head._bounds(C, moved, y)[1][known] > np.abs(moved - p).max(axis=1)[known]).all()


def test_the_error_of_shares_on_the_wrong_kink_reaches_to_the_right_one():
    # The outputs 1 - 2q and 4q - 1 of shares (1 - q, q): their sum is least at q = 1/4, another kink is at 1/2.
    C = np.array([[[1.0, -1.0], [-1.0, 3.0]]])
    right, error = relu_head._bounds(C, np.array([[0.75, 0.25]]), np.array([[1.0, 0.5]]))
    assert right < 1e-14 and error < 1e-13
    gap, error = relu_head._bounds(C, np.array([[0.5, 0.5]]), np.array([[0.5, 1.0]]))
    assert gap >= 0.5 and error >= 0.25


def test_the_best_token_of_label_1_is_proved_where_no_rounding_can_change_it():
    C = np.array([[[1.0, 0.0], [0.25, 0.5], [-1.0, -1.0]], [[0.1, 0.2], [0.3, -1.0], [0.0, 0.0]]])
    shares, error = relu_head._largest(C)
    assert shares[0].tolist() == [1.0, 0.0, 0.0]
    assert error.tolist() == [0.0, np.inf]  # 0.1 + 0.2 and 0.3 differ by rounding


def test_runs_end_on_the_sets_that_were_predicted(width):
    assert len(width.heads.seeds) == 22
    assert not (width.on_sets & width.on_others).any()
    assert (width.on_sets.sum(), width.on_others.sum()) == (19, 3)
    off = np.abs(width.runs.shares - width.sets.shares).max(axis=(1, 2))[width.on_sets]
    assert np.median(off) < 1e-3 and width.runs.time.min() > 1e8
    assert len(width.turned) == width.on_sets.sum() and np.median(width.turned) < 0.02


def test_the_row_fails_where_the_prediction_is_another(width, monkeypatch):
    monkeypatch.setattr(multi_token, "WIDTHS", (10,))
    monkeypatch.setattr(multi_token.Width, "of", classmethod(lambda cls, d: width))
    assert [check.what for check in multi_token.make().checks if not check.holds] == []
    other = replace(width.sets, shares=width.sets.shares[:, :, ::-1], error=width.sets.error + 1e-3)
    rows = dict(width.svms)
    broken = replace(width, sets=other)
    broken.__dict__.update(svms=rows, on_others=width.on_others, turned=width.turned + 0.1)
    monkeypatch.setattr(multi_token.Width, "of", classmethod(lambda cls, d: broken))
    failing = [check.what for check in multi_token.make().checks if not check.holds]
    assert [what.split(",")[0] for what in failing] == [
        "largest error of a predicted share",
        "runs with the predicted tokens of label 1 that end on the predicted sets",
        "largest median of 1 - cosine",
    ]
