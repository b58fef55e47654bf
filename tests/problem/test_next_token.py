"""Next-token problems: which rows there are, which are left out, and the two ways to have them in a file."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf
from marginflow.problem.next_token import label_scores


E = np.random.default_rng(0).standard_normal((5, 3))


def rows(sequences):
    """What a row must be, written out: (prefix, label) where the label has occurred and there is a choice."""
    out, new, one = [], 0, 0
    for line in sequences:
        for t in range(len(line) - 1):
            prefix, label = line[: t + 1], line[t + 1]
            if label not in prefix:
                new += 1
            elif len(set(prefix)) == 1:
                one += 1
            else:
                out.append((prefix, label))
    return out, new, one


@pytest.mark.filterwarnings("ignore:next_token")
@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=7), min_size=1, max_size=4))
def test_a_row_is_a_prefix_its_last_token_and_the_next(sequences):
    wanted, new, _ = rows(sequences)
    if not wanted:
        with pytest.raises(mf.InputError, match=f"the next token of {new} has not occurred"):
            mf.Problem.next_token(sequences, E)
        return
    problem = mf.Problem.next_token(sequences, E)
    assert problem.n == len(wanted)
    for i, (prefix, label) in enumerate(wanted):
        np.testing.assert_array_equal(problem.X[i, problem.mask[i]], E[prefix])
        np.testing.assert_array_equal(problem.z[i], E[prefix[-1]])
        assert problem.scores[i, problem.mask[i]].tolist() == [float(t == label) for t in prefix]
        assert problem.token_names[i][problem.mask[i]].tolist() == [str(t) for t in prefix]
        assert prefix[problem.optimal[i]] == label
    mf.losses.Log().check(problem)


def test_what_is_left_out_is_counted():
    with pytest.warns(UserWarning, match="4 of 7 positions left out: .* of 3 has not occurred before, 1 have one"):
        problem = mf.Problem.next_token([[0, 0, 1, 0, 1], [2, 3, 4, 2]], E, vocabulary=list("abcde"))
    assert problem.n == 3 and problem.sample_names.tolist()[0] == "sequence 0, position 2"
    assert problem.token_names[2].tolist() == ["c", "d", "e", ""] or problem.token_names[2].tolist()[:3] == list("cde")


@pytest.mark.filterwarnings("ignore:next_token", "ignore:.*are not read")
def test_files_hold_sequences_or_places_of_labels(tmp_path):
    sequences = [[0, 1, 0, 1], [2, 3, 3, 2, 3]]
    problem = mf.Problem.next_token(sequences, E)
    padded = np.full((2, 5), -1)
    for row, line in zip(padded, sequences):
        row[: len(line)] = line
    np.savez(tmp_path / "s.npz", sequences=padded, embedding=E)
    np.savez(
        tmp_path / "l.npz",
        X=problem.X,
        z=problem.z,
        mask=problem.mask,
        labels_token=problem.optimal,
    )
    for name in ("s", "l"):
        again = mf.load(tmp_path / f"{name}.npz")
        for key in ("X", "z", "scores", "mask", "optimal"):
            np.testing.assert_array_equal(getattr(again, key), getattr(problem, key))
    with pytest.warns(UserWarning, match="positions left out"):
        mf.load(tmp_path / "s.npz")


def test_padding_is_no_label_and_has_no_score(tmp_path):
    """A label of zeros looks like padding; a label where no token is says nothing."""
    X = np.array([[[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], [[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]])
    z, mask = np.ones((2, 2)), np.array([[True, True, False], [True, True, True]])
    for form in (mask, mask.sum(axis=1)):
        np.testing.assert_array_equal(label_scores(X, [1, 2], form), [[0, 1, 0], [0, 0, 1]])
    np.savez(tmp_path / "l.npz", X=X, z=z, mask=mask, labels_token=np.array([1, 2]))
    np.testing.assert_array_equal(mf.load(tmp_path / "l.npz").scores, [[0, 1, 0], [0, 0, 1]])
    np.savez(tmp_path / "l.npz", X=X, z=z, mask=mask, labels_token=np.array([2, 2]))
    with pytest.raises(mf.InputError, match="got 2 for sample 0, where mask has no token"):
        mf.load(tmp_path / "l.npz")


BAD = {
    "outside": ([[0, 5, 0]], E, r"got token 5; expected 0\.\.4"),
    "padding inside": ([[0, -1, 0]], E, "-1 before a token"),
    "negative": ([[0, -2, 0]], E, "got token -2"),
    "not whole": ([[0.0, 1.0, 0.0]], E, "list of token ids"),
    "one axis": (np.zeros(3, dtype=int), E, "lists of token ids"),
    "none": ([], E, "0 of 0 positions"),
    "twins": ([[0, 1, 0, 1]], E[[0, 0, 1, 2, 3]], "tokens 0 and 1 have one vector"),
    "embedding": ([[0, 1, 0]], E[0], "embedding: got shape"),
    "a token of zeros as the query": ([[0, 1, 0, 1]], E * np.array([0, 1, 1, 1, 1])[:, None], "zero query"),
}


@pytest.mark.filterwarnings("ignore:next_token")
@pytest.mark.parametrize("sequences, embedding, words", BAD.values(), ids=BAD.keys())
def test_bad_sequences_are_one_clear_error(sequences, embedding, words):
    with pytest.raises(mf.InputError, match=words) as caught:
        mf.Problem.next_token(sequences, embedding)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"sequences": np.zeros((2, 3), dtype=int)}, "expected sequences and embedding"),
        ({"sequences": np.zeros((2, 3), dtype=int), "embedding": E, "scores": E}, "and no others"),
        ({"X": E[None], "z": E[:1], "labels_token": np.array([5])}, r"got 5 for sample 0; expected 0\.\.4"),
        ({"X": E[None], "z": E[:1], "labels_token": np.array([0.0])}, "whole numbers, a place a row"),
        ({"X": E[None], "z": E[:1], "labels_token": np.array([0]), "scores": E[:1]}, "expected either scores"),
        ({"X": E[None], "z": E[:1], "label_token": np.array([0])}, "did you mean labels_token"),
    ],
)
def test_files_that_do_not_say_one_thing_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(mf.InputError, match=words):
        mf.load(tmp_path / "p.npz")


def test_a_vocabulary_of_another_size_is_refused():
    with pytest.raises(mf.InputError, match="got 2 names; expected 5"):
        mf.Problem.next_token([[0, 1, 0]], E, vocabulary=["a", "b"])


@pytest.mark.parametrize("beyond", [2**64 - 1, 2**63, 5])
def test_ids_that_only_a_conversion_would_make_padding_are_refused(beyond):
    lines = np.array([[0, 1, 0, 1, beyond]], dtype=np.uint64)
    with pytest.raises(mf.InputError, match=f"got token {beyond}; expected 0..4"):
        mf.Problem.next_token(lines, E)
