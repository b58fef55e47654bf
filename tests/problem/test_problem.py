"""`Problem`: what is accepted, what is refused and with which words, and what it derives."""

import math

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import random


def arrays(n=3, T=4, d=5, d_z=2, seed=0):
    draw = np.random.default_rng(seed)
    X = draw.standard_normal((n, T, d))
    return X, draw.standard_normal((n, d_z)), draw.standard_normal((n, T))


def test_ragged_list_equals_masked_array():
    X, z, scores = arrays()
    lengths = [4, 2, 3]
    ragged = mf.Problem([x[:t] for x, t in zip(X, lengths)], z, [s[:t] for s, t in zip(scores, lengths)])
    mask = np.arange(4) < np.array(lengths)[:, None]
    padded_X, padded_scores = X.copy(), scores.copy()
    padded_X[~mask] = np.nan
    padded_scores[~mask] = np.inf
    masked = mf.Problem(padded_X, z, padded_scores, mask=mask)
    for name in ("X", "z", "scores", "mask", "optimal", "lengths"):
        np.testing.assert_array_equal(getattr(ragged, name), getattr(masked, name))
    assert len(ragged.constraints()) == sum(lengths) - 3


def test_mask_may_hide_any_token():
    X, z, scores = arrays(n=1)
    scores[0] = [5, 1, 2, 3]
    mask = np.array([[False, True, True, True]])
    problem = mf.Problem(X, z, scores, mask=mask)
    assert problem.optimal.tolist() == [3]
    assert problem.constraints().token.tolist() == [1, 2]


def test_scores_from_head_are_label_times_inner_product():
    X, z, _ = arrays()
    v, y = np.arange(1.0, 6.0), np.array([1, -1, 1])
    problem = mf.Problem.from_head(X, z, y, v)
    np.testing.assert_allclose(problem.scores, y[:, None] * (X @ v), rtol=1e-14)
    np.testing.assert_array_equal(problem.optimal, problem.scores.argmax(axis=1))


def test_minimal_loss_is_the_mean_of_the_best_exponentials():
    X, z, scores = arrays()
    problem = mf.Problem(X, z, scores)
    assert math.isclose(problem.log_minimal_loss, np.log(np.exp(-scores.max(axis=1)).mean()), rel_tol=1e-14)
    shifted = mf.Problem(X, z, scores + 4000.0)
    assert math.isclose(shifted.log_minimal_loss, problem.log_minimal_loss - 4000.0, rel_tol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int8, np.int64, np.uint16])
def test_exact_types_are_converted_exactly(dtype):
    X = (np.arange(24).reshape(2, 3, 4) % 11).astype(dtype)
    problem = mf.Problem(X, np.ones((2, 4), dtype=dtype), np.array([[0, 1, 2], [2, 1, 0]], dtype=dtype))
    assert problem.X.dtype == np.float64
    np.testing.assert_array_equal(problem.X, X)


def test_input_is_copied_and_frozen():
    X, z, scores = arrays()
    problem = mf.Problem(X, z, scores)
    X[:] = 0
    assert problem.X.any()
    with pytest.raises(ValueError, match="read-only"):
        problem.X[0, 0, 0] = 1.0


def test_exact_duplicate_of_the_optimal_token_drops_out():
    X, z, scores = arrays(n=1)
    scores[0] = [3, 1, 0, 3]
    X[0, 3] = X[0, 0]
    problem = mf.Problem(X, z, scores)
    assert problem.optimal.tolist() == [0]
    assert problem.constraints().token.tolist() == [1, 2]


def test_same_features_with_a_lower_score_give_a_zero_row():
    X, z, scores = arrays(n=1)
    scores[0] = [3, 1, 0, 2]
    X[0, 3] = X[0, 0]
    rows = mf.Problem(X, z, scores).constraints()
    assert rows.token.tolist() == [1, 2, 3]
    assert not rows.a[2].any()


def test_worse_and_better_split_all_but_ties():
    X, z, _ = arrays(n=1, T=5)
    problem = mf.Problem(X, z, [[3.0, 1.0, 2.0, 2.0, 0.0]])
    tokens = {
        against: problem.constraints([2], against=against).token.tolist() for against in ("all", "worse", "better")
    }
    assert tokens == {"all": [0, 1, 3, 4], "worse": [1, 4], "better": [0]}


def _bad(**change):
    X, z, scores = arrays()
    given = {"X": X, "z": z, "scores": scores} | change
    return lambda: mf.Problem(**given)


X0, Z0, S0 = arrays()
TIED = S0.copy()
TIED[1, :2] = TIED[1].max() + 1
BAD = {
    "X of two axes": (_bad(X=X0[0]), "3 axes"),
    "X empty": (_bad(X=[]), "no samples"),
    "X without features": (_bad(X=np.zeros((3, 4, 0))), "at least one"),
    "X of no samples": (_bad(X=np.zeros((0, 4, 5))), "one per sample|at least one"),
    "NaN token": (_bad(X=np.where(X0 == X0[1, 2, 3], np.nan, X0)), r"\(1, 2, 3\)"),
    "infinite query": (_bad(z=np.where(Z0 == Z0[2, 1], np.inf, Z0)), r"inf at index \(2, 1\)"),
    "huge": (_bad(X=X0 * 1e200), "rescale"),
    "complex": (_bad(X=X0 + 0j), "complex128"),
    "strings": (_bad(X=X0.astype(str)), "expected real numbers"),
    "objects": (_bad(scores=S0.astype(object)), "expected real numbers"),
    "booleans": (_bad(z=Z0 > 0), "bool"),
    "large integers": (_bad(z=np.array([[2**53 + 1, 0]] * 3)), "exactly"),
    "extended precision": (_bad(z=Z0.astype(np.longdouble) / 3), "exactly"),
    "query count": (_bad(z=Z0[:2]), "one per sample"),
    "query axes": (_bad(z=Z0[0]), "2 axes"),
    "query width 0": (_bad(z=np.zeros((3, 0))), "dimension 0"),
    "zero query": (_bad(z=Z0 * [[1], [0], [1]]), "zero query for sample 1"),
    "query too small": (_bad(z=Z0 * [[1], [1e-160], [1]]), "at least 1e-100; rescale"),
    "score shape": (_bad(scores=S0[:, :3]), "one score per token"),
    "score lengths": (_bad(scores=[[1, 2], [1], [1, 2, 3]]), "got lengths"),
    "NaN score": (_bad(scores=np.where(S0 == S0[0, 0], np.nan, S0)), "finite"),
    "tie": (_bad(scores=TIED), r"tokens \[0, 1\] of sample 1"),
    "one token": (_bad(X=[X0[0], X0[1][:1], X0[2]], scores=[S0[0], S0[1][:1], S0[2]]), "sample 1"),
    "empty sequence": (_bad(X=[X0[0], X0[1][:0], X0[2]], scores=[S0[0], [], S0[2]]), "0 token"),
    "ragged dimensions": (_bad(X=[X0[0], X0[1][:, :3], X0[2]]), "token dimensions"),
    "mask shape": (_bad(mask=np.ones((3, 3), dtype=bool)), "mask"),
    "mask type": (_bad(mask=np.full((3, 4), 0.5)), "booleans"),
    "mask hides a sample": (_bad(mask=np.array([[1] * 4, [0] * 4, [1] * 4])), "0 token"),
    "all tokens equal": (_bad(X=np.ones((3, 4, 5)), scores=np.ones((3, 4))), "every token of sample 0"),
}


@pytest.mark.parametrize("make, words", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_clear_error(make, words):
    with pytest.raises(mf.InputError, match=words) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "y, v, words",
    [
        ([1, 0, 1], np.ones(5), "labels -1 or"),
        ([1, -1], np.ones(5), "one per sample"),
        ([1, -1, 1], np.ones(4), "one weight per feature"),
        ([1, -1, 1], np.zeros(5), "tie"),
        ([1, -1, np.nan], np.ones(5), "finite"),
    ],
)
def test_bad_heads(y, v, words):
    with pytest.raises(mf.InputError, match=words):
        mf.Problem.from_head(X0, Z0, y, v)


def test_tie_within_rounding_of_the_head_is_refused():
    X = np.array([[[0.1, 0.2, 0.3], [0.3, 0.2, 0.1], [0.0, 0.0, 0.0]]])
    scores = (X * 1.0).sum(axis=2)
    assert scores[0, 0] != scores[0, 1]  # equal in real numbers, not in float64
    with pytest.raises(mf.InputError, match="tie"):
        mf.Problem.from_head(X, np.ones((1, 2)), [1], np.ones(3))


@pytest.mark.parametrize("selection", [[0, 1], [0, 1, 9], [0, -1, 0], [0.0, 1.0, 2.0], "abc"])
def test_bad_selection(selection):
    problem = mf.Problem(X0, Z0, S0)
    with pytest.raises(mf.InputError, match="selection"):
        problem.constraints(selection)


def test_selection_of_padding_is_refused():
    problem = random.sphere(n=2, T=3, d=3)
    mask = np.array([[True, True, False], [True, True, True]])
    masked = mf.Problem(problem.X, problem.z, problem.scores, mask=mask)
    with pytest.raises(mf.InputError, match="sample 0 has no token 2"):
        masked.constraints([2, 0])


def test_repr_says_what_it_is():
    problem = mf.Problem([X0[0], X0[1][:2], X0[2]], Z0, [S0[0], S0[1][:2], S0[2]], name="mine")
    assert repr(problem) == "Problem(mine: 3 samples of 2..4 tokens, d = 5, d_z = 2)"
    assert repr(problem.constraints()) == "Constraints(7 of rank one on W of 5 x 2, 3 samples)"
