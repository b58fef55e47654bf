"""The theorem for outputs in R^k: what it needs below the barrier, of the data, and of keys and queries."""

import math
from dataclasses import replace

import numpy as np
import pytest

import marginflow as mf
from marginflow.losses import CrossEntropy, Squared
from marginflow.model.combined import Identity
from marginflow.model.face_limits import face_limit
from marginflow.model.heads import map_of
from marginflow.model.held_faces import held_faces
from marginflow.selection.face_barrier import log_face_barrier
from marginflow.selection.face_rule import FaceEnd, end_of_faces
from marginflow.selection.face_theorem import missing_of_data, missing_of_state
from marginflow.selection.of_values import JudgeOfValues


def a_limit(seed=3, loss=None, outputs=None):
    problem = mf.load(f"classes:seed={seed}")
    if outputs is not None:
        count = max(outputs) + 1
        problem = mf.Problem(problem.X, problem.z, values=problem.values, labels=problem.labels[:count], output=outputs)
    return face_limit(problem, loss or CrossEntropy())


@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(0.1), Squared()], ids=lambda loss: loss.word)
@pytest.mark.parametrize("outputs", [None, [0, 1, 0, 1]])
def test_below_the_barrier_members_keep_half_their_share_and_tokens_outside_cost_more(loss, outputs):
    """Attention drawn at random with just that excess; and <grad_p L, p - p*> >= L - L*, by which the proof goes."""
    tried = 0
    for seed in (3, 5, 6, 7, 9):
        try:
            limit = a_limit(seed, loss, outputs)
        except mf.InputError:
            continue
        barrier, faces, problem = math.exp(log_face_barrier(limit)), limit.faces, limit.problem
        rng, m = np.random.default_rng(seed), limit.problem.counts[0]
        for draw in range(20):
            # Mostly into one direction: along members, or to one token outside.
            aim = rng.dirichlet(np.full(problem.T, 0.3), size=problem.n)
            aim = np.where(faces.members, aim, aim * (draw % 2)) + 1e-300
            p, excess = _with_excess(limit, aim / aim.sum(axis=1, keepdims=True), barrier)
            assert excess == pytest.approx(barrier, rel=1e-2)
            assert (p[faces.members] >= 0.5 * faces.shares[faces.members]).all()
            costs = -loss.pull(_outputs(limit, p), problem)
            mean = (p * costs).sum(axis=1, keepdims=True)
            assert (costs > mean)[problem.mask & ~faces.members].all()
            assert (costs * (p - faces.shares)).sum() / m >= excess * (1.0 - 1e-2)
            tried += 1
    assert tried >= 20


def _outputs(limit, p):
    u = np.zeros(limit.outputs.shape)
    np.add.at(u, limit.problem.output, np.einsum("nt,ntk->nk", p, limit.problem.values))
    return u


def _with_excess(limit, aim, excess):
    """Attention on the way from the shares to `aim` at which the loss exceeds the least one by `excess`."""
    least = limit.loss.value(limit.outputs, limit.problem.labels).mean()
    low, high = 0.0, 1.0
    for _ in range(100):
        part = (low + high) / 2.0
        p = (1.0 - part) * limit.faces.shares + part * aim
        found = limit.loss.value(_outputs(limit, p), limit.problem.labels).mean() - least
        low, high = (part, high) if found < excess else (low, part)
    return p, found


def test_what_the_theorem_needs_of_the_data():
    limit, kind = a_limit(), mf.Combined()
    assert missing_of_data(limit, kind) is None
    unsure = replace(limit, faces=replace(limit.faces, decided=np.zeros(4, dtype=bool)))
    assert "is not proved" in missing_of_data(unsure, kind)
    # Two rows that are one: the equality inside the face stands there twice.
    problem = limit.problem
    i = int(np.flatnonzero(limit.faces.members.sum(axis=1) > 1)[0])
    rows = [*range(4), i]
    z = problem.z[rows] * np.array([1.0, 1.0, 1.0, 1.0, 2.0])[:, None]
    twice = mf.Problem(problem.X[rows], z, values=problem.values[rows], labels=problem.labels[rows])
    faces = replace(
        limit.faces,
        **{name: getattr(limit.faces, name)[rows] for name in ("members", "shares", "unique", "decided", "reference")},
    )
    assert "depend on each other" in missing_of_data(replace(limit, problem=twice, faces=faces), kind)


def test_what_keys_and_queries_conserve_holds_the_pull_up():
    """|G Q|^2 + |G'K|^2 >= c |G|^2 with c read off K'K - Q'Q: not at a width of d, but at 2 d, or from Q = 0."""
    limit = a_limit()
    for width, scale_q, held in ((8, 1.0, False), (16, 1.0, True), (8, 0.0, True)):
        kind = mf.KeyQuery(width)
        arrays = kind.draw(8, 8, np.random.default_rng(width), 1.0)
        arrays["Q"] = scale_q * arrays["Q"]
        theta = kind.map(8, 8).pack(kind.start(arrays, 8, 8))
        assert (missing_of_state(limit, kind, theta) is None) == held
    data = limit.problem
    two = mf.Problem(data.X, data.z, values=data.values, labels=data.labels, head=[0, 1] * (data.n // 2))
    wide, both = mf.KeyQuery(16), face_limit(two, limit.loss)
    arrays = [wide.draw(8, 8, np.random.default_rng(h), 1.0) for h in range(2)]
    for narrow, held in ((1.0, True), (0.0, False)):
        stacked = {name: np.stack([arrays[0][name], narrow * arrays[1][name]]) for name in ("K", "Q")}
        theta = map_of(wide, two).pack(stacked)
        assert (missing_of_state(both, wide, theta) is None) == held
    pair = mf.DiagonalKeyQuery()
    theta = pair.map(8, 8).pack(pair.start({"k": np.arange(1.0, 9.0), "q": np.ones(8) * 0.5}, 8, 8))
    assert missing_of_state(limit, pair, theta) is None
    level = pair.map(8, 8).pack(pair.start({"k": np.ones(8), "q": np.ones(8)}, 8, 8))
    assert missing_of_state(limit, pair, level) is not None
    assert missing_of_state(limit, mf.Combined(), mf.Combined().map(8, 8).pack({"W": np.eye(8)})) is None


class Part(Identity):
    """The first rows of W alone."""

    def weights(self, theta):
        return theta * (np.arange(theta.shape[-2]) < 2)[:, None]

    vjp = jvp = lambda self, theta, change: self.weights(change)


class Twice(Identity):
    """W = 2 theta."""

    def weights(self, theta):
        return 2.0 * theta

    vjp = jvp = lambda self, theta, change: 2.0 * change


class Bent(Identity):
    """W_ij = sinh theta_ij, said to be linear."""

    def weights(self, theta):
        return np.sinh(theta)

    def vjp(self, theta, G):
        return np.cosh(theta) * G


@pytest.mark.parametrize(("phi", "every"), [(Part, False), (Bent, False), (Twice, True), (Identity, True)])
def test_parameters_that_do_not_make_every_weight_may_stand_still_above_the_least_loss(phi, every):
    class Own(mf.Combined):
        def map(self, d, d_z):
            return phi("W", False)

    said = missing_of_state(a_limit(), Own(), np.eye(8))
    assert said is None if every else "do not make every W" in said


def test_where_no_barrier_is_known_that_is_said_and_no_larger_margin_asked_for():
    """A copy in features of an outside token has its own values: alone it costs less than the row's member."""
    rng = np.random.default_rng(0)
    X, z, values = rng.standard_normal((2, 4, 5)), rng.standard_normal((2, 5)), rng.standard_normal((2, 4, 3))
    X[:, 1] = X[:, 0]
    problem = mf.Problem(X, z, values=values, labels=np.arange(2))
    path = mf.integrate(problem, "w", loss="cross-entropy", until_margin=30.0)
    assert path.verdict.log_barrier == -np.inf and path.status is mf.FlowStatus.undecided
    assert "no barrier is known" in path.reason and "larger margin" not in path.reason


def test_a_loss_that_is_not_known_to_be_convex_has_no_barrier():
    class Other(CrossEntropy):
        convex = False

    assert log_face_barrier(replace(a_limit(), loss=Other())) == -np.inf
    judge = JudgeOfValues(a_limit().problem, mf.Combined(), CrossEntropy())
    assert -40.0 < judge.log_barrier < 0.0


def test_the_rule_for_the_least_faces_and_for_ones_that_are_left():
    """Of the least loss no token outside is better. At single tokens whose better one has a margin below 1: left."""
    assert end_of_faces(a_limit(), "frobenius").says is FaceEnd.possible
    said, limit = set(), a_limit()
    problem = limit.problem
    for row in range(4):
        held = held_faces(problem, limit.loss, False)
        for token in range(problem.T):
            members = np.zeros(problem.mask.shape, dtype=bool)
            members[np.arange(4), limit.faces.reference] = True
            members[row] = np.arange(problem.T) == token
            found = held.of(members)
            end = end_of_faces(found, "frobenius")
            if len(found.better) and math.isfinite(end.margin):
                said.add(end.says)
                assert end.says is (FaceEnd.possible if end.margin > 1.0 else FaceEnd.left)
    assert FaceEnd.left in said
