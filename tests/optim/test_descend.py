"""The door of discrete training: what it promises of rates, batches, commands, endings and refusals."""

import json
import shlex
from itertools import pairwise

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.problem import named


KINDS = [mf.KeyQuery(2), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]
PROBLEM = named.load("equal:n=6,T=8,d=10,seed=3")


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_small_steps_follow_the_flow(kind):
    problem = named.load("sign-orbit")
    path = mf.integrate(problem, kind, seed=1, scale=0.5, until_margin=3.0)
    gaps = []
    for rate in (0.02, 0.01):
        count = round(float(np.exp(path.log_time[-1])) / rate)
        end = mf.descend(problem, kind, "gd", rate=rate, iterations=count, seed=1, scale=0.5)
        # t is a whole number of steps only to rate / 2, which moves the weights by as much.
        gaps.append(np.abs(end.W() - path.W()).max() / np.abs(path.W()).max())
    assert gaps[1] < 2e-3 and gaps[1] < gaps[0] + 1e-3


def test_one_gradient_step_breaks_balance_at_second_order():
    problem = named.load("sphere:n=4,T=4,d=5,seed=0")
    for rate in (0.1, 0.01):
        path = mf.descend(problem, mf.KeyQuery(3), rate=rate, iterations=1, scale=0.5)
        C = [p["K"].T @ p["K"] - p["Q"].T @ p["Q"] for p in (path.parameters(0), path.parameters(1))]
        dK, dQ = (path.parameters(1)[n] - path.parameters(0)[n] for n in ("K", "Q"))
        # dK = rate G Q, dQ = rate G'K (theory 3.7).
        assert np.allclose(C[1] - C[0], dK.T @ dK - dQ.T @ dQ, atol=1e-14)


@pytest.mark.parametrize(
    "optimizer", ["gd", "ngd", "ngd-separate", "sign", "spectral", "nuclear", "adam:b1=0.9,b2=0.9,eps=0"]
)
@pytest.mark.parametrize("kind", ["w", "kq"])
def test_speed_keeps_its_promise(optimizer, kind):
    """The margin grows by rho a step, from any start and without tuning."""
    for scale in (0.05, 0.3):
        path = mf.descend(PROBLEM, kind, optimizer, rate=mf.optim.Speed(0.04), iterations=2000, scale=scale)
        late = path.iteration >= 800
        steps, margin = path.iteration[late], path.margin[late]
        speeds = np.diff(margin) / np.diff(steps)
        # Before, a start near zero may pass saddles, where the mean margin grows and the least one waits.
        # Adam's step is shorter than its rate in entries whose gradient falls faster than others.
        allowed = 0.12 if optimizer.startswith("adam") else 0.05
        assert np.abs(speeds / 0.04 - 1).max() < allowed


@pytest.mark.parametrize("optimizer", ["gd", "ngd", "sign", "spectral"])
def test_the_first_step_from_almost_zero_is_no_leap(optimizer):
    """The gradient in K and Q vanishes with them: what a step adds is its own product, and the rate must know that."""
    path = mf.descend(PROBLEM, "kq", optimizer, rate=mf.optim.Speed(0.04), scale=1e-6, iterations=3)
    assert 0.01 < np.abs(path.snapshots.high[-1]).max() < 5


def test_normalised_descent_reaches_margins_that_plain_descent_does_not():
    problem = named.load("sphere:n=5,T=4,d=6,seed=0")
    value = mf.solve(problem, "nuclear").value
    for word in ("ngd", "ngd-separate"):
        path = mf.descend(problem, mf.KeyQuery(6), word, rate=0.1, iterations=4000)
        assert path.margin[-1] > 3e3
        assert np.linalg.norm(path.W(), "nuc") / path.margin[-1] / value < 1.02
    plain = mf.descend(problem, mf.KeyQuery(6), "gd", rate=0.1, iterations=4000)
    assert plain.margin[-1] < 20
    assert (np.diff(plain.log_excess) < 0).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize("optimizer", ["gd:momentum=0.9", "ngd", "sign:momentum=0.5", "adam:eps=0"])
def test_many_runs_are_the_single_ones(kind, optimizer):
    problem = named.load("sphere:n=3,T=4,d=5,seed=2")
    options = {"rate": 0.05, "iterations": 40, "batch": 2}
    many = mf.descend_many(problem, kind, optimizer, seeds=[3, 4, 5], **options)
    for seed, one in zip((3, 4, 5), many):
        alone = mf.descend(problem, kind, optimizer, seed=seed, **options)
        assert np.abs(one.snapshots.theta - alone.snapshots.theta).max() < 1e-12
        assert one.method == alone.method
    assert np.abs(many[0].W() - many[1].W()).max() > 1e-3


def test_many_problems_of_several_shapes():
    problems = [named.load(f"sphere:n={n},T=4,d=5,seed={n}") for n in (3, 4, 3)]
    problems[2] = named.load("sphere:n=3,T=4,d=5,seed=9")
    many = mf.descend_many(problems, "w", "ngd", seeds=[1, 2, 3], iterations=20, until_margin=0.2)
    for p, seed, one in zip(problems, (1, 2, 3), many):
        assert one.problem is p and one.seed == seed
        alone = mf.descend(p, "w", "ngd", seed=seed, iterations=20, until_margin=0.2)
        assert one.steps == alone.steps and one.ended == alone.ended
        assert np.abs(one.W() - alone.W()).max() < 1e-13


def test_the_command_repeats_the_run_to_the_same_bits(tmp_path, capsys):
    for optimizer, options in [
        ("adam:b1=0.8,eps=0", {"rate": "power:0.1,0.5", "decay": "decoupled:0.01", "batch": 4, "seed": 2}),
        ("gd:momentum=0.9,nesterov=true", {"rate": 0.25, "decay": "l2:0.001", "loss": "logistic", "scale": 0.3}),
        ("ngd", {"until_margin": 2.5}),
    ]:
        path = mf.descend(PROBLEM, "kq", optimizer, iterations=200, **options)
        words = shlex.split(path.method.command)
        assert words[0] == "marginflow"
        assert main([*words[1:], "--save", str(tmp_path / "again.npz")]) in (0, 1)
        again = mf.Trajectory.load(tmp_path / "again.npz")
        assert np.array_equal(again.snapshots.theta, path.snapshots.theta)
        assert again.method == path.method and again.ended == path.ended
    assert path.ended.name == "margin" and path.margin[-1] >= 2.5 > path.margin[-2]


def test_mini_batches_come_from_the_seed_and_keep_the_mean():
    def first(seed, batch=2):
        options = {"rate": 0.1, "iterations": 1, "init": np.zeros((10, 10)), "batch": batch}
        return mf.descend(PROBLEM, "w", "gd", seed=seed, **options).W()

    runs = [first(seed) for seed in range(400)]
    assert np.array_equal(first(7), runs[7])
    mean, whole = np.mean(runs, axis=0), first(0, batch=None)
    # Two of six: the mean over all pairs is the full gradient, and that over 400 draws nearly so.
    assert np.linalg.norm(mean - whole) < 0.15 * np.linalg.norm(whole)
    assert len({run.tobytes() for run in runs}) == 15


def test_runs_end_where_float64_does():
    path = mf.descend(PROBLEM, "w", "sign", rate=mf.optim.Speed(1e11), iterations=300)
    assert path.ended.name == "floor" and 1e11 < path.margin[-1] < 1e14
    assert "float64" in path.reason or path.status.name == "minimal_loss"
    assert np.isfinite(path.snapshots.theta).all()


def test_a_run_that_stands_still_ends():
    path = mf.descend(PROBLEM, "w", "gd", rate=1e-30, iterations=10_000)
    assert path.ended.name == "stalled" and path.steps < 3000
    assert np.array_equal(path.W(0), path.W(-1))


def test_an_interrupt_is_raised_unless_the_part_is_wanted():
    def stop(now):
        if now.iteration >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mf.descend(PROBLEM, "w", "ngd", iterations=1000, progress=stop)
    path = mf.descend(PROBLEM, "w", "ngd", iterations=1000, progress=stop, keep_partial=True)
    assert path.ended.name == "interrupted" and path.steps == 100
    whole = mf.descend(PROBLEM, "w", "ngd", iterations=100)
    assert np.array_equal(whole.W(), path.W())


def test_a_run_is_a_trajectory(tmp_path):
    path = mf.descend(PROBLEM, "kq", "ngd", iterations=1500)
    path.save(tmp_path / "run.npz")
    again = mf.Trajectory.load(tmp_path / "run.npz")
    assert again.status is path.status and again.method == path.method and again.reason == path.reason
    table = mf.diagnose(again)
    solution = mf.solve(PROBLEM, "nuclear")
    ratios = table["R_nuclear"][table["margin"] > 10]
    # The mean force is a dual candidate that a single force is not: R goes to 1.
    assert len(ratios) > 3 and 1 < ratios[-1] < 1.2 and (np.diff(ratios) < 0).all()
    assert table["nuclear"][-1] >= solution.certificate.lower
    assert all(pairwise(path.iteration) and a < b for a, b in pairwise(path.iteration))


def test_bad_options_are_refused():
    problem = named.load("angle")
    for options, word in [
        ({"optimizer": "rmsprop"}, "optimizer"),
        ({"optimizer": "adam:b3=1"}, "b1=0.9"),
        ({"optimizer": "adam:b1=1.0"}, "below 1"),
        ({"optimizer": "adam:b1=0.9,b1=0.8"}, "once"),
        ({"optimizer": "gd:nesterov=perhaps"}, "true or false"),
        ({"optimizer": "sign:momentum=much"}, "a number"),
        ({"optimizer": 3}, "optimizer"),
        ({"rate": 0.0}, "rate"),
        ({"rate": np.inf}, "rate"),
        ({"rate": "speed:-1"}, "speed"),
        ({"rate": "power:1"}, "power"),
        ({"rate": "power:1,2"}, "0 <= a <= 1"),
        ({"rate": True}, "rate"),
        ({"decay": "l2:-1"}, "positive"),
        ({"decay": "l1:1"}, "decay"),
        ({"iterations": 0}, "iterations"),
        ({"iterations": 2.5}, "iterations"),
        ({"until_margin": -1.0}, "until_margin"),
        ({"batch": 0}, "batch"),
        ({"batch": 99}, "batch"),
        ({"seed": -1}, "seed"),
        ({"scale": np.nan}, "scale"),
        ({"loss": "hinge"}, "loss"),
    ]:
        with pytest.raises(InputError, match=word):
            mf.descend(problem, mf.Combined(), **{"optimizer": "gd"} | options)
    with pytest.raises(InputError, match="expected matrices"):
        mf.descend(problem, mf.Diagonal(), "spectral")
    with pytest.raises(InputError, match="one number of runs"):
        mf.descend_many([problem, problem], "w", seeds=[1])
    with pytest.raises(InputError, match="Steepest"):
        mf.optim.Steepest("taxicab")


def test_the_verb_prints_one_object(capsys):
    options = ["--optimizer", "spectral:momentum=0.95", "--iterations", "800"]
    assert main(["descend", PROBLEM.name, "-p", "kq", *options, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    fields = (
        "status reason margin log_excess iterations nuclear frobenius operator entry_linf entry_l1 gaps predicted "
        "speed selected optimal"
    )
    assert set(fields.split()) <= set(found)
    assert found["predicted"] == "operator" and found["status"] == "minimal_loss" and found["iterations"] == 800
    solution = mf.solve(PROBLEM, "operator")
    gap = found["operator"] / found["margin"] / solution.value - 1
    assert abs(found["gaps"]["operator"] / gap - 1) < 1e-6
    assert set(found["gaps"]) == {"nuclear", "frobenius", "operator", "entry-linf", "entry-l1"}
    assert abs(found["speed"] / 0.03 - 1) < 0.05


@pytest.mark.parametrize(
    ("kind", "optimizer", "rate"),
    [
        ("kq", "mirror:p=1.0001", "speed:0.03"),
        ("w", "gd", 1e308),
        ("kq", "sign", 1e200),
        ("kq", "gd:momentum=0.9", 1e160),
    ],
)
def test_weights_that_leave_the_numbers_end_at_the_state_before(kind, optimizer, rate, tmp_path, capsys):
    path = mf.descend("sphere:n=2,T=3,d=3,seed=0", kind, optimizer, rate=rate, iterations=60)
    assert path.ended.name == "floor" and path.steps < 60 and "float64" in path.ended.advice
    assert np.isfinite(path.snapshots.theta).all() and np.isfinite(path.W(-1)).all()
    assert len(set(path.iteration)) == len(path.iteration)
    path.save(tmp_path / "run.npz")
    assert mf.Trajectory.load(tmp_path / "run.npz").ended == path.ended
    words = ["sphere:n=2,T=3,d=3,seed=0", "-p", kind, "--optimizer", optimizer, "--rate", str(rate), "--json"]
    assert main(["descend", *words, "--iterations", "60"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["ended"] == "floor"


def test_values_and_faces_are_refused_and_not_ignored():
    with pytest.raises(InputError, match="got a problem whose tokens have values; expected scores"):
        mf.descend("classes:seed=0", "w", iterations=2)
    with pytest.raises(InputError, match="got loss log, whose optimum keeps several tokens of a row"):
        mf.descend("next-token:number=3", "w", iterations=2, loss="log")


def test_rows_of_one_output_add_up_as_in_the_flow():
    plain = mf.load("sphere:n=4,T=5,d=6,seed=2")
    two = mf.Problem(plain.X, plain.z, plain.scores, output=[0, 1, 0, 1])
    steps = mf.descend(two, "w", "gd", rate=1e-3, iterations=1, seed=0)
    flow = mf.integrate(two, "w", seed=0, max_steps=1)
    assert np.allclose(steps.snapshots.f[0], flow.snapshots.f[0], atol=1e-12)
    alone = mf.descend(plain, "w", "gd", rate=1e-3, iterations=1, seed=0)
    assert not np.allclose(steps.snapshots.f[0], alone.snapshots.f[0], atol=1e-3)


def test_a_step_from_all_outputs_is_no_mini_batch():
    plain = mf.load("sphere:n=4,T=5,d=6,seed=2")
    two = mf.Problem(plain.X, plain.z, plain.scores, output=[0, 1, 0, 1])
    said = [mf.descend(two, "w", "sign", iterations=1, batch=batch).method.why for batch in (1, 2)]
    assert "1 of 2 samples" in said[0] and "of 4 samples" not in said[1]
