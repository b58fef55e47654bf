"""Flows onto faces of several tokens: cyclic next-token data to margin 1e6, and the limit that takes them there."""

import json
import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import pytest
from test_step import exact

import marginflow as mf
from marginflow.cli.main import main
from marginflow.diagnostics.ratio import certify_weights, final_ratio
from marginflow.errors import InputError
from marginflow.flow.integrate import resume
from marginflow.flow.point import point
from marginflow.flow.rosenbrock import step
from marginflow.losses import Logistic, parse_loss
from marginflow.model.face_limits import face_limit
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.optimal_attention.finite_part import part_in_span
from marginflow.selection import judge
from marginflow.trajectory.ended import Ended


NORMS = {"w": "frobenius", "kq": "nuclear", "diag": "l2"}
KINDS = [mf.KeyQuery(8), mf.Combined(), mf.DiagonalKeyQuery(), mf.Diagonal()]


def rational_margins(rows, W):
    """The margins of `rows` for W (d, d_z) in exact arithmetic."""
    exact = [[Fraction(float(w)) for w in row] for row in W]
    out = []
    for a, z in zip(rows.a, rows.queries, strict=True):
        seen = [sum(w * Fraction(float(x)) for w, x in zip(row, z, strict=True)) for row in exact]
        out.append(sum(Fraction(float(x)) * y for x, y in zip(a, seen, strict=True)))
    return out


@pytest.fixture(scope="module")
def far():
    """Runs on bundled sets of the authors' experiments to margin 1e6, each beside its graph SVM."""
    out = []
    for number, word in ((3, "w"), (3, "kq"), (7, "w"), (7, "kq"), (0, "diag")):
        problem = mf.load(f"next-token:number={number}")
        path = mf.integrate(problem, word, loss="log", until_margin=1e6)
        out.append((path, mf.solve(path.limit.constraints, NORMS[word], 1e-10)))
    return out


def test_cyclic_next_token_data_reach_their_graph_svm(far):
    """Plain forces stop at a lead of 35 = -log eps."""
    for path, solution in far:
        assert path.ended is Ended.margin and path.margin[-1] == pytest.approx(1e6, rel=1e-5)
        table = mf.diagnose(path, [solution])
        name = solution.norm.name
        value, R = table[f"value_ratio_{name}"][-1], table[f"R_{name}"][-1]
        assert 1.0 - 1e-10 <= value <= R + 1e-10 and R == pytest.approx(final_ratio(path), rel=1e-9)
        assert R - 1.0 < (5e-2 if name == "nuclear" else 1e-5)


def test_inside_the_faces_the_weights_are_at_the_finite_part(far):
    """In rationals: of a W that is trained itself far below its last place at margin 1e6, which is 1e-10."""
    for path, _ in far:
        limit, diagonal = path.limit, path.parameterization.diagonal
        rows = limit.equal(diagonal)
        off = [float(m) - level for m, level in zip(rational_margins(rows, path.W()), limit.inside(diagonal))]
        one = np.finfo(float).eps * np.abs(path.W()).max()
        assert np.abs(off).max() < (8 * one if path.parameterization.word == "kq" else one / 20)
        soft = part_in_span(path.W(), limit.constraints) - limit.finite(False)
        assert diagonal or rows.margins(soft) == pytest.approx(off, abs=1e-14)
        shares = mf.faces(path.problem, "log").shares
        logits = path.at(-1).s.high[0]
        p = np.exp(logits) * path.problem.mask
        assert np.abs(p / p.sum(axis=1, keepdims=True) - shares).max() < 1e-12


def test_the_time_constants_hold_with_the_pulls_from_outside(far):
    """e t gamma^2 -> 1: every pull that the limit leaves out or counts wrongly would change it."""
    for path, solution in far:
        if solution.norm.name != "nuclear":
            assert abs(math.expm1(path.log_excess[-1] + path.log_time[-1] - 2 * math.log(solution.value))) < 1e-6


def test_the_force_inside_supplies_the_free_multipliers(far):
    for path, solution in far:
        seen, name = path.at(-1), solution.norm.name
        dual = np.where(seen.constraints.equal, 0.0, seen.dual)
        assert (seen.dual[seen.constraints.equal] != 0.0).any()
        without = certify_weights(seen.separating, dual, seen.constraints, name).value
        assert without > final_ratio(path) + 1e-2


def test_the_verdict_is_given_from_a_lead_on_and_says_on_what_it_rests(far):
    early = mf.integrate("next-token:number=3", "w", loss="log", until_margin=10.0)
    assert early.status is mf.FlowStatus.undecided and "out of the faces" in early.reason
    sure = mf.integrate("next-token:number=3", "w", loss="log", until="verdict")
    assert sure.status is mf.FlowStatus.minimal_loss and sure.margin[-1] < 1e3
    for path, _ in far:
        proved = path.parameterization.word in ("w", "diag")
        assert path.verdict.proof == ("convex" if proved else "")
        assert path.status is (mf.FlowStatus.minimal_loss if proved else mf.FlowStatus.undecided), path.reason
        assert proved or "not convex in the parameters" in path.reason


@dataclass(frozen=True)
class Mislabelled(mf.KeyQuery):
    """Says that it is of degree 1."""

    degree: int = 1


def test_a_verdict_on_faces_rests_on_what_the_judge_has_checked(far, monkeypatch):
    path, _ = far[0]
    last = path.snapshots
    sure = judge.Judge(path.problem, path.parameterization, path.loss)
    assert sure(last, None).proof == "convex"
    moved = last.theta.copy()
    moved[-1] += 0.01 * path.problem.X[0, 0][:, None] * path.problem.z[0]
    said = sure(replace(last, theta=moved), None)
    assert said.status is mf.FlowStatus.undecided and "from the balance" in said.reason
    factored, _ = far[1]
    said = judge.Judge(path.problem, Mislabelled(8), path.loss)(factored.snapshots, None)
    assert said.status is mf.FlowStatus.undecided and "not known to be convex in the parameters" in said.reason
    open_ = replace(path.limit, faces=replace(path.limit.faces, decided=np.zeros(path.problem.n, dtype=bool)))
    monkeypatch.setattr(judge, "face_limit", lambda *_: open_)
    said = sure(last, None)
    assert said.status is mf.FlowStatus.undecided and "is not proved" in said.reason


def test_the_excess_of_the_log_loss_counts_the_shares_inside():
    """A run of (K, Q) on a part of the faces leads far and never meets their balance: the loss says by how much."""
    problem = mf.load("next-token:number=3")
    limit = face_limit(problem, mf.losses.Log())
    members, top = limit.faces.members, limit.faces.reference[:, None]
    dW = np.random.default_rng(0).standard_normal((problem.d, problem.d_z))
    moved = np.einsum("ntd,de,ne->nt", problem.X, dW, problem.z)
    moved = np.where(members, moved - np.take_along_axis(moved, top, axis=1), 0.0)
    for off in (1e-2, 5e-5):
        high = (np.where(members, limit.levels, -60.0) + off * moved / np.abs(moved).max())[None]
        found = float(limit.log_excess(high, np.zeros_like(high))[0])
        scores = np.where(problem.mask, high[0], -np.inf)
        p = np.exp(scores - scores.max(axis=1, keepdims=True))
        u = (p * problem.scores).sum(axis=1) / p.sum(axis=1)
        excess = -np.log(u).mean() - limit.faces.minimal_loss
        assert found == pytest.approx(math.log(excess), abs=1e-3) and found > -30.0


def test_diagonal_weights_that_cannot_settle_inside_the_faces_are_refused():
    """Three equalities of a query with two entries: until now such runs were said to reach a loss .05 below theirs."""
    E = np.random.default_rng(0).standard_normal((6, 4))
    rows = np.array([[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2], [0, 1, 1, 1], [4, 5, 5, 5]])
    z = np.array([[1.0, 1.0, 0.0, 0.0]] * 5 + [[0.0, 0.0, 1.0, 1.0]])
    problem = mf.Problem(E[rows], z, np.eye(4)[[0] * 6])
    for word in ("diag", "diag-kq"):
        with pytest.raises(InputError, match="whose faces no diagonal weights settle in"):
            mf.integrate(problem, word, loss="log", until_margin=30.0)
    path = mf.integrate(problem, "w", loss="log", until_margin=30.0)
    assert path.ended is Ended.margin and path.limit.off_balance(path.W())[0] < 1e-6


def test_a_loss_that_cannot_be_hashed_has_no_faces():
    class Own(Logistic):
        __hash__ = None

    assert face_limit(acyclic(), Own()) is None


def a_point(kind, lead=30.0):
    """A point of the limit of set 1, whose faces have two independent equalities."""
    problem = mf.load("next-token:number=1")
    limit = face_limit(problem, parse_loss("log"))
    objective = limit.objective(kind)
    arrays = kind.draw(8, 8, np.random.default_rng(1), 1.0)
    theta = kind.map(8, 8).pack(kind.start(arrays, 8, 8))[None]
    rng = np.random.default_rng(2)
    s = objective.tokens.mask * -(lead + rng.random(objective.tokens.mask.shape))
    top = limit.faces.reference[limit.rows]
    s[0, np.arange(len(top)), top] = 0.0
    return limit, objective, point(objective, theta, Logits.of(s, objective.tokens.mask))


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_held_margins_stand_still_and_are_restored(kind):
    _, objective, at = a_point(kind)
    held, map = objective.held, objective.map
    moved = held.along(map.jvp(at.theta, at.dtheta))
    free = held.along(map.jvp(at.theta, map.vjp(at.theta, objective.tokens.adjoint(at.force.f))))
    assert np.abs(moved).max() < 1e-12 < 1e-3 < np.abs(free).max()
    level = held.along(map.weights(at.theta))[0] + 0.01
    assert np.abs(held.along(map.weights(held.restored(map, at.theta, level))) - level).max() < 1e-12


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_a_step_with_held_margins_keeps_its_order(kind):
    """The multipliers are unknowns of every stage: without their rows in the system the order would be lost."""
    _, objective, at = a_point(kind, lead=3.0)
    h, off = {"kq": 0.05, "w": 0.1, "diag-kq": 0.1, "diag": 0.2}[kind.word], []
    true = exact(objective, at, (h, 2 * h))
    for length in (2 * h, h):
        tried = step(objective, at, np.array([length]), None)
        off.append(max(np.abs(tried.theta - true[length][0]).max(), np.abs(tried.ds - true[length][1]).max()))
    assert off[1] > 1e-14 and np.log2(off[0] / off[1]) > 5.3


def test_the_excess_of_the_limit_continues_that_of_the_loss():
    problem = mf.load("next-token:number=0")
    path = mf.integrate(problem, "w", loss="log", until_margin=30.0)
    lead, excess = path.margin, path.log_excess
    near = (lead > 5.0) & (lead < 30.0)
    c = path.limit.outside
    for i in np.flatnonzero(near):
        s = path.at(i).s
        margins = s.high[0][c.sample, path.problem.optimal[c.sample]] - s.high[0][c.sample, c.token]
        direct = math.log((path.limit.kappa[c.sample, c.token] * np.exp(-margins)).sum())
        assert excess[i] == pytest.approx(direct, abs=3 * math.exp(-lead[i]) + 1e-6 * math.exp(lead[i] - 20))
    assert near.sum() >= 4


def acyclic():
    """Two rows that both want the token before their last one."""
    E = np.eye(4, 3) + 0.1
    rows = np.array([[0, 1, 2], [3, 2, 1]])
    return mf.Problem(E[rows], E[rows[:, -1]], [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])


def test_an_acyclic_problem_has_no_limit_and_goes_to_its_own_tokens():
    problem = acyclic()
    assert face_limit(problem, parse_loss("log")) is None
    path = mf.integrate(problem, "w", loss="log", until_margin=1e6)
    assert path.status is mf.FlowStatus.minimal_loss and (path.selected() == problem.optimal).all()


def test_rows_that_keep_all_their_tokens_have_no_margin_to_grow():
    """Two rows of one query that want the two tokens: the weights stay finite, which is said."""
    E = np.eye(3)
    rows = np.array([[0, 1], [0, 1]])
    problem = mf.Problem(E[rows], E[[2, 2]], [[1.0, 0.0], [0.0, 1.0]])
    assert mf.faces(problem, "log").members.all() and face_limit(problem, parse_loss("log")) is None
    path = mf.integrate(problem, "w", loss="log", until_margin=10.0)
    assert path.status is mf.FlowStatus.undecided and path.ended.name == "balanced"


@pytest.mark.parametrize("word", ["w", "kq"])
def test_a_saved_run_goes_on_to_the_bits_it_would_have_had(word, tmp_path):
    """From the loss itself, from where it goes over to its limit, and from within the limit."""
    whole = mf.integrate("next-token:number=3", word, loss="log", until_margin=300)
    on = int(np.flatnonzero(whole.restart.members.any(axis=(1, 2)))[0])
    part = mf.integrate("next-token:number=3", word, loss="log", until_margin=40)
    part.save(tmp_path / "run.npz")
    loaded = mf.Trajectory.load(tmp_path / "run.npz")
    runs = [resume(loaded, until_margin=300)]
    runs += [resume(whole, snapshot=k, until_margin=300) for k in (3, on - 1, on, on + 2)]
    for again in runs:
        for name, array in vars(whole.snapshots).items():
            assert np.array_equal(array[-1], vars(again.snapshots)[name][-1]), name
        assert again.status is whole.status and again.reason == whole.reason
        assert np.array_equal(again.restart.theta[-1], whole.restart.theta[-1])
    assert loaded.margin[-1] < whole.margin[-1]


def test_what_is_not_there_is_refused_in_a_sentence(far, tmp_path):
    path = far[0][0]
    path.save(tmp_path / "run.npz")
    assert mf.Trajectory.load(tmp_path / "run.npz").margin[-1] == path.margin[-1]
    old = replace(path, restart=replace(path.restart, theta=None, members=None))
    old.save(tmp_path / "run.npz")
    with pytest.raises(InputError, match="of a version that did not keep where its integrator stood"):
        resume(mf.Trajectory.load(tmp_path / "run.npz"))
    problem = path.problem
    with pytest.raises(InputError, match="expected scores >= 0"):
        mf.integrate(mf.Problem(problem.X, problem.z, problem.scores - 1.0), "w", loss="log")
    values = mf.Problem(problem.X, problem.z, values=problem.X, labels=[0] * 6)
    with pytest.raises(InputError, match="got values in R"):
        mf.integrate(values, "w", loss="log")


def test_the_command_line_follows_next_token_files(tmp_path, capsys):
    data = mf.load("next-token:number=3")
    file = tmp_path / "data.npz"
    np.savez(file, X=data.X, z=data.z, mask=data.mask, labels_token=data.optimal)
    asked = ["flow", str(file), "--loss", "log", "--parameterization", "kq", "--until-margin", "1e4", "--json"]
    assert main(asked) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "undecided" and found["margin"] == pytest.approx(1e4, rel=1e-5)
    assert 1.0 <= found["ratio"] < 1.2


def test_the_force_of_the_log_loss_counts_small_outputs_in_logarithms():
    """On a wrong plateau u = e^-1000 and still pulls as hard as any other: q - p on every logit."""
    problem = acyclic()
    objective = Objective.of([problem], mf.Combined(), parse_loss("log"))
    for size in (1.0, 30.0, 1e3):
        s = size * np.random.default_rng(4).standard_normal(problem.mask.shape)
        at = objective.force(Logits.of(s[None], problem.mask[None]))
        p = np.exp(np.where(problem.mask, s, -np.inf) - np.where(problem.mask, s, -np.inf).max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        label = np.where(problem.scores > 0, s, -np.inf)
        q = np.exp(label - label.max(axis=1, keepdims=True))
        q /= q.sum(axis=1, keepdims=True)
        F = (q - p) / problem.n
        assert np.abs(at.f[0] * np.exp(at.log_norm[0]) - F).max() < 1e-12
        r = np.random.default_rng(5).standard_normal((1, *s.shape)) * problem.mask
        up, down = (objective.force(Logits.of(s[None], problem.mask[None]).moved(e * r)) for e in (1e-6, -1e-6))
        assert np.abs((up.f - down.f) / 2e-6 - at.jvp(r)).max() < 1e-6
