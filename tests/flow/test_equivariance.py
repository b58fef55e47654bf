"""What must not change the flow (theory 3.7), to 20 rtol: 10 for the error of each of the two runs compared."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import marginflow as mf
from marginflow.problem.random import sphere


RTOL = 1e-8
KINDS = [mf.KeyQuery(2), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]
# Diagonal weights in 5 dimensions separate 3 or 4 generic constraints, so that no run is idle.
few = settings(deadline=None, derandomize=True, max_examples=2)
seeds = st.integers(0, 10_000)


def go(problem, kind, init):
    return mf.integrate(problem, kind, init=init, until_margin=50.0, rtol=RTOL, max_steps=3000)


def drawn(kind, problem, seed, scale=0.3):
    return kind.draw(problem.d, problem.d_z, np.random.default_rng(seed), scale)


def same_end(a, b, arrays, tokens, faster=0.0):
    """`b` ends where `a` does, its parameters being `arrays`, its tokens `tokens`, its log time less by `faster`."""
    assert (a.status, a.ended) == (b.status, b.ended)
    assert b.selected().tolist() == list(tokens)
    if a.ended.name != "margin":
        return
    # Runs stop at the lead asked for to 1e-6; what is left of that is measured, not an error of either.
    lead = [-np.partition(-path.snapshots.high[-1], 1, axis=1)[:, 1].max() for path in (a, b)]
    apart = abs(lead[0] - lead[1])
    # Twice, because a unit of margin can be more than a unit of log t.
    ours = np.concatenate([x.ravel() for x in b.parameters().values()])
    want = np.concatenate([x.ravel() for x in arrays.values()])
    assert np.linalg.norm(ours - want) <= (20 * RTOL + 2 * apart / 50.0) * np.linalg.norm(want)
    size = max(1.0, abs(a.log_time[-1]))
    assert abs(b.log_time[-1] + faster - a.log_time[-1]) <= 20 * RTOL * size + 2 * apart


@few
@given(seeds)
def test_rotations_of_tokens_queries_and_of_the_shared_index(seed):
    """x -> U x, z -> V z, K -> U K R, Q -> V Q R (theory 3.7); W -> U W V'."""
    rng = np.random.default_rng(seed)
    problem = sphere(n=3, T=3, d=4, seed=seed, dz=3)
    U, V, R = (np.linalg.qr(rng.standard_normal((m, m)))[0] for m in (4, 3, 2))
    turned = mf.Problem(problem.X @ U.T, problem.z @ V.T, problem.scores)
    for kind, turn in (
        (mf.KeyQuery(2), lambda p: {"K": U @ p["K"] @ R, "Q": V @ p["Q"] @ R}),
        (mf.Combined(), lambda p: {"W": U @ p["W"] @ V.T}),
    ):
        init = drawn(kind, problem, seed)
        a, b = go(problem, kind, init), go(turned, kind, turn(init))
        same_end(a, b, turn(a.parameters()), a.selected())


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@few
@given(seeds)
def test_a_common_shift_of_the_tokens_of_a_sample(kind, seed):
    problem = sphere(n=2, T=3, d=5, seed=seed)
    shift = np.random.default_rng(seed).standard_normal((2, 1, 5))
    init = drawn(kind, problem, seed)
    a, b = go(problem, kind, init), go(mf.Problem(problem.X + shift, problem.z, problem.scores), kind, init)
    same_end(a, b, a.parameters(), a.selected())


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@few
@given(seeds)
def test_the_order_of_samples_and_of_tokens(kind, seed):
    rng = np.random.default_rng(seed)
    problem = sphere(n=3, T=2, d=5, seed=seed)
    rows, tokens = rng.permutation(3), rng.permutation(2)
    other = mf.Problem(problem.X[rows][:, tokens], problem.z[rows], problem.scores[rows][:, tokens])
    init = drawn(kind, problem, seed)
    a, b = go(problem, kind, init), go(other, kind, init)
    same_end(a, b, a.parameters(), np.argsort(tokens)[a.selected()[rows]])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@few
@given(seeds)
def test_padding(kind, seed):
    """Tokens that do not exist, wherever they are and whatever their number."""
    problem = sphere(n=2, T=3, d=5, seed=seed)
    places = np.array([[0, 2, 5], [1, 2, 3]])
    X, scores, mask = np.zeros((2, 6, 5)), np.zeros((2, 6)), np.zeros((2, 6), dtype=bool)
    for i, at in enumerate(places):
        X[i, at], scores[i, at], mask[i, at] = problem.X[i], problem.scores[i], True
    init = drawn(kind, problem, seed)
    a, b = go(problem, kind, init), go(mf.Problem(X, problem.z, scores, mask=mask), kind, init)
    same_end(a, b, a.parameters(), places[np.arange(2), a.selected()])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@few
@given(seeds, st.floats(0.1, 10.0))
def test_longer_queries_are_smaller_weights_and_faster_time(kind, seed, c):
    """z -> c z with theta -> c^(-1/D) theta gives the same logits at the times c^(-2/D) t.

    D is the degree of phi. phi(c^(-1/D) theta) = phi(theta) / c, so the logits x' phi c z are the same, and so is
    F. The pull on the weights is c G, and phi' is homogeneous of degree D - 1, so the new parameters move at
    phi'(c^(-1/D) theta)* c G = c^(1 - (D-1)/D) theta' = c^(1/D) theta', where c^(-1/D) theta' is needed to stay
    on the image of the old orbit: time runs c^(2/D) times as fast. For W (D = 1) log t falls by 2 log c; for
    (K, Q) (D = 2) by log c. The same holds for x -> c x.
    """
    problem = sphere(n=2, T=3, d=5, seed=seed)
    small = c ** (-1 / kind.degree)
    init = drawn(kind, problem, seed)
    a = go(problem, kind, init)
    for longer in (
        mf.Problem(problem.X, c * problem.z, problem.scores),
        mf.Problem(c * problem.X, problem.z, problem.scores),
    ):
        b = go(longer, kind, {name: small * array for name, array in init.items()})
        arrays = {name: small * array for name, array in a.parameters().items()}
        same_end(a, b, arrays, a.selected(), 2 / kind.degree * np.log(c))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_alone_and_in_a_batch(kind):
    problems = [sphere(n=2, T=3, d=5, seed=s) for s in range(5)]
    inits = [drawn(kind, p, s) for s, p in enumerate(problems)]
    batch = mf.integrate_many(problems, kind, inits=inits, until_margin=50.0, rtol=RTOL, max_steps=3000)
    for problem, init, member in zip(problems, inits, batch, strict=True):
        a = go(problem, kind, init)
        same_end(a, member, a.parameters(), a.selected())
        assert a.verdict.proof == member.verdict.proof
