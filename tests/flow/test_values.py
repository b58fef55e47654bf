"""Flows of outputs in R^k: the pull with its k x k bend, the faces that runs end on, and what is said of them."""

import json
import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from test_step import exact

import marginflow as mf
from marginflow.cli.main import main
from marginflow.diagnostics.ratio import comparison, final_ratio
from marginflow.errors import InputError
from marginflow.flow import onto_face
from marginflow.flow.control import switch_guard
from marginflow.flow.integrate import resume
from marginflow.flow.point import point
from marginflow.flow.rosenbrock import step
from marginflow.losses import CrossEntropy, parse_output_loss
from marginflow.model.face_limits import face_limit
from marginflow.model.force import jacobian_product
from marginflow.model.held_faces import held_faces
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.trajectory.ended import Ended


LOSSES = ("cross-entropy", "cross-entropy:smoothing=0.1", "squared")


def a_problem(rows=4, outputs=None, seed=4):
    problem = mf.load(f"classes:n={rows},T=5,d=8,k=4,seed={seed}")
    if outputs is None:
        return problem
    count = max(outputs) + 1
    return mf.Problem(problem.X, problem.z, values=problem.values, labels=problem.labels[:count], output=outputs)


def objective_and_logits(loss, outputs=None, size=2.0):
    problem = a_problem(outputs=outputs)
    objective = Objective.of([problem], mf.Combined(), parse_output_loss(loss))
    s = size * np.random.default_rng(0).standard_normal((1, *problem.mask.shape))
    return problem, objective, Logits.of(s, problem.mask[None])


@pytest.fixture(scope="module")
def runs():
    """One run on the faces of the least loss, of more than a token; and one on others, for each of W and (K, Q)."""
    out = {}
    for seed, word in ((3, "w"), (1, "w"), (3, "kq")):
        out[seed, word] = mf.integrate(f"classes:seed={seed}", word, loss="cross-entropy", until_margin=1e6)
    return out


@pytest.mark.parametrize("loss", LOSSES)
def test_the_force_is_that_of_fifty_digits(loss):
    """At leads of 30 too, where a pull is e^-30 of others in the row."""
    for size in (1.0, 12.0):
        problem, objective, s = objective_and_logits(loss, size=size)
        at = objective.force(s)
        F = at.f[0] * math.exp(at.log_norm[0])
        exact_one = _force_in_digits(problem, parse_output_loss(loss), (s.high + s.low)[0])
        assert np.abs(F / exact_one - 1.0).max() < 1e-9


def _force_in_digits(problem, loss, s):
    with mpmath.workdps(50):
        out = np.zeros(s.shape)
        for i in range(problem.n):
            e = [mpmath.exp(mpmath.mpf(float(v))) for v in s[i]]
            p = [v / sum(e) for v in e]
            v = [[mpmath.mpf(float(x)) for x in row] for row in problem.values[i]]
            u = [sum(p[t] * v[t][j] for t in range(len(p))) for j in range(problem.k)]
            y = int(problem.labels[i])
            if loss.word == "squared":
                slope = [u[j] - (j == y) for j in range(problem.k)]
            else:
                z = [mpmath.exp(x) for x in u]
                q = mpmath.mpf(loss.smoothing)
                slope = [z[j] / sum(z) - (1 - q) * (j == y) - q / problem.k for j in range(problem.k)]
            score = [-sum(slope[j] * v[t][j] for j in range(problem.k)) for t in range(len(p))]
            mean = sum(a * b for a, b in zip(p, score, strict=True))
            out[i] = [float(p[t] * (score[t] - mean) / problem.n) for t in range(len(p))]
    return out


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("outputs", [None, [0, 1, 0, 1]])
def test_the_jacobian_has_the_bend_of_every_output(loss, outputs):
    """A k x k Hessian an output, which rows that add up share."""
    problem, objective, s = objective_and_logits(loss, outputs)
    at = objective.force(s)
    ds = np.random.default_rng(1).standard_normal(at.f.shape)
    up, down = (objective.force(s.moved(e * ds)) for e in (1e-6, -1e-6))
    assert np.abs((up.f - down.f) / 2e-6 - at.jvp(ds)).max() < 1e-7
    assert -(up.log_norm - down.log_norm) / 2e-6 == pytest.approx(at.psi_rate(ds), rel=1e-6)
    assert (up.log_spread - down.log_spread) / 2e-6 == pytest.approx(at.spread_rate(ds), rel=1e-6)
    straight = replace(at, bend=replace(at.bend, back=0.0 * at.bend.back))
    assert np.abs(straight.jvp(ds) - at.jvp(ds)).max() > 1e-2
    A = problem.mask.size
    M = np.random.default_rng(2).standard_normal((1, A, A))
    sample = np.arange(A)[None] // problem.T
    flat = (v.reshape(1, A) for v in (at.f, at.p, at.slope_gradient))
    bend = (at.bend.moved.reshape(1, A, -1), at.bend.back.reshape(1, A, -1))
    columns = [at.jvp(M[:, :, j].reshape(at.f.shape)).reshape(1, A) for j in range(A)]
    product = jacobian_product(*flat, sample, M, at.outputs.of_row[sample], bend)
    assert np.abs(product - np.stack(columns, axis=2)).max() < 1e-13


@pytest.mark.parametrize("kind", [mf.KeyQuery(8), mf.Combined()], ids=lambda k: k.word)
def test_a_step_with_the_bend_keeps_its_order(kind):
    problem = a_problem(rows=2)
    objective, h = Objective.of([problem], kind, CrossEntropy()), {"kq": 0.02, "w": 0.1}[kind.word]
    arrays = kind.draw(8, 8, np.random.default_rng(1), 1.0)
    theta = kind.map(8, 8).pack(kind.start(arrays, 8, 8))[None]
    at, off = point(objective, theta, objective.logits(theta)), []
    true = exact(objective, at, (h, 2 * h))
    for length in (2 * h, h):
        tried = step(objective, at, np.array([length]), None)
        off.append(max(np.abs(tried.theta - true[length][0]).max(), np.abs(tried.ds - true[length][1]).max()))
    assert off[1] > 1e-14 and np.log2(off[0] / off[1]) > 5.3


@pytest.mark.parametrize(("loss", "word"), [("cross-entropy", "w"), ("squared", "kq")])
def test_the_flow_is_that_of_scipy(loss, word):
    """From its definition, in log(1 + t), with nothing of the flow's own."""
    problem = mf.load("classes:n=2,T=3,d=4,k=3,seed=3")
    path = mf.integrate(problem, word, loss=loss, scale=0.5, until_margin=4.0)
    start, names = path.parameters(0), list(path.parameters(0))
    shapes, chosen = [start[name].shape for name in names], parse_output_loss(loss)

    def velocity(clock, y):
        parts = np.split(y, np.cumsum([math.prod(shape) for shape in shapes])[:-1])
        arrays = [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]
        W = arrays[0] if word == "w" else arrays[0] @ arrays[1].T
        s = np.einsum("ntd,de,ne->nt", problem.X, W, problem.z)
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        pull = chosen.pull(np.einsum("nt,ntk->nk", p, problem.values), problem)
        G = (
            np.einsum("nt,ntd,ne->de", p * (pull - (p * pull).sum(axis=1, keepdims=True)), problem.X, problem.z)
            / problem.n
        )
        rates = [G] if word == "w" else [G @ arrays[1], G.T @ arrays[0]]
        return math.exp(clock) * np.concatenate([rate.ravel() for rate in rates])

    clocks = np.log1p(np.exp(path.log_time[1:]))
    begin = np.concatenate([start[name].ravel() for name in names])
    found = solve_ivp(velocity, (0.0, clocks[-1]), begin, "LSODA", clocks, rtol=1e-8, atol=1e-10)
    own = np.array([np.concatenate([path.parameters(i)[name].ravel() for name in names]) for i in range(1, len(path))])
    assert path.margin[-1] > 4.0 and len(own) > 3
    assert np.abs(found.y.T - own).max() < 10.0 * path.rtol * np.abs(own).max()


def test_a_run_on_the_predicted_faces_has_their_shares_loss_and_svm(runs):
    for (seed, word), path in runs.items():
        if seed != 3:
            continue
        faces = path.limit.faces
        assert (path.held.faces.members == faces.members).all() and faces.members.sum(axis=1).max() > 1
        logits = np.einsum("ntd,de,ne->nt", path.problem.X, path.W(), path.problem.z)
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        assert np.abs(p / p.sum(axis=1, keepdims=True) - faces.shares).max() < 1e-8
        assert path.log_excess[-1] < -9e5 and path.margin[-1] == pytest.approx(1e6, rel=1e-5)
        assert 1.0 <= final_ratio(path) < (1.0 + 1e-5 if word == "w" else 1.05)
    path = runs[3, "w"]
    value = mf.solve(path.limit.constraints, "frobenius", 1e-10).value
    # e t gamma^2 -> 1: every pull that the limit leaves out or counts wrongly would change it.
    assert abs(math.expm1(path.log_excess[-1] + path.log_time[-1] - 2.0 * math.log(value))) < 1e-6


def test_the_excess_continues_where_the_limit_takes_over(runs):
    """L - L* from the loss up to a lead of 15, from the pulls outside beyond; both where both can be had."""
    path = runs[3, "w"]
    compared = 0
    for i in np.flatnonzero((path.margin > 8.0) & (path.margin < 19.0)):
        s = path.at(i).s
        direct = Objective.of([path.problem], mf.Combined(), path.loss).values.mean_loss(s.high + s.low)[0]
        assert math.exp(path.log_excess[i]) == pytest.approx(
            direct - path.limit.faces.minimal_loss, rel=1e-4, abs=1e-15
        )
        compared += 1
    assert compared >= 3


def test_a_run_on_a_part_of_the_predicted_faces_is_not_taken_for_one_on_them(runs):
    """Its tokens lead all that the faces leave out by 1e6; until the excess counted the shares it was "exp(-1e6)"."""
    path = runs[1, "w"]
    held, limit = path.held, path.limit
    assert held.faces.members.sum() < limit.faces.members.sum() and (held.faces.members <= limit.faces.members).all()
    s = path.at(-1).s
    loss = Objective.of([path.problem], mf.Combined(), path.loss).values.mean_loss(s.high + s.low)[0]
    assert math.exp(path.log_excess[-1]) == pytest.approx(loss - limit.faces.minimal_loss, rel=1e-9)
    assert path.status is mf.FlowStatus.undecided and "a possible end by the rule" in path.reason
    assert len(held.better) and comparison(path).own and 1.0 <= final_ratio(path) < 1.0 + 1e-5


def test_effective_scores_say_which_token_is_better(runs):
    """At the end on other faces: equal on them, larger for tokens that the rule lets stay behind."""
    held = runs[1, "w"].held
    pull = held.loss.pull(held.outputs, held.problem)
    rows = np.arange(held.problem.n)
    own = pull[rows, held.faces.reference][:, None]
    assert np.abs(np.where(held.faces.members, pull - own, 0.0)).max() < 1e-9
    better = pull > own + 1e-9
    assert {(int(i), int(t)) for i, t in zip(held.better.sample, held.better.token, strict=True)} == {
        (int(i), int(t)) for i, t in np.argwhere(better & held.problem.mask)
    }


def test_a_limit_that_is_left_goes_back_to_the_loss(runs, monkeypatch):
    """With a limit that is left below 20.3 and taken up at 20 the run goes to and fro, and where it went before."""
    told = []
    follow = onto_face.follow

    def noted(objective, state, settings, records, *rest):
        back = follow(objective, state, settings, records, *rest)
        told.append(records[0].ended)
        return back

    monkeypatch.setattr(onto_face, "follow", noted)
    monkeypatch.setattr(onto_face, "LEFT", 20.3)
    path = mf.integrate("classes:seed=3", "kq", loss="cross-entropy", until_margin=100.0)
    assert told.count(Ended.left) >= 1 and told[-1] is Ended.margin
    i = np.searchsorted(runs[3, "kq"].margin, 30.0)
    beside = np.interp(runs[3, "kq"].log_time[i], path.log_time, path.margin)
    assert path.margin[-1] == pytest.approx(100.0, rel=1e-5) and beside == pytest.approx(
        runs[3, "kq"].margin[i], rel=0.05
    )


def test_a_switch_is_judged_by_effective_scores():
    """A jump between two tokens over large leads is refused where it is to the one of smaller effective score."""
    _, objective, s = objective_and_logits("cross-entropy")
    far = s.high.copy()
    far[0, 0] = [0.0, -50.0, -60.0, -60.0, -60.0]
    back = far.copy()
    back[0, 0] = [-50.0, 0.0, -60.0, -60.0, -60.0]
    ends = [point(objective, np.zeros((1, 8, 8)), Logits.of(v, objective.tokens.mask)) for v in (far, back)]
    better = ends[0].force.bend.scores[0, 0, 1] > 0.0
    parts = [switch_guard(one, other, objective.tokens.scores)[0] for one, other in (ends, ends[::-1])]
    worse = parts[1] if better else parts[0]
    assert worse < 1.0


def test_files_the_verb_and_what_is_refused(runs, tmp_path, capsys):
    path = runs[3, "w"]
    path.save(tmp_path / "run.npz")
    again = mf.Trajectory.load(tmp_path / "run.npz")
    assert (again.margin == path.margin).all() and (again.log_excess == path.log_excess).all()
    assert again.status is path.status and (again.held.faces.members == path.held.faces.members).all()
    on = int(np.flatnonzero(path.restart.members.any(axis=(1, 2)))[0])
    for k in (4, on - 1, on + 1):
        on_again = resume(again, snapshot=k, until_margin=path.until_margin)
        assert np.array_equal(on_again.W(), path.W()) and on_again.reason == path.reason
    problem = path.problem
    np.savez(tmp_path / "data.npz", X=problem.X, z=problem.z, values=problem.values, labels=problem.labels)
    asked = [
        "flow",
        str(tmp_path / "data.npz"),
        "--loss",
        "cross-entropy",
        "-p",
        "w",
        "--until-margin",
        "1e3",
        "--json",
    ]
    assert main(asked) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "minimal_loss" and found["members"] == found["held"]
    assert found["margin"] == pytest.approx(1e3, rel=1e-5)
    assert main([*asked[:4], "-p", "kq", "--until-margin", "30"]) == 1
    assert "held at the end" in capsys.readouterr().out


def test_faces_that_cannot_be_followed_are_refused_in_a_sentence():
    X, z = np.random.default_rng(0).standard_normal((2, 4, 3)), np.ones((2, 3))
    wide = np.array([[[3.0], [-3.0], [1.0], [-1.0]]] * 2)
    with pytest.raises(InputError, match="not one point"):
        mf.integrate(mf.Problem(X, z, values=wide, labels=[[0.0], [0.0]]), "w", loss="squared")
    two = np.array([[[3.0], [-3.0]]] * 2)
    with pytest.raises(InputError, match="keeps every token of every row"):
        mf.integrate(mf.Problem(X[:, :2], z * [[1.0], [2.0]], values=two, labels=[[0.0], [0.0]]), "w", loss="squared")
    problem = a_problem()

    class Own(CrossEntropy):
        __hash__ = None

    with pytest.raises(InputError, match="cannot be hashed"):
        mf.integrate(problem, "w", loss=Own())


def test_a_set_of_tokens_without_a_share_for_each_is_no_face():
    problem, loss = a_problem(seed=3), CrossEntropy()
    held, faces = held_faces(problem, loss, False), face_limit(problem, loss).faces
    assert held.of(faces.members) is not None
    more = faces.members.copy()
    i, t = map(int, np.argwhere(problem.mask & ~faces.members)[0])
    more[i, t] = True
    assert held.of(more) is None and held.of(problem.mask) is None
