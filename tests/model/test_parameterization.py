"""One contract for every parameterisation, and for the worked example of docs/parameterization.md."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError, UndefinedError
from marginflow.flow.point import point
from marginflow.flow.rosenbrock import step
from marginflow.losses import Exponential, parse_loss
from marginflow.model.objective import Objective
from marginflow.model.parameterization import (
    AbstractParameterization,
    AbstractParameterMap,
    AbstractResolvent,
    relative,
)
from marginflow.model.token_rows import TokenRows
from marginflow.problem.random import sphere


@dataclass(frozen=True)
class Tied(AbstractParameterization):
    """W = K K'."""

    width: int
    word: str = field(default="tied", init=False)
    flow_norm: str = field(default="nuclear", init=False)
    conserved: str = field(default="", init=False)
    diagonal: bool = field(default=False, init=False)
    degree: int = field(default=2, init=False)

    def shapes(self, d, d_z):
        return {"K": (d, self.width)}

    def map(self, d, d_z):
        return TiedLift()

    def aligned(self, U, V, k, q):
        return {"K": U * k}

    def rank_cap(self, d, d_z):
        return self.width


class TiedLift(AbstractParameterMap):
    def weights(self, theta):
        return theta @ theta.transpose(0, 2, 1)

    def jvp(self, theta, dtheta):
        half = dtheta @ theta.transpose(0, 2, 1)
        return half + half.transpose(0, 2, 1)

    def vjp(self, theta, G):
        return (G + G.transpose(0, 2, 1)) @ theta

    def resolvent(self, theta, dtheta, G, a):
        A0 = a[:, None, None] * np.eye(theta.shape[1]) - (G + G.transpose(0, 2, 1))
        return TiedResolvent(theta, theta + dtheta / a[:, None, None], np.linalg.inv(A0))

    def distance(self, theta, error):
        return relative(theta, error)

    def drift(self, theta, start):
        return np.zeros(len(theta))

    def descent(self, arrays, G):
        return {"K": (G + G.T) @ arrays["K"]}

    def pack(self, arrays):
        return arrays["K"]

    def unpack(self, theta):
        return {"K": theta.copy()}


@dataclass(frozen=True, eq=False)
class TiedResolvent(AbstractResolvent):
    theta: np.ndarray
    bent: np.ndarray
    inverse: np.ndarray

    def solve(self, right):
        return self.inverse @ right

    def predicted_jvp(self, dtheta):
        half = dtheta @ self.bent.transpose(0, 2, 1)
        return half + half.transpose(0, 2, 1)

    def kernel(self, x, z):
        out = 0.0
        for left, right in ((x, z), (z, x)):
            bent = right @ self.bent
            for up, down in ((x, z), (z, x)):
                gram = left @ self.inverse @ up.transpose(0, 2, 1)
                out = out + gram * (bent @ (down @ self.theta).transpose(0, 2, 1))
        return out


KINDS = [mf.KeyQuery(2), mf.KeyQuery(5), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal(), Tied(3)]


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind.word}")
def setting(request):
    kind = request.param
    problem = sphere(n=3, T=3, d=4, seed=1)
    objective = Objective.of([problem], kind, Exponential())
    starts = [kind.start(kind.draw(4, 4, np.random.default_rng(b), 0.7), 4, 4) for b in range(2)]
    theta = np.stack([objective.map.pack(arrays) for arrays in starts])
    return kind, objective.map, objective, point(objective, theta, objective.logits(theta))


def test_jvp_is_the_derivative_of_the_weights(setting):
    _, phi, _, at = setting
    e = 1e-6
    moved = phi.weights(at.theta + e * at.dtheta) - phi.weights(at.theta - e * at.dtheta)
    assert np.abs(moved / (2 * e) - phi.jvp(at.theta, at.dtheta)).max() < 1e-8


def test_the_rate_lowers_the_loss(setting):
    _, _, _, at = setting
    # f is minus the gradient in the logits, so f.ds is the speed at which the loss falls.
    assert ((at.force.f * at.ds).sum(axis=(1, 2)) > 0).all()


def test_solve_inverts_what_the_rate_does_to_the_parameters(setting):
    _, phi, _, at = setting
    a = np.array([3.0, 7.0])
    right = np.random.default_rng(2).standard_normal(at.theta.shape)
    solved = phi.resolvent(at.theta, at.dtheta, at.G, a).solve(right)
    e = 1e-6
    change = (phi.vjp(at.theta + e * solved, at.G) - phi.vjp(at.theta - e * solved, at.G)) / (2 * e)
    assert np.abs(a.reshape(-1, *(1,) * (right.ndim - 1)) * solved - change - right).max() < 1e-7


def test_the_predicted_jvp_bends_by_the_second_derivative(setting):
    _, phi, _, at = setting
    a = np.array([3.0, 7.0])
    d = phi.vjp(at.theta, np.random.default_rng(3).standard_normal(at.G.shape))
    e = 1e-5
    there, back = (phi.jvp(at.theta + sign * e * at.dtheta, d) for sign in (1, -1))
    bend = (there - back) / (2 * e)
    want = phi.jvp(at.theta, d) + bend / a.reshape(-1, *(1,) * (bend.ndim - 1))
    assert np.abs(phi.resolvent(at.theta, at.dtheta, at.G, a).predicted_jvp(d) - want).max() < 1e-8


def test_the_kernel_is_what_its_parts_say_token_by_token(setting):
    _, phi, objective, at = setting
    tokens = objective.tokens
    a = np.array([3.0, 7.0])
    resolvent = phi.resolvent(at.theta, at.dtheta, at.G, a)
    M = resolvent.kernel(*tokens.gather(None))
    size = M.shape[1]
    for e in range(size):
        f = np.zeros((2, size))
        f[:, e] = 1.0
        rate = phi.vjp(at.theta, tokens.adjoint(f.reshape(at.ds.shape)))
        column = tokens.logits(resolvent.predicted_jvp(resolvent.solve(rate))).reshape(2, size)
        assert np.abs(np.broadcast_to(M, (2, size, size))[:, :, e] - column).max() < 1e-10


@pytest.mark.parametrize("count", [255, 256])
def test_the_kernel_of_many_tokens_takes_each_query_once_and_is_the_same(count):
    """From 256 tokens on; here two runs of their own tokens, queries in stretches of several lengths, three sizes."""
    rng = np.random.default_rng(0)
    theta, G = rng.standard_normal((2, 9, 3)), 0.1 * rng.standard_normal((2, 5, 4))
    phi = mf.KeyQuery(3).map(5, 4)
    resolvent = phi.resolvent(theta, phi.vjp(theta, G), G, np.array([3.0, 7.0]))
    x = rng.standard_normal((2, count, 5))
    z = rng.standard_normal((2, 20, 4))[:, np.sort(rng.integers(0, 20, count))]
    M = resolvent.kernel(x, z)
    rates = phi.vjp(np.repeat(theta, count, axis=0), (x[..., None] * z[:, :, None]).reshape(-1, 5, 4))
    for e in (0, 17, count - 1):
        dW = resolvent.predicted_jvp(resolvent.solve(rates.reshape(2, count, 9, 3)[:, e]))
        assert np.abs(M[:, :, e] - np.einsum("bad,bde,bae->ba", x, dW, z)).max() < 1e-12


@pytest.mark.parametrize("kind", [mf.KeyQuery(3), mf.Combined(), mf.Diagonal()], ids=lambda k: k.word)
def test_couplings_of_two_lists_and_the_diagonal_are_parts_of_the_kernel(kind):
    rng = np.random.default_rng(1)
    phi = kind.map(4, 4)
    theta = np.stack([phi.pack(kind.draw(4, 4, rng, 1.0)) for _ in range(2)])
    G = 0.1 * rng.standard_normal((2, 4) if kind.diagonal else (2, 4, 4))
    resolvent = phi.resolvent(theta, phi.vjp(theta, G), G, np.array([3.0, 7.0]))
    x, z = rng.standard_normal((12, 4)), rng.standard_normal((5, 4))[[0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4]]
    M = np.broadcast_to(resolvent.kernel(x[None], z[None]), (2, 12, 12))
    some, others = [2, 3, 4, 9, 0], [11, 6, 7]
    for b in range(2):
        rows, columns = TokenRows(x[some], z[some]), TokenRows(x[others], z[others])
        assert len(rows) == 5 and len(rows.z) == 3
        assert np.abs(resolvent.coupling(b, rows, columns) - M[b][np.ix_(some, others)]).max() < 1e-14
        assert np.abs(resolvent.own(b, rows) - np.diagonal(M[b])[some]).max() < 1e-14
        assert resolvent.definite(b)


@pytest.mark.parametrize("a", [0.999, 1.001])
def test_a_stage_is_definite_up_to_where_its_solution_runs_away(a):
    """K' = G Q, Q' = G'K grow at the rate |G|_op; an implicit step of length 1/|G|_op has no solution."""
    phi = mf.KeyQuery(2).map(3, 3)
    theta, G = np.ones((1, 6, 2)), np.diag([1.0, 0.5, 0.2])[None]
    assert phi.resolvent(theta, np.zeros_like(theta), G, np.array([a])).definite(0) == (a > 1.0)


@pytest.mark.parametrize("loss", ["exponential", "logistic"])
def test_steps_converge_at_order_five(setting, loss):
    _, phi, objective, at = setting
    objective = dataclasses.replace(objective, loss=parse_loss(loss))

    def go(count):
        here = point(objective, at.theta, at.s)
        for _ in range(count):
            done = step(objective, here, np.full(2, 0.3 / count), None)
            here = point(objective, done.theta, here.s.moved(done.ds).rebased())
        return phi.weights(here.theta)

    best = go(48)
    coarse, fine = (np.abs(go(count) - best).max() for count in (4, 8))
    assert fine < 1e-12 or np.log2(coarse / fine) > 4.5


def test_gathered_tokens_give_the_same_step(setting):
    _, _, objective, at = setting
    every = np.tile(np.arange(9), (2, 1))
    h = np.array([0.1, 0.2])
    full, part = (step(objective, at, h, active) for active in (None, every))
    assert np.abs(full.theta - part.theta).max() < 1e-13
    assert np.abs(full.ds - part.ds).max() < 1e-13


def test_the_pull_on_the_arrays_is_the_gradient():
    problem = sphere(n=3, T=3, d=4, seed=1)
    G = np.random.default_rng(1).standard_normal((4, 4))
    for kind in KINDS:
        phi = kind.map(problem.d, problem.d_z)
        g = np.diag(G) if kind.diagonal else G
        arrays = kind.draw(4, 4, np.random.default_rng(0), 1.0)
        pull = phi.descent(arrays, g)
        assert list(pull) == list(arrays)
        size = {name: (g * phi.weights(phi.pack(arrays)[None])[0]).sum() for name in arrays}
        # Euler: the weights are homogeneous of degree 1 or 2 in all arrays together.
        total = sum((pull[name] * arrays[name]).sum() for name in arrays)
        assert total == pytest.approx(kind.degree * next(iter(size.values())), rel=1e-12)


def test_parameters_come_back_as_they_were_given():
    for kind in KINDS:
        arrays = kind.draw(4, 4, np.random.default_rng(0), 1.0)
        phi = kind.map(4, 4)
        back = phi.unpack(phi.pack(kind.start(arrays, 4, 4)))
        assert list(back) == list(kind.shapes(4, 4))
        assert all(np.allclose(back[name], arrays[name], rtol=1e-15, atol=1e-16) for name in arrays)


def test_aligned_starts_have_the_singular_directions_asked_for():
    U, V = (np.linalg.qr(np.random.default_rng(i).standard_normal((4, 2)))[0] for i in (0, 1))
    k, q = np.array([1.0, 2.0]), np.array([0.5, -1.0])
    want = (U * (k * q)) @ V.T
    both = mf.KeyQuery(3).aligned(U, V, k, q)
    assert np.allclose(both["K"] @ both["Q"].T, want)
    assert np.allclose(mf.Combined().aligned(U, V, k, q)["W"], want)
    E = np.eye(4)[:, :2]
    assert np.allclose(mf.DiagonalKeyQuery().aligned(E, E, k, q)["k"], [1.0, 2.0, 0.0, 0.0])
    with pytest.raises(InputError, match="at most width 1"):
        mf.KeyQuery(1).aligned(U, V, k, q)
    with pytest.raises(InputError, match="columns of the identity"):
        mf.Diagonal().aligned(U, V, k, q)


@pytest.mark.parametrize(
    ("kind", "init", "words"),
    [
        (mf.KeyQuery(2), (np.zeros((4, 2)), np.zeros((4, 2))), "saddle"),
        (mf.KeyQuery(2), (np.ones((4, 2)),), "got 1 arrays"),
        (mf.KeyQuery(2), np.ones((4, 2)), "got one array"),
        (mf.KeyQuery(2), (np.ones((4, 3)), np.ones((4, 2))), r"got shape \(4, 3\); expected \(4, 2\)"),
        (mf.KeyQuery(2), {"K": np.ones((4, 2))}, "expected K"),
        (mf.Combined(), np.full((4, 4), np.nan), "finite"),
        (mf.Combined(), np.ones((4, 4), dtype=complex), "real numbers"),
        (mf.Diagonal(), np.ones(3), "expected"),
        (mf.DiagonalKeyQuery(), (np.zeros(4), np.zeros(4)), "saddle"),
    ],
)
def test_a_start_that_cannot_be_used_is_one_clear_error(kind, init, words):
    with pytest.raises(InputError, match=words):
        mf.integrate(sphere(n=3, T=3, d=4, seed=1), kind, init=init)


def test_diagonal_weights_need_one_dimension():
    rng = np.random.default_rng(0)
    problem = mf.Problem(rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3)), rng.standard_normal((2, 3)))
    for kind in (mf.Diagonal(), mf.DiagonalKeyQuery()):
        with pytest.raises(UndefinedError, match="diagonal weights"):
            mf.integrate(problem, kind)
    assert mf.integrate(problem, mf.KeyQuery(2), until_margin=10).W().shape == (4, 3)


def test_width_is_a_positive_whole_number():
    for width in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="width"):
            mf.KeyQuery(width)
