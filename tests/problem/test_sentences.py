"""The sentences: words and opinions are what the arrays hold."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem.named import load
from marginflow.problem.sentences import OPINIONS, SENTENCES, sentences


def test_tokens_are_the_words_in_their_order():
    problem = load("sentences")
    for i, (label, text) in enumerate(SENTENCES):
        assert problem.token_names[i][problem.mask[i]].tolist() == text.split()
        assert problem.y[i] == label
        opinions = [OPINIONS.get(word, 0.0) for word in text.split()]
        np.testing.assert_array_equal(problem.X[i, problem.mask[i], -1], opinions)
        np.testing.assert_array_equal(problem.scores[i, problem.mask[i]], label * np.array(opinions))


def test_the_optimal_word_is_the_strongest_opinion_on_the_side_of_the_label():
    problem = sentences()
    for i, (label, text) in enumerate(SENTENCES):
        best = problem.token_names[i, problem.optimal[i]]
        sided = sorted((label * OPINIONS.get(word, 0.0) for word in text.split()), reverse=True)
        assert label * OPINIONS[best] == sided[0] > max(sided[1], 0.0)


def test_every_opinion_is_used_and_a_word_has_one_vector():
    problem = sentences(d=8, seed=3)
    words = problem.token_names[problem.mask]
    assert set(OPINIONS) <= set(words)
    X = problem.X[problem.mask]
    for word in ("the", "film", "superb"):
        rows = X[words == word]
        assert len(rows) > 1 and (rows == rows[0]).all()
    np.testing.assert_allclose(np.linalg.norm(X[:, :-1], axis=1), 1.0)
    assert not np.array_equal(sentences(d=8, seed=4).X, problem.X)


@pytest.mark.parametrize("bad", [{"n": 0}, {"n": 13}, {"d": 1}, {"seed": -1}])
def test_what_there_is_not_is_refused(bad):
    with pytest.raises(mf.InputError, match="sentences: got"):
        sentences(**bad)


@pytest.mark.parametrize("norm", ["nuclear", "frobenius"])
def test_the_words_can_be_separated(norm):
    assert mf.solve(sentences(), norm).status.name == "optimal"
