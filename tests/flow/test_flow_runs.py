"""Runs as objects: snapshots, resuming, interrupting, progress, options, barriers."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.errors import InputError
from marginflow.flow import integrate as door
from marginflow.flow.control import switch_guard
from marginflow.problem import named
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.trajectory import Trajectory


def same_bits(a: Trajectory, b: Trajectory, rows=slice(None)) -> None:
    for name, value in vars(a.snapshots).items():
        other = getattr(b.snapshots, name)
        assert np.array_equal(value, other if name == "start" else other[rows]), name
    assert a.ended == b.ended and repr(a.verdict) == repr(b.verdict)


@pytest.mark.parametrize("kind", [mf.KeyQuery(10), mf.Combined()], ids=lambda k: k.word)
def test_a_run_goes_on_to_the_same_bits(kind, tmp_path):
    problem = named.load("sphere:n=6,T=8,d=10,seed=1")
    whole = mf.integrate(problem, kind, until_margin=1e5)
    half = mf.integrate(problem, kind, until_margin=1e2)
    half.save(tmp_path / "half.npz")
    loaded = Trajectory.load(tmp_path / "half.npz")
    assert 1e2 <= half.margin[-1] <= 1e2 * (1 + 1e-6)
    on = door.resume(loaded, until_margin=1e5)
    # The whole run has no snapshot where the half run stood before it was made to land.
    others = [i for i in range(len(on)) if on.restart.tau[i] in whole.restart.tau]
    assert len(on) - len(others) <= 1 and len(on) > len(half)
    same_bits(whole, on, others)


@pytest.mark.parametrize("kind", [mf.KeyQuery(10), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()])
@pytest.mark.parametrize("margin", [0.5, 37.0, 1e4, 1e12])
def test_a_run_lands_on_the_margin_asked_for(kind, margin):
    path = mf.integrate(named.load("sphere:n=4,T=5,d=8,seed=6"), kind, until_margin=margin)
    reach = np.sort(-path.snapshots.high[-1], axis=1)[:, 1].min()
    assert path.ended is Ended.margin
    assert margin <= reach <= margin * (1 + 2e-6)
    assert (np.diff(path.restart.tau) > 0).all()


def test_resuming_refuses_a_snapshot_that_is_not_there():
    path = mf.integrate(named.load("angle"), mf.Combined(), until_margin=10.0)
    with pytest.raises(InputError, match="snapshot: got 99"):
        door.resume(path, snapshot=99)


def test_snapshots_lie_at_geometric_margins_and_at_every_change_of_a_token():
    path = mf.integrate(named.load("sphere:n=6,T=8,d=10,seed=1"), mf.KeyQuery(10), until_margin=1e6)
    decades = np.log10(path.margin[path.margin > 10])
    assert np.diff(decades).max() < 0.3
    tops = [tuple(path.selected(i)) for i in range(len(path))]
    assert len(set(tops)) > 2
    assert tops[-1] == tuple(path.optimal)
    assert path.dual().shape == (len(path.problem.constraints()),) and (path.dual() >= 0).all()


def stopping(calls, at):
    """A progress that is interrupted at its call number `at`."""

    def stop(progress):
        calls.append(progress)
        if len(calls) == at:
            raise KeyboardInterrupt

    return stop


def test_ctrl_c_keeps_what_was_reached_for_who_asks():
    calls = []
    paths = mf.integrate_many(
        [named.load("sphere:n=4,T=4,d=5,seed=0")] * 2 + [named.load("sphere:n=3,T=4,d=5,seed=0")],
        mf.KeyQuery(5),
        seeds=[0, 1, 0],
        until_margin=1e12,
        progress=stopping(calls, 3),
        keep_partial=True,
    )
    assert [p.ended for p in paths] == [Ended.interrupted] * 3
    assert [p.steps for p in paths] == [30, 30, 0]
    assert calls[0].running == 2 and calls[-1].steps == 30


def test_ctrl_c_is_raised_to_who_does_not():
    problem = named.load("sphere:n=4,T=4,d=5,seed=0")
    with pytest.raises(KeyboardInterrupt):
        mf.integrate(problem, mf.KeyQuery(5), until_margin=1e12, progress=stopping([], 2))
    half = mf.integrate(problem, mf.KeyQuery(5), until_margin=10.0)
    with pytest.raises(KeyboardInterrupt):
        door.resume(half, until_margin=1e12, progress=stopping([], 2))
    kept = door.resume(half, until_margin=1e12, progress=stopping([], 2), keep_partial=True)
    assert kept.ended is Ended.interrupted and len(kept) >= len(half) - 1


@pytest.mark.parametrize(
    "options",
    [
        {"until": "loss"},
        {"loss": "hinge"},
        {"rtol": 0.5},
        {"rtol": np.nan},
        {"until_margin": 1e300},
        {"until_margin": -1.0},
        {"max_steps": 0},
        {"seed": -1},
        {"seed": 1.5},
        {"scale": np.inf},
    ],
)
def test_bad_options_are_one_clear_error(options):
    with pytest.raises(InputError, match="got"):
        mf.integrate(named.load("angle"), mf.Combined(), **options)
    with pytest.raises(InputError, match="parameterization: got 'mlp'; expected one of kq, w"):
        mf.integrate(named.load("angle"), "mlp")


def test_runs_must_be_as_many_as_problems():
    with pytest.raises(InputError, match="one number of runs"):
        mf.integrate_many([named.load("angle")] * 2, mf.Combined(), seeds=[0])
    with pytest.raises(InputError, match="one number of runs"):
        mf.integrate_many(named.load("angle"), mf.Combined())


class Leads:
    """A point with only what `switch_guard` looks at."""

    def __init__(self, top, gap):
        self.force = type("F", (), {"top": np.array([top]), "gap": np.array([gap]), "bend": None})
        self.ds = np.zeros((1, 2, 2))


def test_a_barrier_is_never_jumped():
    scores = np.array([[[1.0, 0.0], [1.0, 0.0]]])
    calm = Leads([0, 0], [100.0, 90.0])
    # To the better token with the pair in the force before or after; not from far to far.
    assert switch_guard(Leads([1, 0], [90.0, 92.0]), Leads([0, 0], [300.0, 100.0]), scores)[0] == 1.0
    assert switch_guard(Leads([1, 0], [500.0, 90.0]), Leads([0, 0], [3.0, 100.0]), scores)[0] == 1.0
    assert switch_guard(Leads([1, 0], [500.0, 90.0]), Leads([0, 0], [500.0, 100.0]), scores)[0] == pytest.approx(0.5)
    # To the worse token only while the leads are of order 1 on both sides.
    assert switch_guard(Leads([0, 0], [90.0, 92.0]), Leads([1, 0], [95.0, 100.0]), scores)[0] < 1.0
    assert switch_guard(Leads([0, 0], [3.0, 92.0]), Leads([1, 0], [2.0, 100.0]), scores)[0] == 1.0
    assert switch_guard(calm, calm, scores)[0] == 1.0
    # Ties exert no force on each other.
    assert switch_guard(Leads([1, 0], [500.0, 90.0]), Leads([0, 0], [500.0, 100.0]), 0 * scores)[0] == 1.0


@pytest.mark.long
@pytest.mark.parametrize("first", range(0, 200, 40))
@pytest.mark.parametrize("kind", [mf.KeyQuery(10), mf.Combined()], ids=lambda k: k.word)
def test_two_hundred_seeds_keep_their_verdicts(kind, first):
    """One verdict at rtol 1e-6 and 1e-9 (issue 4); what is said early holds at 1e12, traps are told at 1e6 (13)."""
    seeds = range(first, first + 40)
    problems = [named.load(f"sphere:n=6,T=8,d=10,seed={s}") for s in seeds]
    early = mf.integrate_many(problems, kind, seeds=seeds, until_margin=1e4)
    tight = mf.integrate_many(problems, kind, seeds=seeds, until_margin=1e4, rtol=1e-9)
    middle = mf.integrate_many(problems, kind, seeds=seeds, until_margin=1e6)
    late = mf.integrate_many(problems, kind, seeds=seeds, until_margin=1e12)
    assert [p.status for p in early] == [p.status for p in tight]
    decided = [
        (a, b)
        for paths in (early, middle)
        for a, b in zip(paths, late, strict=True)
        if a.status is not mf.FlowStatus.undecided
    ]
    assert len(decided) > 60
    for a, b in decided:
        assert a.status is b.status
        assert tuple(a.selected()) == tuple(b.selected())
    sitting = [a for a, b in zip(middle, late, strict=True) if off(a) and tuple(a.selected()) == tuple(b.selected())]
    told = sum(a.status is mf.FlowStatus.trapped for a in sitting)
    assert len(sitting) >= 8 and told > 0
    # Of keys and queries few are told at 1e6 (docs/honesty.md): the bound over all weights of their norm is too wide.
    assert kind.word == "kq" or told >= 0.9 * len(sitting)


def off(path: Trajectory) -> bool:
    """Whether some sample is on a token below its optimal one."""
    rows, scores = np.arange(path.problem.n), path.problem.scores
    return bool((scores[rows, path.selected()] < scores[rows, path.optimal]).any())


@pytest.mark.parametrize("kind", [mf.KeyQuery(3), mf.Combined()], ids=lambda k: k.word)
def test_tokens_of_very_different_length_do_not_use_up_the_steps(kind):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((2, 4, 3)) * np.array([1e-2, 30.0])[:, None, None]
    path = mf.integrate(mf.Problem(X, rng.standard_normal((2, 3)), rng.standard_normal((2, 4))), kind, until_margin=1e8)
    assert path.ended is Ended.margin and path.steps < 2500
    assert path.status is not mf.FlowStatus.undecided


def test_a_run_in_perfect_balance_ends_without_a_step_of_infinite_length():
    # One coordinate cannot serve two samples that want opposite signs: the forces balance at a finite lead.
    problem = mf.Problem([[[1.0], [0.0]], [[-1.0], [0.0]]], [[1.0], [1.0]], [[1.0, 0.0], [1.0, 0.0]])
    path = mf.integrate(problem, mf.Combined(), until_margin=1e6)
    assert path.ended is Ended.balanced and path.status is mf.FlowStatus.undecided
    assert np.isfinite(path.restart.tau).all() and np.isfinite(path.restart.h).all()
