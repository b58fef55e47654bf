"""Where problems come from: families, bundled digits, files."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named, planted, random, real
from marginflow.problem.files import read_problem, write_problem


@pytest.mark.parametrize("family", named.FAMILIES)
def test_every_family_is_a_problem_that_its_name_makes_again(family):
    first = named.load(family)
    again = named.load(first.name)
    assert again.name == first.name
    for key in ("X", "z", "scores", "mask", "output", "head", "values", "labels"):
        np.testing.assert_array_equal(getattr(first, key), getattr(again, key))
    faces = mf.faces(first, "cross-entropy" if first.values is not None else None)
    assert len(first.constraints(faces)) >= 1


@pytest.mark.parametrize("make", [random.sphere, random.gaussian, random.equal])
def test_random_families_are_seeded_and_shaped(make):
    one, two = make(n=3, T=4, d=5, seed=7, dz=2), make(n=3, T=4, d=5, seed=7, dz=2)
    np.testing.assert_array_equal(one.X, two.X)
    assert (one.n, one.T, one.d, one.d_z) == (3, 4, 5, 2)
    assert not np.array_equal(one.X, make(n=3, T=4, d=5, seed=8, dz=2).X)


def test_heads_see_the_same_tokens_with_scores_of_their_own():
    problem = random.heads(n=3, T=4, d=5, H=2, seed=1)
    assert problem.counts == (3, 2) and problem.n == 6
    np.testing.assert_array_equal(problem.X[0::2], problem.X[1::2])
    assert not np.array_equal(problem.scores[0::2], problem.scores[1::2])


def test_next_token_sets_hold_their_labels():
    problem = named.load("next-token:number=3")
    assert problem.token_names[0].tolist() == ["2", "4", "3", "0"]
    assert problem.token_names[np.arange(6), problem.optimal].tolist() == ["2", "4", "5", "5", "0", "1"]
    np.testing.assert_array_equal(problem.z, problem.X[:, -1])


def test_sphere_is_on_the_sphere():
    problem = random.sphere()
    np.testing.assert_allclose(np.linalg.norm(problem.X, axis=2), 1.0)
    np.testing.assert_allclose(np.linalg.norm(problem.z, axis=1), 1.0)


def test_digit_patches_are_the_image():
    problem, source = real.digits(n=4, seed=2), real.digit_images(n=4, seed=2)
    assert (problem.T, problem.d, problem.d_z) == (9, 19, 17)
    row, column = real.PATCH_CORNERS[5]
    pixels = source.images[3, row : row + 4, column : column + 4] / 16
    np.testing.assert_array_equal(problem.X[3, 5, :16].reshape(4, 4), pixels)
    np.testing.assert_array_equal(problem.y, np.where(source.digits == 3, 1.0, -1.0))


def test_digits_are_never_trained_on():
    chosen, held_out = real._split(3, 8, 200, 0)
    assert len(held_out) == real.HELD_OUT
    assert not set(chosen) & set(held_out)


def test_head_classifies_unseen_digits():
    problem = real.digits(n=200)
    predicted = np.sign(problem.X.mean(axis=1) @ problem.v)
    assert (predicted == problem.y).mean() > 0.8


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("head", [False, True])
def test_file_round_trip_is_exact(tmp_path, ragged, head):
    source = random.sphere(n=3, T=4, d=3)
    mask = np.ones((3, 4), dtype=bool)
    mask[0, 3] = not ragged
    if head:
        problem = mf.Problem.from_head(source.X, source.z, source.y, source.v, mask=mask)
    else:
        problem = mf.Problem(source.X, source.z, source.scores, mask=mask)
    write_problem(tmp_path / "p.npz", problem)
    again = read_problem(tmp_path / "p.npz")
    for key in ("X", "z", "scores", "mask", "optimal"):
        np.testing.assert_array_equal(getattr(again, key), getattr(problem, key))
    assert again.name.endswith("p.npz")


@pytest.mark.parametrize(
    "spec, words",
    [
        ("nothing", "expected a file ending in .npz or one of"),
        ("trap:sideways", "trap:finite"),
        ("angle:c=1", "between -1 and 1"),
        ("angle:c=nan", "between -1 and 1"),
        ("angle:c=x", "expected a number"),
        ("angle:k=1", "expected some of: c=0.5"),
        ("angle:c=.1,c=.2", "twice"),
        ("sphere:n=0", "n >= 1"),
        ("heads:H=0", "at least 1"),
        ("classes:k=1", "k >= 2"),
        ("classes:scale=0", "0 < scale"),
        ("next-token:number=10", "0..9"),
        ("sphere:n=2.5", "whole number"),
        ("sphere:seed=-1", "seed >= 0"),
        ("sphere:n=100000,T=1000,d=1000", "entries"),
        ("digits:a=3,b=3", "two different digits"),
        ("digits:n=5000", "expected n in 1"),
        ("digits:components=0", "1..64"),
        ("digits:ridge=-1", "positive"),
        ("orthogonal:n=0", "n >= 1"),
        ("orthogonal:n=100000", "n <="),
        ("spiked:c=1", "0 <= c < 1"),
        ("hadamard:bases=0", "at least 1"),
        ("nearly-infeasible:eps=0", "(0, 1]"),
    ],
)
def test_bad_names(spec, words):
    with pytest.raises(mf.InputError) as caught:
        named.load(spec)
    assert words in str(caught.value)


def test_planted_frobenius_values_by_projection():
    """An independent referee: least-distance programming through NNLS (theory 3.4)."""
    from scipy.optimize import nnls

    for name in ("single", "angle", "spiked", "sign-orbit", "orthogonal", "rank-infeasible", "trap:infinity"):
        answer = named.family(name)
        assert isinstance(answer, planted.Planted)
        rows = answer.problem.constraints()
        A = (rows.a[:, :, None] * rows.queries[:, None, :]).reshape(len(rows), -1)
        E = np.vstack([A.T, np.ones(len(A))])
        f = np.eye(len(E))[-1]
        u, _ = nnls(E, f)
        rho = E @ u - f
        assert np.linalg.norm(rho[:-1] / rho[-1]) == pytest.approx(answer.values["frobenius"], rel=1e-9), name
