"""Names of tokens and samples: kept as given, through files, and refused with one sentence."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.npz import read_npz, write_npz
from marginflow.problem.files import read_problem, write_problem
from marginflow.problem.names import LONGEST
from marginflow.svm.referee.verify import verify_saved


WORDS = [["a", "dull", "film"], ["<b>", "=1+1"], ["été", "映画", ""]]
SAMPLES = ["first", "</script>", "3"]


def ragged(**names):
    draw = np.random.default_rng(0)
    lengths = [len(row) for row in WORDS]
    X = [draw.standard_normal((t, 4)) for t in lengths]
    return mf.Problem(X, draw.standard_normal((3, 2)), [draw.standard_normal(t) for t in lengths], **names)


def test_ragged_names_are_padded_and_frozen():
    problem = ragged(token_names=WORDS, sample_names=SAMPLES)
    assert problem.token_names.tolist() == [WORDS[0], [*WORDS[1], ""], WORDS[2]]
    assert problem.sample_names.tolist() == SAMPLES
    with pytest.raises(ValueError, match="read-only"):
        problem.token_names[0, 0] = "b"
    assert ragged().token_names is None and ragged().sample_names is None


@pytest.mark.parametrize("kind", [list, np.array, lambda rows: np.array(rows, dtype=object)])
def test_names_of_a_masked_array_may_cover_missing_tokens(kind):
    draw = np.random.default_rng(1)
    mask = np.array([[True, False, True], [True, True, True]])
    rows = kind([["a", "not there", "c"], ["d", "e", "f"]])
    problem = mf.Problem(
        draw.standard_normal((2, 3, 4)), np.ones((2, 1)), draw.standard_normal((2, 3)), mask=mask, token_names=rows
    )
    assert problem.token_names.tolist() == [["a", "", "c"], ["d", "e", "f"]]
    short = mf.Problem(problem.X, problem.z, problem.scores, mask=mask, token_names=[["a", "c"], ["d", "e", "f"]])
    np.testing.assert_array_equal(short.token_names, problem.token_names)


@pytest.mark.parametrize("head", [False, True])
def test_names_survive_the_file_without_pickle(tmp_path, head):
    problem = ragged(token_names=WORDS, sample_names=SAMPLES)
    if head:
        v, y = np.arange(1.0, 5.0), np.ones(3)
        problem = mf.Problem.from_head(
            problem.X, problem.z, y, v, mask=problem.mask, token_names=problem.token_names, sample_names=SAMPLES
        )
    write_problem(tmp_path / "p.npz", problem)
    assert {array.dtype.kind for array in read_npz(tmp_path / "p.npz").values()} <= set("fbU")
    again = read_problem(tmp_path / "p.npz")
    for key in ("X", "scores", "mask", "token_names", "sample_names"):
        np.testing.assert_array_equal(getattr(again, key), getattr(problem, key))


def test_names_survive_a_saved_run(tmp_path):
    path = mf.integrate(ragged(token_names=WORDS, sample_names=SAMPLES), mf.Combined(), until_margin=5)
    path.save(tmp_path / "run.npz")
    again = mf.Trajectory.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(again.problem.token_names, path.problem.token_names)
    np.testing.assert_array_equal(again.problem.sample_names, path.problem.sample_names)


def test_names_survive_a_saved_solution(tmp_path):
    solution = mf.solve(ragged(token_names=WORDS, sample_names=SAMPLES), "frobenius")
    solution.save(tmp_path / "svm.npz")
    again = mf.Solution.load(tmp_path / "svm.npz").problem
    np.testing.assert_array_equal(again.token_names, solution.problem.token_names)
    np.testing.assert_array_equal(again.sample_names, solution.problem.sample_names)
    assert verify_saved(tmp_path / "svm.npz").holds


def test_names_change_no_number():
    bare, called = ragged(), ragged(token_names=WORDS)
    for key in ("X", "z", "scores", "mask", "optimal"):
        np.testing.assert_array_equal(getattr(bare, key), getattr(called, key))
    one, two = (mf.integrate(p, mf.Combined(), until_margin=5) for p in (bare, called))
    np.testing.assert_array_equal(one.W(), two.W())


BAD = {
    "a text for a row": ({"token_names": ["a dull film", *WORDS[1:]]}, r"token_names\[0\]: got 'a dull film'"),
    "a text for all": ({"token_names": "words"}, "token_names: got 'words'"),
    "too few rows": ({"token_names": WORDS[:2]}, "2 rows for 3 samples"),
    "too few words": ({"token_names": [["a"], *WORDS[1:]]}, "1 names in sample 0, which has 3 tokens"),
    "a number": ({"token_names": [["a", 7, "c"], *WORDS[1:]]}, "7 for token 1 of sample 0"),
    "bytes": ({"token_names": np.array([[b"a"] * 3] * 3)}, "b'a' for token 0 of sample 0"),
    "None inside": ({"token_names": [["a", None, "c"], *WORDS[1:]]}, "None for token 1"),
    "a NUL": ({"token_names": [["a\0", "b", "c"], *WORDS[1:]]}, "without NUL"),
    "half a pair": ({"token_names": [["\ud800", "b", "c"], *WORDS[1:]]}, "lone surrogates"),
    "too long": ({"token_names": [["a" * (LONGEST + 1), "b", "c"], *WORDS[1:]]}, "101 characters long"),
    "samples: too few": ({"sample_names": ["a"]}, "1 names for 3 samples"),
    "samples: a number": ({"sample_names": ["a", "b", 3]}, "3 for sample 2"),
    "samples: a text": ({"sample_names": "abc"}, "sample_names: got 'abc'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_name_is_refused(case):
    names, message = BAD[case]
    with pytest.raises(mf.InputError, match=message) as caught:
        ragged(**names)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250


def test_a_file_with_characters_that_do_not_exist_is_refused(tmp_path):
    problem = ragged()
    names = np.full(problem.mask.shape, "a", dtype="<U1")
    names.view(np.uint32)[0, 0] = 0x7FFFFFFF
    write_npz(tmp_path / "p.npz", X=problem.X, z=problem.z, scores=problem.scores, mask=problem.mask, token_names=names)
    with pytest.raises(mf.InputError, match="characters that do not exist"):
        read_problem(tmp_path / "p.npz")


def test_padding_of_scores_from_a_head_is_plain_zero():
    X = [np.eye(3)[:2], np.eye(3)]
    problem = mf.Problem.from_head(X, np.ones((2, 1)), [-1, 1], [1.0, 2.0, 3.0])
    assert problem.scores[0, 2] == 0.0 and not np.signbit(problem.scores[0, 2])
