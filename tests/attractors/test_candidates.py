"""Which tokens may be selected, against the definition written out pair by pair."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.attractors import candidates
from marginflow.attractors.candidates import Candidates


def by_pairs(problem, diagonal):
    """A token that equals an earlier one in features and score does not count, nor one with a twin of another score."""
    out = problem.mask.copy()
    for i in range(problem.n):
        seen = problem.X[i] * (problem.z[i] if diagonal else 1.0)
        for a in range(problem.T):
            for b in range(problem.T):
                if a != b and problem.mask[i, a] and problem.mask[i, b] and (seen[a] == seen[b]).all():
                    if problem.scores[i, a] != problem.scores[i, b] or b < a:
                        out[i, a] = False
    return out


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_selectable_tokens_are_those_of_the_definition(seed, diagonal):
    draw = np.random.default_rng(seed)
    X = draw.integers(-1, 2, (3, 6, 2)).astype(float) * draw.choice([1.0, -1.0], (3, 6, 1))
    z = draw.integers(0, 2, (3, 2)).astype(float)
    z[:, 0] += 1
    scores = draw.integers(0, 3, (3, 6)).astype(float)
    scores[:, 5], X[:, 5] = 9.0, 7.0
    mask = draw.random((3, 6)) < 0.8
    mask[:, 4:] = True
    problem = mf.Problem(X, z, scores, mask=mask)
    found = Candidates.of(problem, diagonal)
    assert np.array_equal(found.possible, by_pairs(problem, diagonal))
    order = np.array([2, 0, 1])
    assert np.array_equal(Candidates.of(problem, diagonal, order).possible, found.possible[order])
    a, b, c = 1, 4, 5
    assert found.worse[0, c, b] == (scores[0, c] > scores[0, b]) and not found.worse[0, b, c]
    assert found.better[0, b, c] and found.better[0, a, c] == mask[0, a]


@pytest.mark.parametrize("diagonal", [False, True])
@pytest.mark.parametrize("n, T, d", [(2, 3, 6), (2, 4, 2), (3, 2, 4), (2, 4, 8)])
@pytest.mark.parametrize("case", ["generic", "dependent", "first token missing"])
def test_independence_from_the_gram_matrix_is_that_of_the_rows(monkeypatch, diagonal, n, T, d, case):
    rng = np.random.default_rng(0)
    X, z, scores = (rng.standard_normal(shape) for shape in ((n, T, d), (n, d), (n, T)))
    mask = np.ones((n, T), dtype=bool)
    if case == "first token missing" and T > 2:
        mask[0, 0] = False
    elif case == "dependent" and T > 2:
        X[0, 2] = 2 * X[0, 1] - X[0, 0]
    problem = mf.Problem(X, z, scores, mask=mask)
    written = Candidates.of(problem, diagonal).independent
    monkeypatch.setattr(candidates, "_WRITTEN_OUT", 0)
    assert Candidates.of(problem, diagonal).independent == written
    assert written == (d > 2 and not (case == "dependent" and T > 2))
    monkeypatch.setattr(candidates, "_LARGEST_GRAM", 0)
    assert not Candidates.of(problem, diagonal).independent
