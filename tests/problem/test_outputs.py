"""Outputs, heads, values and labels: what is kept, what is refused, and that the plain case has its old bits."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf
from marginflow.problem.files import read_problem, write_problem


DRAW = np.random.default_rng(0)
X, Z, S = DRAW.standard_normal((4, 3, 2)), DRAW.standard_normal((4, 2)), DRAW.standard_normal((4, 3))
V = DRAW.standard_normal((4, 3, 5))
FIELDS = ("X", "z", "scores", "mask", "optimal", "output", "head", "values", "labels")


def same(a, b):
    return all(np.array_equal(getattr(a, k), getattr(b, k), equal_nan=k == "scores") for k in FIELDS)


def test_the_plain_case_is_one_head_and_an_output_a_row():
    plain, said = mf.Problem(X, Z, S), mf.Problem(X, Z, S, output=range(4), head=[0] * 4)
    assert same(plain, said) and plain.plain and plain.counts == (4, 1) and plain.k == 1
    assert plain.values is None and plain.labels is None and repr(plain) == repr(said)
    assert plain.log_minimal_loss == said.log_minimal_loss


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_the_least_loss_is_a_mean_over_outputs_of_the_sums_of_their_rows(groups):
    output = np.unique(groups, return_inverse=True)[1]
    problem = mf.Problem(X, Z, S, output=output)
    each = [np.exp(-S.max(axis=1)[output == o].sum()) for o in range(output.max() + 1)]
    assert problem.log_minimal_loss == pytest.approx(np.log(np.mean(each)), abs=1e-12)
    assert problem.optimal.tolist() == S.argmax(axis=1).tolist()


def test_what_is_not_plain_is_said():
    rows = mf.Problem(X, Z, S, output=[0, 0, 1, 1], head=[0, 1, 0, 1]).constraints()
    assert rows.heads == 2 and rows.head.tolist() == [0, 0, 1, 1, 0, 0, 1, 1]
    assert "2 outputs, 2 heads)" in repr(mf.Problem(X, Z, S, output=[0, 0, 1, 1], head=[0, 1, 0, 1]))
    named = mf.Problem(X, Z, values=V, labels=[0, 1, 2, 4], token_names=np.full((4, 3), "word"))
    assert "values in R^5" in repr(named) and "values in R^5" in named._repr_html_()


def test_values_as_lists_arrays_and_behind_a_mask():
    lengths = [3, 2, 3, 2]
    mask = np.arange(3) < np.array(lengths)[:, None]
    spoilt = np.where(mask[..., None], V, np.nan)
    ragged = [v[:t] for v, t in zip(V, lengths)]
    a = mf.Problem([x[:t] for x, t in zip(X, lengths)], Z, values=ragged, labels=[0, 1, 2, 3])
    b = mf.Problem(np.where(mask[..., None], X, 0.0), Z, values=spoilt, labels=[0, 1, 2, 3], mask=mask)
    assert same(a, b) and not a.values[~mask].any() and (a.optimal == -1).all()
    flat = mf.Problem(X, Z, values=S, labels=[0.5, 1.0, 2.0, 3.0])
    assert flat.values.shape == (4, 3, 1) and flat.labels.shape == (4, 1)
    assert mf.Problem(X, Z, values=list(V), labels=np.zeros((4, 5))).labels.shape == (4, 5)


def test_tokens_with_values_have_no_best_one_before_a_loss():
    problem = mf.Problem(X, Z, values=V, labels=[0, 1, 2, 3])
    for ask in (problem.constraints, problem.selection, lambda: problem.log_minimal_loss, lambda: mf.solve(problem)):
        with pytest.raises(mf.InputError, match=r"values; only a loss says .* marginflow\.faces"):
            ask()
    assert np.isnan(problem.scores[problem.mask]).all()
    chosen = problem.constraints([0, 0, 1, 2])
    assert len(chosen) == 8
    with pytest.raises(mf.InputError, match="against 'worse'"):
        problem.constraints([0, 0, 1, 2], against="worse")


def test_a_duplicate_of_a_selected_token_drops_out_only_with_its_values():
    x, v = X.copy(), V.copy()
    x[0, 1] = x[0, 0]
    assert len(mf.Problem(x, Z, values=v, labels=[0] * 4).constraints([0] * 4)) == 8
    v[0, 1] = v[0, 0]
    assert len(mf.Problem(x, Z, values=v, labels=[0] * 4).constraints([0] * 4)) == 7


@pytest.mark.parametrize("kind", ["heads", "labels", "targets"])
def test_files_hold_them_alone_and_inside_solutions(tmp_path, kind):
    more = {
        "heads": {"scores": S, "output": [0, 0, 1, 1], "head": [1, 0, 1, 0]},
        "labels": {"values": V, "labels": [4, 3, 2, 1]},
        "targets": {"values": V, "labels": V[:3, 0], "output": [2, 1, 0, 0]},
    }[kind]
    problem = mf.Problem(X, Z, **more, token_names=np.full((4, 3), "w"))
    write_problem(tmp_path / "p.npz", problem)
    assert same(read_problem(tmp_path / "p.npz"), problem)


BAD = {
    "both": ({"scores": S, "values": V}, "got both"),
    "neither": ({}, "got neither"),
    "labels with scores": ({"scores": S, "labels": [0] * 4}, "labels: got them with scores"),
    "no labels": ({"values": V}, "labels: got none with values"),
    "label out of range": ({"values": V, "labels": [0, 1, 5, 2]}, r"got 5 for output 2; expected 0\.\.4"),
    "label below": ({"values": V, "labels": [0, -1, 0, 2]}, "got -1 for output 1"),
    "labels that are not whole": ({"values": V, "labels": [0.0, 1, 2, 3]}, "expected 4 whole numbers"),
    "a label a row, not an output": (
        {"values": V, "labels": [0, 1, 2, 3], "output": [0, 0, 1, 1]},
        "expected 2 whole numbers",
    ),
    "targets of another size": ({"values": V, "labels": np.zeros((4, 4))}, r"targets \(4, 5\)"),
    "target that is not finite": ({"values": V, "labels": np.full((4, 5), np.inf)}, "finite"),
    "values of another shape": ({"values": V[:, :2], "labels": [0] * 4}, r"expected \(4, 3, k\)"),
    "values without numbers": ({"values": V[:, :, :0], "labels": [0] * 4}, "k numbers per token"),
    "values of one axis": ({"values": V[0, 0], "labels": [0] * 4}, r"expected \(4, 3, k\)"),
    "lists of unequal values": (
        {"values": [V[0], V[1, :, :2], V[2], V[3]], "labels": [0] * 4},
        "numbers a token; expected the same",
    ),
    "lists of too few values": ({"values": [V[0], V[1, :2], V[2], V[3]], "labels": [0] * 4}, "values: got shapes"),
    "values that are not finite": ({"values": np.where(V == V[1, 1, 1], np.nan, V), "labels": [0] * 4}, "finite"),
    "output length": ({"scores": S, "output": [0, 1, 2]}, "output: got int64 of shape"),
    "output not whole": ({"scores": S, "output": [0.0, 1, 2, 3]}, "4 whole numbers, the output of each row"),
    "output left out": ({"scores": S, "output": [0, 2, 2, 3]}, "without 1"),
    "output below": ({"scores": S, "output": [-1, 0, 1, 2]}, "expected 0, 1, 2"),
    "head left out": ({"scores": S, "head": [1, 1, 1, 1]}, "head: got numbers .1., without 0"),
    "head out of shape": ({"scores": S, "head": [[0, 0, 1, 1]]}, "the head of each row"),
}


@pytest.mark.parametrize("more, words", BAD.values(), ids=BAD.keys())
def test_bad_ones_are_one_clear_error(more, words):
    with pytest.raises(mf.InputError, match=words) as caught:
        mf.Problem(X, Z, **more)
    assert "\n" not in str(caught.value)


def test_rows_of_one_token_over_and_over_are_refused_with_values_too():
    x = X.copy()
    x[2] = x[2, 0]
    with pytest.raises(mf.InputError, match="every token of sample 2 is the same"):
        mf.Problem(x, Z, values=V, labels=[0] * 4)


@pytest.mark.parametrize(
    "arrays, words",
    [
        ({"values": V}, "both values and labels"),
        ({"labels": np.zeros(4, dtype=int)}, "both values and labels"),
        ({"scores": S, "values": V, "labels": np.zeros(4, dtype=int)}, "expected either scores"),
        ({"y": np.ones(4), "v": np.ones(2), "head": np.zeros(4, dtype=int)}, "output or head beside y and v"),
        ({"scores": S, "heads": np.zeros(4, dtype=int)}, "did you mean head"),
        ({"value": V, "labels": np.zeros(4, dtype=int)}, "did you mean values"),
    ],
)
def test_files_that_do_not_say_one_thing_are_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "p.npz", X=X, z=Z, **arrays)
    with pytest.raises(mf.InputError, match=words):
        mf.load(tmp_path / "p.npz")


def test_a_head_by_itself_has_its_rows_as_outputs():
    problem = mf.Problem(X, Z, S, output=[0, 0, 1, 1], head=[0, 1, 0, 1], name="two")
    one = problem.of_head(1)
    assert one.plain and one.n == 2 and one.name == "two head 1"
    np.testing.assert_array_equal(one.X, X[[1, 3]])
    np.testing.assert_array_equal(one.scores, S[[1, 3]])
    for ask, words in ((lambda: problem.of_head(2), r"expected 0\.\.1"), (lambda: problem.of_head(-1), "got -1")):
        with pytest.raises(mf.InputError, match=words):
            ask()
    with pytest.raises(mf.InputError, match="values"):
        mf.Problem(X, Z, values=V, labels=[0] * 4).of_head(0)
