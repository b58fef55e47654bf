"""Starts on the border of a basin: nothing is said of them that rounding decided (docs/flow.md 7)."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.flow import sensitivity
from marginflow.flow.kinds import kinds
from marginflow.flow.loop import advance
from marginflow.flow.sensitivity import Sensitivity, relative_error
from marginflow.flow.state import Settings, first_state
from marginflow.losses import parse_loss
from marginflow.model.objective import Objective
from marginflow.problem import named
from marginflow.problem.random import sphere


def minus(rng):
    """K = -Q on tokens equal to queries: W = -K K' for ever, the loss goes to that of no attention."""
    d = int(rng.integers(1, 4))
    z = rng.standard_normal((1, d))
    K = rng.uniform(0.2, 2.0) * rng.standard_normal((d, d))
    return mf.Problem(np.stack([z[0], 0 * z[0]])[None], z, [[1.0, 0.0]]), mf.KeyQuery(d), np.stack([K, -K])


def columns(rng):
    """Two equal columns of K and of Q stay equal: W of rank one, which does not separate these tokens."""
    problem = named.load("rank-infeasible")
    theta = 0.5 * np.repeat(rng.standard_normal((2, problem.d, 1)), 2, axis=2)
    return problem, mf.KeyQuery(2), theta


def hill(rng):
    """The top of a hill of the loss between two ends, along one coordinate; the other goes its way."""
    while True:
        x = np.array([rng.uniform(0.5, 2), -rng.uniform(0.5, 2), rng.uniform(-0.3, 0.3)])
        scores = np.array([1.0, rng.uniform(0.4, 0.8), 0.0])
        low, high = -6.0, 6.0
        if slope(low, x, scores) < 0 < slope(high, x, scores):
            break
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle, x, scores) < 0 else (low, middle)
    X = np.zeros((2, 3, 2))
    X[0, :, 0], X[1, :, 1] = x, (1.0, 0.0, -1.0)
    problem = mf.Problem(X, np.ones((2, 2)), np.array([scores, [1.0, 0.0, -1.0]]))
    return problem, mf.Diagonal(), np.array([[low, rng.uniform(-0.5, 0.5)]])


def slope(w, x, scores):
    p = np.exp(w * x - (w * x).max())
    p /= p.sum()
    return p * (scores - p @ scores) @ x


def product(rng):
    """The same with a key and a query per coordinate."""
    problem, _, beta = hill(rng)
    key = 1.5 * np.sqrt(np.abs(beta[0]))
    return problem, mf.DiagonalKeyQuery(), np.stack([key, beta[0] / key])


SETS = {"minus": minus, "columns": columns, "hill": hill, "product": product}


def moved(theta, rng, by):
    """Off the set by a relative `by` in the first array."""
    out = theta.copy()
    out[0] += by * np.linalg.norm(theta[0]) / np.sqrt(theta[0].size) * rng.choice([-1.0, 1.0], theta[0].shape)
    return out


def go(name, seed, by, rtol, until="verdict"):
    rng = np.random.default_rng(seed)
    problem, kind, theta = SETS[name](rng)
    loss = ("exponential", "logistic")[seed % 2]
    init = tuple(moved(theta, rng, by)) if len(theta) > 1 else moved(theta, rng, by)[0]
    return mf.integrate(problem, kind, init=init, rtol=rtol, loss=loss, until=until, until_margin=1e3, max_steps=400)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(("rtol", "by"), [(1e-3, 0.0), (1e-6, 0.0), (1e-6, 1e-15), (1e-6, 1e-9), (1e-9, 1e-12)])
def test_a_start_on_the_border_is_not_called(name, rtol, by):
    said = [go(name, seed, by, rtol) for seed in range(2)]
    assert mf.FlowStatus.minimal_loss not in [path.status for path in said]


@pytest.mark.parametrize("name", ["hill", "product"])
def test_a_start_on_a_hill_is_not_called_trapped_either(name):
    """Rounding takes it to one side or the other; which, says nothing of the start."""
    said = [go(name, seed, by, 1e-6, until="margin").status for seed in range(1) for by in (0.0, 1e-12, -1e-12)]
    assert said == [mf.FlowStatus.undecided] * 3


def batch(name, seeds, rtol, distances):
    """Runs of starts of one kind, at each of `distances` from their set to either side, sets in turn."""
    out = {by: [] for by in distances}
    for seed in seeds:
        rng = np.random.default_rng(1000 + seed)
        problem, kind, theta = SETS[name](rng)
        sides = [by * sign for by in distances for sign in (1, -1)]
        inits = [moved(theta, rng, by) for by in sides]
        inits = [tuple(init) if len(theta) > 1 else init[0] for init in inits]
        paths = mf.integrate_many(
            problem,
            kind,
            inits=inits,
            rtol=rtol,
            loss=("exponential", "logistic")[seed % 2],
            until_margin=1e3,
            until="verdict",
            max_steps=400,
        )
        for by, path in zip(sides, paths, strict=True):
            out[abs(by)].append(path)
    return out


def called(paths):
    return [path for path in paths if path.status is mf.FlowStatus.minimal_loss]


@pytest.mark.long
@pytest.mark.parametrize("rtol", [1e-3, 1e-6])
@pytest.mark.parametrize("name", SETS)
def test_what_is_called_of_a_batch_on_the_border_is_so(name, rtol):
    """Up to 1e-9 from the set nothing is called, of 128 starts of each kind and tolerance, both losses.

    Further away, but within the tolerance, a start may be called that does leave the set: tight tolerances say so too.
    """
    near, far = [0.0, 1e-15, 1e-12, 1e-9], min(1e-7, rtol)
    said = batch(name, range(16), rtol, [*near, far])
    assert [by for by in near if called(said[by])] == []
    for path in called(said[far]):
        start = tuple(path.parameters(0).values())
        init = start if len(start) > 1 else start[0]
        tight = mf.integrate(
            path.problem, path.parameterization, init=init, rtol=1e-11, loss=path.loss, until="verdict"
        )
        assert tight.status is mf.FlowStatus.minimal_loss, tight.reason


@pytest.mark.parametrize("name", ["columns", "hill"])
def test_no_start_of_a_small_batch_on_the_border_is_called(name):
    said = batch(name, range(1), 1e-6, [0.0, 1e-14, 1e-7])
    assert [by for by, found in said.items() if called(found)] == []


@pytest.mark.parametrize("name", ["columns", "hill"])
def test_the_reason_says_what_the_start_is(name):
    path = go(name, 1, 1e-12, 1e-6)
    assert "border of a basin" in path.reason and "in exact arithmetic it may stay at log excess" in path.reason
    assert path.verdict.log_excess < path.verdict.log_barrier


@pytest.mark.parametrize("name", SETS)
def test_a_start_away_from_the_border_is_called(name):
    """Beyond what the run's errors add up to, the start decides: one side of each set reaches the minimal loss."""
    said = [go(name, seed, sign * 3e-3, 1e-6).status for seed in range(2) for sign in (1, -1)]
    assert mf.FlowStatus.minimal_loss in said
    if name in ("hill", "product"):
        assert said.count(mf.FlowStatus.trapped) == said.count(mf.FlowStatus.minimal_loss) == 2


@pytest.mark.parametrize("kind", [mf.KeyQuery(8), mf.Combined()], ids=lambda k: k.word)
@pytest.mark.parametrize("rtol", [1e-6, 1e-9])
def test_ordinary_starts_are_called_as_the_theorem_says(kind, rtol):
    problems = [sphere(n=4, T=5, d=8, seed=seed) for seed in range(12)]
    paths = mf.integrate_many(problems, kind, seeds=range(12), until="verdict", rtol=rtol)
    below = [path.verdict.log_excess < path.verdict.log_barrier for path in paths]
    assert sum(below) > 6
    assert [path.status is mf.FlowStatus.minimal_loss for path in paths] == below


def test_the_error_is_carried_as_a_run_from_a_start_beside_carries_it():
    """Against the difference of two runs on the same steps; the one that carries it may round up, by a factor."""
    problem = sphere(n=4, T=5, d=8, seed=3)
    kind = mf.KeyQuery(8)
    objective = Objective.of([problem], kind, parse_loss("exponential"))
    start = 0.1 * np.random.default_rng(3).standard_normal((1, 16, 8))
    settings = Settings(1e3, 1e-6, 1000)
    move = 1e-7 * relative_error(objective, start, 0)
    one = first_state(objective, np.concatenate([start, start + move]))
    state, watch = first_state(objective, start), None
    watch = Sensitivity.at(objective, state, np.array([-50.0]))
    largest = 0.0
    for _ in range(25):
        before, state, (pair, _) = state, None, advance(objective, one, settings, kinds(objective, one, settings))
        wanted = kinds(objective, before, settings)
        state, accepted = advance(objective, before, settings, wanted)
        watch = watch.after(objective, before, state, accepted, wanted)
        one = pair
        off = np.linalg.norm(one.at.dtheta[1] - one.at.dtheta[0]) / np.linalg.norm(one.at.dtheta[0]) / 1e-7
        largest = max(largest, off)
    assert 0.2 * largest < watch.growth[0] < 100 * largest


def test_directions_of_errors_are_drawn_at_the_start_and_not_with_every_step(monkeypatch):
    drawn, draw = [], sensitivity._direction
    monkeypatch.setattr(sensitivity, "_direction", lambda *given: drawn.append(given[2]) or draw(*given))
    path = mf.integrate(sphere(n=3, T=4, d=6, seed=0), "w", seed=0, until_margin=30.0)
    assert path.steps > 20 and sorted(drawn) == [0, 1]


@pytest.mark.parametrize("c", [1e-20, 1e20])
@pytest.mark.parametrize("kind", [mf.Combined(), mf.KeyQuery(5)], ids=lambda k: k.word)
def test_units_of_the_tokens_change_nothing(kind, c):
    problem = sphere(n=2, T=3, d=5, seed=1)
    init = kind.draw(5, 5, np.random.default_rng(1), 0.1)
    a = mf.integrate(problem, kind, init=init, until_margin=1e3)
    small = {name: c ** (-1 / kind.degree) * array for name, array in init.items()}
    b = mf.integrate(mf.Problem(c * problem.X, problem.z, problem.scores), kind, init=small, until_margin=1e3)
    assert (a.status, a.ended) == (b.status, b.ended)
    assert b.log_time[-1] == pytest.approx(a.log_time[-1] - 2 / kind.degree * np.log(c), abs=1e-3)


def test_a_start_close_to_zero_grows_and_is_not_in_balance():
    path = mf.integrate(sphere(n=2, T=3, d=5, seed=1), mf.KeyQuery(5), scale=1e-150, until_margin=1e3)
    assert path.ended.name == "margin" and path.status is not mf.FlowStatus.undecided


@pytest.mark.parametrize("by", [1e-170, 1e-200])
def test_scores_whose_squares_underflow_are_as_good_as_others(by):
    problem = sphere(n=2, T=3, d=5, seed=1)
    tiny = mf.Problem(problem.X, problem.z, by * problem.scores)
    a = mf.integrate(tiny, mf.Combined(), until_margin=1e3)
    assert a.status is not mf.FlowStatus.undecided and a.steps < 300
    assert np.isfinite(a.log_time[1:]).all()


def test_twins_do_not_climb():
    """Tokens with the same features and different scores: steps of 1e17 went uphill, from -.78 to -.49."""
    problem = mf.Problem(
        [[[1.0], [-1.0], [-1.0]], [[-1.0], [1.0], [1.0]]],
        [[-1.0], [-1.0]],
        [[-0.3, 0.8, 0.3], [-0.6, 1.0, -0.3]],
    )
    path = mf.integrate(problem, mf.Combined(), init=[[0.5]])
    assert path.ended.name == "balanced" and path.status is mf.FlowStatus.undecided
    assert path.log_excess[-1] == pytest.approx(-0.79148, abs=1e-4)
    assert (np.diff(path.log_excess) <= 1e-12).all()
