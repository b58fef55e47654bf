"""Faces of losses of values: against CVXPY, against closed forms, and what is said where they are not one point."""

import cvxpy as cp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf
from marginflow.losses import AbstractOutputLoss, CrossEntropy, Squared


def classes(n=6, T=6, d=6, k=4, scale=3.0, seed=0, **more):
    draw = np.random.default_rng(seed)
    X = draw.standard_normal((n, T, d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    values = scale / np.sqrt(k) * draw.standard_normal((n, T, k))
    outputs = len(set(more.get("output", range(n))))
    labels = draw.integers(0, k, outputs)
    return mf.Problem(X, draw.standard_normal((n, d)), values=values, labels=labels, **more)


def referee(problem, loss, o):
    """The least loss of one output and shares that have it, by an interior-point solver."""
    own = np.flatnonzero(problem.output == o)
    p = [cp.Variable(problem.T, nonneg=True) for _ in own]
    u = sum(problem.values[i].T @ p_ for i, p_ in zip(own, p))
    k, label = problem.k, problem.labels[o]
    if isinstance(loss, Squared):
        cost = 0.5 * cp.sum_squares(u - (np.eye(k)[label] if problem.labels.ndim == 1 else label))
    else:
        q = (1 - loss.smoothing) * np.eye(k)[label] + loss.smoothing / k
        cost = cp.log_sum_exp(u) - q @ u
    cp.Problem(cp.Minimize(cost), [cp.sum(p_) == 1 for p_ in p]).solve(
        solver="CLARABEL", tol_gap_abs=1e-10, tol_gap_rel=1e-10, tol_feas=1e-10
    )
    return cost.value, {i: p_.value for i, p_ in zip(own, p)}


@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(0.1), Squared()], ids=lambda x: x.word)
@pytest.mark.parametrize("output", [None, [0, 1, 0, 2, 1, 2]], ids=["a row each", "two rows each"])
def test_least_loss_members_and_shares_agree_with_an_interior_point_solver(loss, output):
    problem = classes(T=5, k=6 if output is None else 12, **({} if output is None else {"output": output}))
    faces = mf.faces(problem, loss)
    found = [referee(problem, loss, o) for o in range(problem.counts[0])]
    assert faces.minimal_loss == pytest.approx(np.mean([value for value, _ in found]), abs=1e-8)
    assert faces.minimal_loss - faces.gap <= np.mean([value for value, _ in found]) + 1e-9
    assert faces.gap < 1e-11 and faces.unique.all() and faces.decided.all() and faces.reason == ""
    for _, shares in found:
        for i, p in shares.items():
            np.testing.assert_allclose(faces.shares[i], p, atol=3e-4)
            assert not faces.shares[i][~faces.members[i]].any() and (faces.shares[i][faces.members[i]] > 0).all()
    assert (faces.members.sum(axis=1) > 1).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([CrossEntropy(), CrossEntropy(0.2), Squared()]), st.floats(0.5, 8.0))
def test_the_gap_is_a_bound_and_the_optimum_satisfies_its_conditions(seed, loss, scale):
    problem = classes(n=3, T=5, k=5, scale=scale, seed=seed)
    faces = mf.faces(problem, loss)
    p = np.where(faces.unique[:, None], faces.shares, 1.0 / problem.T)
    u = np.einsum("nt,ntk->nk", p, problem.values)
    pull = loss.pull(u, problem)
    for i in np.flatnonzero(faces.unique):
        best = pull[i].max()
        np.testing.assert_allclose(pull[i][faces.members[i]], best, atol=1e-6 * max(1, scale**2))
        assert p[i].sum() == pytest.approx(1.0, abs=1e-14)
    # No other shares are better than the gap says.
    draw = np.random.default_rng(seed)
    for other in (
        draw.dirichlet(np.ones(problem.T), problem.n),
        np.eye(problem.T)[draw.integers(0, problem.T, problem.n)],
    ):
        mixed = 0.99 * np.nan_to_num(p, nan=1.0 / problem.T) + 0.01 * other
        value = loss.value(np.einsum("nt,ntk->nk", mixed, problem.values), problem.labels).mean()
        assert value >= faces.minimal_loss - faces.gap


def test_a_target_between_two_values_is_met_by_their_shares():
    """Values -1 and 1 on a line, target 1/2: shares 1/4 and 3/4, whatever the third token says far away."""
    X = np.eye(3)[None]
    problem = mf.Problem(X, [[1.0, 0.0]], values=[[-1.0, 1.0, -9.0]], labels=[[0.5]])
    faces = mf.faces(problem, "squared")
    assert not faces.unique[0] and np.isnan(faces.shares).all()  # three values on a line: many shares meet it
    two = mf.Problem(X[:, :2], [[1.0, 0.0]], values=[[-1.0, 1.0]], labels=[[0.5]])
    faces = mf.faces(two, "squared")
    np.testing.assert_allclose(faces.shares, [[0.25, 0.75]], atol=1e-15)
    assert faces.unique[0] and abs(faces.minimal_loss) <= faces.gap and faces.shares_error[0] < 1e-6
    W = faces.finite
    logits = two.X[0] @ W @ two.z[0]
    assert logits[1] - logits[0] == pytest.approx(np.log(3.0)) and faces.finite_decrement < 1e-25


def test_far_from_every_token_the_nearest_one_has_all():
    problem = mf.Problem(np.eye(3)[None], [[1.0]], values=[[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]], labels=[[5.0, 0.0]])
    faces = mf.faces(problem, "squared")
    assert faces.shares.tolist() == [[0.0, 1.0, 0.0]] and faces.minimal_loss == pytest.approx(8.0)
    assert faces.unique[0] and faces.decided[0] and faces.reference.tolist() == [1]
    assert len(problem.constraints(faces)) == 2 and problem.constraints(faces).level.tolist() == [1.0, 1.0]


def test_a_token_on_the_border_of_its_face_is_not_decided():
    """The target is a token, and another token's value is level with it along the gradient, which is 0."""
    problem = mf.Problem(np.eye(2)[None], [[1.0]], values=[[[1.0, 0.0], [0.0, 1.0]]], labels=[[1.0, 0.0]])
    faces = mf.faces(problem, "squared")
    assert not faces.decided[0] and "not proved" in faces.reason


def test_more_tokens_than_an_output_has_numbers_are_not_unique_and_refused():
    problem = classes(n=3, T=8, k=3, scale=5.0, seed=1)
    faces = mf.faces(problem, CrossEntropy(0.3))
    assert not faces.unique.all() and "depend on each other" in faces.reason and faces.finite is None
    assert faces.gap < 1e-11  # the least loss is known all the same
    with pytest.raises(mf.InputError, match="shares that are one point in every sample"):
        problem.constraints(faces)


def test_duplicates_of_a_token_share_its_share_and_constrain_nothing():
    plain = classes(n=2, T=4, k=5, seed=3)
    X, V = (np.concatenate([a, a[:, :1]], axis=1) for a in (plain.X, plain.values))
    double = mf.Problem(X, plain.z, values=V, labels=plain.labels)
    one, two = mf.faces(plain, "cross-entropy"), mf.faces(double, "cross-entropy")
    np.testing.assert_allclose(two.shares[:, 0] + two.shares[:, 4], one.shares[:, 0], atol=1e-12)
    np.testing.assert_array_equal(two.shares[:, 0], two.shares[:, 4])
    a, b = plain.constraints(one), double.constraints(two)
    assert a.equal.sum() == b.equal.sum() and two.unique.all()


def test_constraints_are_equalities_inside_and_margins_outside():
    problem = classes()
    faces = mf.faces(problem, "cross-entropy")
    rows = problem.constraints(faces)
    assert rows.equal.sum() == (faces.members.sum(axis=1) - 1).sum() and len(rows) == problem.n * (problem.T - 1)
    assert (rows.level == np.where(rows.equal, 0.0, 1.0)).all()
    for c in range(len(rows)):
        i = rows.sample[c]
        np.testing.assert_array_equal(rows.a[c], problem.X[i, faces.reference[i]] - problem.X[i, rows.token[c]])
        assert rows.equal[c] == faces.members[i, rows.token[c]]
    with pytest.raises(mf.InputError, match="compute them from this problem"):
        classes(T=7).constraints(faces)
    with pytest.raises(mf.InputError, match="against"):
        problem.constraints(faces, against="worse")


def test_the_finite_part_has_the_shares():
    problem = classes()
    faces = mf.faces(problem, "cross-entropy")
    assert faces.attainable is True and faces.finite_decrement < 1e-20
    s = np.einsum("ntd,de,ne->nt", problem.X, faces.finite, problem.z)
    e = np.where(faces.members, np.exp(s), 0.0)
    np.testing.assert_allclose(e / e.sum(axis=1, keepdims=True), faces.shares, atol=1e-12)


def test_heads_have_a_finite_part_each():
    problem = classes(k=9, output=[0, 1, 0, 2, 1, 2], head=[0, 0, 1, 1, 1, 0], T=5)
    faces = mf.faces(problem, "cross-entropy")
    assert faces.finite.shape == (2, 6, 6) and faces.attainable
    s = np.einsum("ntd,nde,ne->nt", problem.X, faces.finite[problem.head], problem.z)
    e = np.where(faces.members, np.exp(s), 0.0)
    np.testing.assert_allclose(e / e.sum(axis=1, keepdims=True), faces.shares, atol=1e-12)
    assert problem.constraints(faces).heads == 2


def test_shares_that_contradict_each_other_are_not_attainable():
    """One query, the same two tokens in two rows, with shares 1/4 and 3/4 the other way round."""
    X = np.eye(2)[None].repeat(2, axis=0)
    problem = mf.Problem(X, np.ones((2, 1)), values=[[-1.0, 1.0]] * 2, labels=[[0.5], [-0.5]])
    faces = mf.faces(problem, "squared")
    assert faces.attainable is False and faces.finite is None and "no W has the shares" in faces.reason
    apart = mf.Problem(X, np.eye(2), values=[[-1.0, 1.0]] * 2, labels=[[0.5], [-0.5]])
    assert mf.faces(apart, "squared").attainable is True
    same = mf.Problem(X, np.ones((2, 1)), values=[[-1.0, 1.0]] * 2, labels=[[0.5], [0.5]])
    assert mf.faces(same, "squared").attainable is True


def test_a_loss_of_ones_own_without_constants_gets_a_gap_and_no_proof():
    class Quartic(Squared):
        smooth = bend = np.inf

        def __init__(self):
            pass

        word = "quartic"

    problem = classes(n=2, T=4, k=5)
    faces = mf.faces(problem, Quartic())
    assert faces.gap < 1e-11 and not faces.unique.any() and not faces.decided.any()


@pytest.mark.parametrize("loss", ["cross-entropy", "squared"])
def test_scores_are_refused_where_values_are_needed(loss):
    with pytest.raises(mf.InputError, match="expected values"):
        mf.faces("sphere:n=2", loss)


def test_costs_that_float64_cannot_tell_from_zero_decide_nothing():
    draw = np.random.default_rng(0)
    X, z, values = draw.normal(size=(2, 3, 3)), draw.normal(size=(2, 3)), 1e-200 * draw.normal(size=(2, 3, 2))
    faces = mf.faces(mf.Problem(X, z, values=values, labels=values[:, 0] * 1.1), "squared")
    assert faces.members.any(axis=1).all() and not faces.decided.any() and not faces.unique.any()


def test_leads_whose_gradient_is_no_float64_are_refused():
    draw = np.random.default_rng(0)
    X, z, values = draw.normal(size=(2, 3, 3)), draw.normal(size=(2, 3)), 1e8 * draw.normal(size=(2, 3, 2))
    with pytest.raises(mf.InputError, match="no float64; expected leads up to 700"):
        mf.faces(mf.Problem(X, z, values=values, labels=[0, 1]), "cross-entropy")


class Waves(AbstractOutputLoss):
    """cos 3u: flat between its valleys."""

    word, convex, smooth, bend = "waves", False, 9.0, 3.0

    def value(self, u, labels):
        return np.cos(3.0 * u[..., 0])

    def gradient(self, u, labels):
        return -3.0 * np.sin(3.0 * u)

    def hessian(self, u, labels):
        return (-9.0 * np.cos(3.0 * u))[..., None]

    def check(self, problem):
        pass


def test_of_a_loss_that_is_not_convex_nothing_is_proved():
    problem = mf.Problem(np.eye(2)[None], [[1.0, 1.0]], values=[[[-1.0], [1.0]]], labels=[[0.0]])
    faces = mf.faces(problem, Waves())
    assert faces.gap == np.inf and not faces.decided.any() and not faces.unique.any() and faces.reason
