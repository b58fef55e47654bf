"""Faces of next-token prediction: components of the token-priority graph, shares by counts, the joint optimum."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

import marginflow as mf


E = np.random.default_rng(0).standard_normal((6, 8))


def prefixes(rows):
    """A problem of (prefix, label) rows, ids into E; the query is the last token."""
    return mf.Problem(
        [E[list(prefix)] for prefix, _ in rows],
        [E[prefix[-1]] for prefix, _ in rows],
        [[float(t == label) for t in prefix] for prefix, label in rows],
    )


def trained_loss(problem, W):
    s = np.where(problem.mask, np.einsum("ntd,de,ne->nt", problem.X, W, problem.z), -np.inf)
    p = np.exp(s - s.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    return -np.log((p * problem.scores).sum(axis=1)).mean()


def test_a_cycle_of_two_shares_by_its_counts():
    """After token 2 came 0 three times and 1 once, of rows that hold both and 3: shares 3/4 and 1/4, 3 left behind."""
    rows = [((0, 1, 3, 2), 0)] * 3 + [((1, 0, 3, 2), 1)]
    faces = mf.faces(prefixes(rows), "log")
    np.testing.assert_allclose(faces.shares[0], [0.75, 0.25, 0, 0], atol=1e-12)
    np.testing.assert_allclose(faces.shares[3], [0.25, 0.75, 0, 0], atol=1e-12)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert faces.minimal_loss == pytest.approx(entropy, abs=1e-14) and faces.gap < 1e-13
    assert faces.unique.all() and faces.decided.all() and faces.finite_decrement <= 1e-20
    assert faces.shares_error.max() < 1e-10 and faces.reference.tolist() == [0, 0, 0, 0]


def test_an_acyclic_set_selects_its_labels_and_is_todays_problem():
    problem = prefixes([((0, 1, 2), 0), ((1, 3, 2), 1), ((0, 4, 3), 0)])
    faces = mf.faces(problem, "log")
    assert faces.minimal_loss == 0.0 and (faces.members.sum(axis=1) == 1).all()
    today, now = problem.constraints(), problem.constraints(faces)
    np.testing.assert_array_equal(today.a, now.a)
    assert not now.equal.any() and not faces.finite.any()


def test_other_queries_and_other_heads_do_not_share_a_cycle():
    rows = [((0, 1, 2), 0), ((1, 0, 3), 1)]
    assert (mf.faces(prefixes(rows), "log").members.sum(axis=1) == 1).all()
    one = prefixes([((0, 1, 2), 0), ((1, 0, 2), 1)])
    assert (mf.faces(one, "log").members.sum(axis=1) == 2).all()
    two = mf.Problem(one.X, one.z, one.scores, head=[0, 1])
    assert (mf.faces(two, "log").members.sum(axis=1) == 1).all()


def test_copies_count():
    """Two copies of one token and one of the other, each once the label: the logits settle at shares 1/2 each."""
    faces = mf.faces(prefixes([((0, 0, 1, 2), 0), ((0, 0, 1, 2), 1)]), "log")
    np.testing.assert_allclose(faces.shares[0], [0.25, 0.25, 0.5, 0.0], atol=1e-12)


ROW = st.tuples(st.lists(st.integers(0, 4), min_size=2, max_size=5), st.integers(0, 4), st.integers(4, 5))


@settings(max_examples=25, deadline=None)
@given(st.lists(ROW, min_size=2, max_size=7))
def test_the_least_loss_is_what_a_general_minimiser_tends_to(drawn):
    rows = [((*prefix, last), prefix[pick % len(prefix)]) for prefix, pick, last in drawn]
    rows = [(prefix, label) for prefix, label in rows if len(set(prefix)) > 1]
    if not rows:
        return
    problem = prefixes(rows)
    faces = mf.faces(problem, "log")

    def cost(w):
        W = w.reshape(8, 8)
        s = np.where(problem.mask, np.einsum("ntd,de,ne->nt", problem.X, W, problem.z), -np.inf)
        # -log of the attention on labels, from logits: a line search also tries W where it underflows.
        on_labels = np.where(problem.scores == 1.0, s, -np.inf)
        lost = (logsumexp(s, axis=1) - logsumexp(on_labels, axis=1)).mean()
        F = (softmax(s, axis=1) - softmax(on_labels, axis=1)) / problem.n
        return lost, np.einsum("nt,ntd,ne->de", F, problem.X, problem.z).ravel()

    found = minimize(
        cost,
        np.zeros(64),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 4000, "maxfun": 8000, "ftol": 1e-15, "gtol": 1e-9},
    )
    assert faces.minimal_loss - faces.gap <= found.fun + 1e-12
    assert found.fun == pytest.approx(faces.minimal_loss, abs=2e-4)
    assert faces.decided.all() and faces.gap < 1e-10
    # The finite part, with a W that parts the rest, is as good as the programme says.
    rows_ = problem.constraints(faces)
    if len(rows_) and not rows_.equal.all():
        A = (rows_.a[:, :, None] * rows_.queries[:, None, :]).reshape(len(rows_), -1)
        D = np.linalg.lstsq(A, np.where(rows_.equal, 0.0, 1.0), rcond=None)[0].reshape(8, 8)
        if np.allclose(rows_.margins(D)[~rows_.equal], 1.0):
            assert trained_loss(problem, faces.finite + 60.0 * D) == pytest.approx(faces.minimal_loss, abs=1e-12)


def test_tokens_that_depend_on_each_other_bring_equalities_that_no_cycle_shows():
    """On a line, 0 < 1 < 2: one query puts 1 before 0, the other (its negative) too, so that neither can part them."""
    X = np.array([[[0.0], [1.0]], [[0.0], [1.0]]])
    problem = mf.Problem(X, [[1.0], [-1.0]], [[0.0, 1.0], [0.0, 1.0]])
    faces = mf.faces(problem, "log")
    assert faces.members.all() and "a linear programme found them" in faces.reason
    np.testing.assert_allclose(faces.shares, 0.5, atol=1e-12)
    assert faces.minimal_loss == pytest.approx(np.log(2.0)) and not faces.decided.any()


def test_scores_that_are_no_single_label_are_the_optimal_tokens():
    X = np.random.default_rng(1).standard_normal((2, 3, 4))
    faces = mf.faces(mf.Problem(X, np.ones((2, 2)), [[1.0, 0.5, 0.1], [0.2, 0.0, 0.8]]), "log")
    assert faces.members.sum() == 2 and faces.minimal_loss == pytest.approx(-np.log(0.8) / 2)


@pytest.mark.parametrize("loss", [None, "logistic", "linear"])
def test_decreasing_losses_of_scores_select_the_optimal_tokens(loss):
    problem = mf.load("sphere:n=4,T=3,d=5,seed=1")
    faces = mf.faces(problem, loss)
    assert faces.members.argmax(axis=1).tolist() == problem.optimal.tolist() and faces.unique.all()
    np.testing.assert_array_equal(problem.constraints(faces).a, problem.constraints().a)
    best = problem.scores.max(axis=1)
    want = {None: np.exp(-best), "logistic": np.log1p(np.exp(-best)), "linear": -best}[loss].mean()
    assert abs(faces.minimal_loss - want) <= faces.gap + 1e-16 and faces.gap < 1e-13


def test_outputs_add_their_rows():
    problem = mf.load("sphere:n=4,T=3,d=5,seed=1")
    double = mf.Problem(problem.X, problem.z, problem.scores, output=[0, 0, 1, 1], head=[0, 1, 0, 1])
    best = problem.scores.max(axis=1)
    assert mf.faces(double).minimal_loss == pytest.approx(np.exp(-best.reshape(2, 2).sum(axis=1)).mean())
    assert mf.faces(double).finite.shape == (2, 5, 5)


def test_repr_says_sizes():
    problem = prefixes([((0, 1, 3, 2), 0), ((1, 0, 3, 2), 1)])
    assert "2 rows of 2..2 tokens, least loss 0.693147" in repr(mf.faces(problem, "log"))


def test_equalities_that_follow_from_others_are_left_out():
    """Three tokens on a cycle under one query: two equalities, however many rows say them."""
    rows = [((0, 1, 3, 2), 0), ((1, 3, 0, 2), 1), ((3, 0, 1, 2), 3), ((0, 1, 3, 2), 0)]
    problem = prefixes(rows)
    faces = mf.faces(problem, "log")
    assert faces.members.sum(axis=1).tolist() == [3, 3, 3, 3]
    constraints = problem.constraints(faces)
    assert constraints.equal.sum() == 2 and (~constraints.equal).sum() == 4
    A = (constraints.a[:, :, None] * constraints.queries[:, None, :]).reshape(len(constraints), -1)[constraints.equal]
    assert np.linalg.matrix_rank(A) == 2


def few(dimensions, tokens=8):
    """Tokens and queries of so few dimensions that they depend on each other."""
    return np.random.default_rng(3).standard_normal((tokens, dimensions))


def of(E, rows):
    return mf.Problem(
        [E[list(prefix)] for prefix, _ in rows],
        [E[prefix[-1]] for prefix, _ in rows],
        [[float(t == label) for t in prefix] for prefix, label in rows],
    )


def test_without_cycles_dependent_tokens_are_proved_by_weights_that_separate():
    faces = mf.faces(of(few(3), [((0, 1, 2, 3), 0), ((0, 4, 5), 0)]), "log")
    assert faces.decided.all() and faces.reason == "" and faces.members.sum() == 2


def test_beside_a_cycle_dependent_tokens_are_left_to_solve():
    problem = of(few(3), [((0, 1, 4), 0), ((1, 0, 4), 1), ((2, 3, 5, 6), 2)])
    faces = mf.faces(problem, "log")
    assert faces.members.sum(axis=1).tolist() == [2, 2, 1] and not faces.decided.any()
    assert "is not proved" in faces.reason and "`solve` proves or refutes it" in faces.reason
    assert mf.solve(problem, "frobenius", loss="log").status.name == "optimal"


def test_where_the_programme_is_too_large_nothing_is_called_proved(monkeypatch):
    monkeypatch.setattr("marginflow.optimal_attention.implied.LARGEST", 0)
    X = np.array([[[0.0], [1.0]], [[0.0], [1.0]]])
    faces = mf.faces(mf.Problem(X, [[1.0], [-1.0]], [[0.0, 1.0], [0.0, 1.0]]), "log")
    assert faces.minimal_loss == 0.0 and not faces.decided.any() and "not proved" in faces.reason


@pytest.mark.parametrize("loss", [None, "log", "logistic"])
def test_a_worse_twin_of_the_optimal_token_cannot_be_left_behind(loss):
    twins = [[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]
    for scores, attainable in (([[1.0, 0.5, 0.2]], False), ([[1.0, 1.0, 0.2]], True)):
        faces = mf.faces(mf.Problem(twins, [[1.0, 0.0]], scores), loss)
        assert faces.attainable is attainable and ("no W parts them" in faces.reason) is not attainable
        assert (faces.finite is not None) is attainable


def test_the_gap_of_the_finite_part_does_not_trust_the_eigenvalue_solver(monkeypatch):
    """eigvalsh only proposes the least curvature: one that says more than there is leaves the gap open."""
    from marginflow.optimal_attention import choice

    honest = np.linalg.eigvalsh
    problem = mf.load("next-token:number=3")
    assert mf.faces(problem, "log").gap < 1e-12
    for factor, known in ((0.5, True), (1.001, False), (50.0, False)):
        monkeypatch.setattr(choice.np.linalg, "eigvalsh", lambda H, factor=factor: factor * honest(H))
        assert bool(mf.faces(problem, "log").gap < 1e-9) is known


def test_the_least_eigenvalue_is_bounded_from_below():
    from marginflow.optimal_attention.choice import _least_eigenvalue_down

    for seed in range(20):
        draw = np.random.default_rng(seed)
        n = int(draw.integers(1, 6))
        V = mpmath.matrix(draw.integers(-9, 10, (n, n)).tolist())
        H = V * V.T
        least = min(mpmath.eigsy(H, eigvals_only=True))
        down = _least_eigenvalue_down(np.array(H.tolist(), dtype=float))
        assert down <= least and (down >= 0.999 * float(least) or least < 1e-9)
