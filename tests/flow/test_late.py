"""Late steps: their equations, their order, runs of them against Rodas at a tight tolerance, and what they refuse."""

import dataclasses

import numpy as np
import pytest

import marginflow as mf
from marginflow.flow.integrate import resume
from marginflow.flow.kinds import StepKind, kinds
from marginflow.flow.late import ANSWERED, FAILED, GAMMA, _longest, _of_kinks, _time, _while_answered, late_trial
from marginflow.flow.late_newton import HELD_TO, MOST_ITERATIONS, SLOW, solve_stage
from marginflow.flow.late_rule import COMING, LateRule
from marginflow.flow.late_stage import MOST_ENTERING, Stage
from marginflow.flow.late_system import ENTERS, FADES, StageSystem, _solve
from marginflow.flow.loop import run
from marginflow.flow.point import point
from marginflow.flow.record import Record
from marginflow.flow.state import Settings, first_state
from marginflow.flow.trial import CLOCK_TOLERANCE, UPHILL, decide
from marginflow.losses import parse_loss
from marginflow.model.logits import Logits
from marginflow.model.objective import Objective
from marginflow.problem.random import gaussian, heads, sphere
from marginflow.selection.judge import Judge
from marginflow.trajectory.ended import Ended


ALWAYS, NEVER = LateRule(tokens=0, linear_tokens=0), LateRule(rtol=1.0)
RTOL = 1e-3
KINDS = [mf.KeyQuery(10), mf.Combined(), mf.Diagonal()]


def runs(problem, kind, late, *, rtol=RTOL, margin=1e6, loss="exponential", seeds=(0,), scale=0.1):
    """The records of runs whose late steps are taken by the rule `late`."""
    objective = Objective.of([problem], kind, parse_loss(loss))
    theta = [
        objective.map.pack(kind.draw(problem.d, problem.d_z, np.random.default_rng(seed), scale)) for seed in seeds
    ]
    records = [Record(Judge(problem, kind, parse_loss(loss))) for _ in seeds]
    state = first_state(objective, np.stack(theta))
    for b, record in enumerate(records):
        record.add(state, b)
    run(objective, state, Settings(margin, rtol, 5000, late), records)
    return records


def ends(record, kind):
    """Tokens, verdict, direction of W, log t and steps at the end."""
    seen = record.snapshots()
    W = kind.map(10, 10).weights(seen.theta[-1:])[0]
    tokens = tuple((seen.high[-1] + seen.low[-1]).argmax(axis=1))
    said = record.judge(seen, record.ended).status
    return tokens, said, W / np.linalg.norm(W), float(seen.log_time[-1]), int(seen.steps[-1])


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
@pytest.mark.parametrize(("loss", "seed"), [("exponential", 2), ("logistic", 0)])
def test_a_late_run_ends_where_rodas_does_at_a_tight_tolerance(kind, loss, seed):
    problem = sphere(n=6, T=8, d=10, seed=seed)
    late, tight = (
        runs(problem, kind, rule, rtol=rtol, margin=1e5, loss=loss, seeds=(seed,))[0]
        for rule, rtol in ((ALWAYS, RTOL), (NEVER, 1e-6))
    )
    assert late.ended is tight.ended is Ended.margin
    ours, true = ends(late, kind), ends(tight, kind)
    assert ours[:2] == true[:2]
    assert np.linalg.norm(ours[2] - true[2]) < 0.7 * RTOL
    assert abs(ours[3] - true[3]) < 1e-6 * true[3]
    if kind.word == "kq":
        assert ours[4] < 0.9 * true[4]


def test_contacts_are_crossed_many_at_once():
    """86 tokens of 320 act at 1e6: Rodas takes 249 steps, the late ones a few to an e-fold."""
    problem = sphere(n=20, T=16, d=32, seed=0)
    path = mf.integrate(problem, "kq", rtol=RTOL)
    assert path.ended is Ended.margin and path.status is mf.FlowStatus.minimal_loss
    assert (path.dual(-1) > 1e-3 * path.dual(-1).max()).sum() > 80 and path.steps < 110


def test_margins_of_1e12_take_a_step_for_a_third_more_lead():
    for kind in KINDS[:2]:
        record = runs(sphere(n=6, T=8, d=10, seed=1), kind, ALWAYS, margin=1e12)[0]
        assert record.ended is Ended.margin and record.snapshots().steps[-1] < 260


def test_a_batch_does_what_each_run_does_alone():
    problem, kind = sphere(n=6, T=8, d=10, seed=2), mf.KeyQuery(10)
    together = runs(problem, kind, ALWAYS, margin=1e4, seeds=(0, 1))
    for seed, record in enumerate(together):
        alone = runs(problem, kind, ALWAYS, margin=1e4, seeds=(seed,))[0]
        assert abs(len(alone.seen) - len(record.seen)) <= 1 and alone.ended is record.ended
        ours, theirs = ends(record, kind), ends(alone, kind)
        # Rounding may decide when Newton's method stops, at .05 rtol.
        assert ours[:2] == theirs[:2] and np.linalg.norm(ours[2] - theirs[2]) < 0.1 * RTOL


def test_a_run_with_late_steps_goes_on_to_the_same_bits():
    problem = sphere(n=20, T=16, d=24, seed=3)
    path = mf.integrate(problem, "kq", rtol=RTOL, until_margin=1e3)
    on = resume(path, snapshot=len(path) - 10, until_margin=1e3)
    assert len(on) == len(path) and path.margin[len(path) - 10] < 200.0
    assert (on.snapshots.theta == path.snapshots.theta).all() and (on.log_time == path.log_time).all()


def at_lead(kind, lead):
    """Where a run of Rodas at rtol 1e-6 has come to that lead, and its next step."""
    problem = sphere(n=6, T=8, d=10, seed=2)
    objective = Objective.of([problem], kind, parse_loss("exponential"))
    settings = Settings(lead, 1e-6, 5000, NEVER)
    state = first_state(objective, objective.map.pack(kind.draw(10, 10, np.random.default_rng(0), 0.1))[None])
    record = Record(Judge(problem, kind, parse_loss("exponential")))
    record.add(state, 0)
    run(objective, state, settings, [record])
    seen = record.snapshots()
    s = Logits(seen.high[-1:].copy(), seen.low[-1:].copy())
    at = point(objective, seen.theta[-1:], s)
    h = float(record.kept[-1][1])
    return objective, at, h


def state_at(objective, at, h):
    state = first_state(objective, at.theta)
    return dataclasses.replace(state, at=at, h=np.array([h]), psi=-at.force.log_norm, psi_rate=at.force.psi_rate(at.ds))


@pytest.mark.parametrize("lead", [1e3, 1e9])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.word)
def test_a_stage_is_what_it_says(kind, lead):
    """theta = base + gh phi'(theta)* G(f), f the force at the logits of theta itself, contacts crossed."""
    objective, at, _ = at_lead(kind, lead)
    stage = Stage.of(objective, at, RTOL)
    gh = 0.06 * lead / float(at.force.psi_rate(at.ds)[0])
    base = 0.01 * at.theta
    solved = solve_stage(stage, base, gh, stage.guess(stage.start(), base + gh * at.dtheta))
    assert solved.ok
    theta = at.theta + solved.change
    s = at.s.moved(solved.w[None])
    f = objective.force(s).f
    want = at.theta + base + gh * objective.map.vjp(theta, objective.tokens.adjoint(solved.levels.f[None]))
    assert np.abs(theta - want).max() < 1e-9 * np.abs(theta).max()
    assert np.abs(f - solved.levels.f).max() < 4 * HELD_TO
    logits = objective.tokens.logits(objective.map.weights(theta) - objective.map.weights(at.theta))[0]
    logits -= np.take_along_axis(logits, at.force.top[0][:, None], axis=1)
    assert np.abs(logits - solved.w).max() < 1e-9 * np.abs(logits).max()


@pytest.mark.parametrize("lead", [1e3, 1e5])
def test_a_factor_of_single_precision_finds_the_same_stage(lead, monkeypatch):
    """Newton's method corrects it: what is asked of a stage solved is asked in double precision."""
    objective, at, _ = at_lead(mf.KeyQuery(10), lead)
    stage = Stage.of(objective, at, RTOL)
    gh = 0.2 * lead / float(at.force.psi_rate(at.ds)[0])

    def solved(single_from):
        monkeypatch.setattr("marginflow.flow.late_system.SINGLE_FROM", single_from)
        return solve_stage(stage, 0.0 * at.theta, gh, stage.guess(stage.start(), gh * at.dtheta))

    single, double = solved(1), solved(1000)
    assert single.ok and double.ok and (single.w != double.w).any()
    assert np.abs(single.change - double.change).max() < 0.05 * RTOL * np.abs(double.change).max()
    assert np.abs(single.levels.f - double.levels.f).max() < 2 * HELD_TO


def test_tokens_that_push_each_other_much_are_told_apart(monkeypatch):
    """Twins of push p: 1 + C M C has the eigenvalues 1 and 1 + 2 p, and single precision loses the 1 of p = 1e9."""
    monkeypatch.setattr("marginflow.flow.late_system.SINGLE_FROM", 2)
    objective, at, _ = at_lead(mf.KeyQuery(10), 1e3)
    system, both = StageSystem(Stage.of(objective, at, RTOL)), np.arange(2)
    for push, precision in ((1e5, np.float32), (1e9, np.float64)):
        system.M, system.single = np.full((2, 2), push), np.full((2, 2), push, dtype=np.float32)
        factor = system._factor(both, np.ones(2))
        assert factor.dtype == precision
        assert _solve(factor, np.array([[1.0], [-1.0]])) == pytest.approx(np.array([[1.0], [-1.0]]), rel=0.01)


@pytest.mark.parametrize("model, once", [(mf.Combined(), True), (mf.KeyQuery(10), False)], ids=["w", "kq"])
def test_the_push_between_tokens_is_made_once_a_step_where_theta_has_no_part_in_it(model, once):
    """The second stage of a step of W keeps M, with another length it does not."""
    objective, at, _ = at_lead(model, 1e3)
    stage = Stage.of(objective, at, RTOL)
    system, phi = StageSystem(stage), objective.map
    chosen = np.flatnonzero(stage.below)[:5]
    for gh, kept in ((1.0, False), (1.0, once), (2.0, False), *([(1e42, False)] if once else [])):
        system.begin(phi.stage(at.theta, at.G, 1.0 / gh).at(at.theta))
        assert (system.size == 5) is kept
        system._places(chosen)
        M = np.empty((5, 5))
        system.algebra.gram(stage.rows(chosen), M)
        assert np.array_equal(np.tril(system.M[:5, :5]), np.tril(M))
        with np.errstate(over="ignore"):
            assert np.array_equal(np.tril(system.single[:5, :5]), np.tril(M).astype(np.float32))


def test_a_stage_that_crosses_contacts_leaves_none_out():
    """A fifth further than leads of 100 to 1e4: what theta brings in is in the force."""
    for seed in range(3):
        objective, at, _ = at_lead(mf.KeyQuery(10), 10.0 ** (2 + seed))
        stage = Stage.of(objective, at, 1.0)
        gh = 0.2 * float(at.force.gap.min()) / float(at.force.psi_rate(at.ds)[0])
        solved = solve_stage(stage, 0.0 * at.theta, gh, stage.start())
        assert solved.ok
        assert np.abs(objective.force(at.s.moved(solved.w[None])).f - solved.levels.f).max() < 0.1


def a_stage(lead=1e3, rtol=RTOL, of=0.2):
    """A stage of (K, Q) that gains that part of the lead, the length times gamma and its levels to begin with."""
    objective, at, _ = at_lead(mf.KeyQuery(10), lead)
    stage = Stage.of(objective, at, rtol)
    gh = of * lead / float(at.force.psi_rate(at.ds)[0])
    return stage, gh, stage.guess(stage.start(), gh * at.dtheta)


def test_a_stage_that_does_not_settle_is_given_up():
    stage, gh, levels = a_stage(rtol=1e-18)
    solved = solve_stage(stage, 0.0 * stage.at.theta, gh, levels)
    assert not solved.ok and SLOW < solved.iterations < MOST_ITERATIONS


def test_no_stage_begins_above_the_tops():
    """The levels are those of weights that are all on the tops."""
    stage, gh, levels = a_stage()
    above = np.where(stage.below, 1.01 * np.abs(stage.at.s.high[0]), 0.0)
    solved = solve_stage(stage, 0.0 * stage.at.theta, gh, dataclasses.replace(levels, d=above))
    assert not solved.ok and solved.iterations == 0


def test_tokens_come_in_with_a_bounded_push_and_fade_by_bounded_parts():
    stage, gh, levels = a_stage()
    system = StageSystem(stage)
    system.begin(stage.objective.map.stage(stage.at.theta, stage.at.G, 1.0 / gh))
    chosen = system.choose(levels.f, np.zeros(stage.below.shape, dtype=bool))
    push = np.median(system.own[chosen])
    assert push > ENTERS / MOST_ENTERING and np.exp(system.enters) * push == pytest.approx(ENTERS)
    moves, _ = system.step(chosen, levels.f, np.where(np.arange(8) % 2, -1e9, 1e9) + np.zeros(stage.below.shape))
    assert moves.min() == -FADES


def test_a_better_token_that_answers_its_own_pull_with_more_has_no_system():
    objective, at = coming(30.6)
    stage = Stage.of(objective, at, RTOL)
    for gh, there in ((1e-3, True), (10.0, False)):
        system = StageSystem(stage)
        system.begin(objective.map.stage(at.theta, at.G, 1.0 / gh))
        chosen = system.choose(at.force.f[0], np.zeros(stage.below.shape, dtype=bool))
        assert stage.better.reshape(-1)[chosen].any() or there
        assert (system.step(chosen, at.force.f[0], np.ones(stage.below.shape)) is not None) is there


def test_a_step_that_is_wrong_about_time_or_goes_uphill_or_has_no_solution_is_repeated(monkeypatch):
    objective, at, _ = at_lead(mf.KeyQuery(10), 1e3)
    h = 0.2 * float(at.force.gap.min()) / float(at.force.psi_rate(at.ds)[0])

    def error():
        return float(late_trial(objective, state_at(objective, at, h), RTOL).error[0])

    assert error() < 1.0
    with monkeypatch.context() as only:
        only.setattr("marginflow.flow.late._time", lambda *_: (np.zeros(1), np.ones(1)))
        assert error() == pytest.approx(1.0 / (CLOCK_TOLERANCE * RTOL))
    with monkeypatch.context() as only:
        only.setattr("marginflow.flow.late.loss_rises", lambda *_: np.array([True]))
        assert error() == UPHILL
    with monkeypatch.context() as only:
        only.setattr("marginflow.flow.late_newton.MOST_ITERATIONS", 1)
        assert error() == FAILED


def test_the_error_of_a_step_is_seen():
    """The same step has ten times the error at a tenth of what is allowed."""
    objective, at, _ = at_lead(mf.KeyQuery(10), 1e3)
    h = 0.2 * float(at.force.gap.min()) / float(at.force.psi_rate(at.ds)[0])
    loose, tight = (late_trial(objective, state_at(objective, at, h), rtol).error[0] for rtol in (1e-3, 1e-4))
    assert 1e-3 < loose and tight == pytest.approx(10 * loose, rel=0.05)


def test_a_jump_of_the_force_is_an_error_that_few_others_hide():
    """Alone it is 7.5 times the difference from order 3, two of them that over root 2; dozens average out."""
    f = np.zeros((2, 100))
    assert _of_kinks(f, f) == 1.0
    for crossed, want in ((1, 7.5), (2, 7.5 / 2**0.5), (100, 1.0)):
        after = f.copy()
        after[0, :crossed] = -1e-3
        assert _of_kinks(f, after) == _of_kinks(after, f) == pytest.approx(want)


def test_a_run_of_few_tokens_comes_in_time_for_a_better_one():
    """A better token's entry hangs on a few jumps before it: taken for smooth, they keep it out."""
    problem, kind = gaussian(n=5, T=6, d=4, seed=1), mf.KeyQuery(4)
    record = runs(problem, kind, ALWAYS, loss="logistic", seeds=(1,), scale=10.0, margin=1e5)[0]
    seen = record.snapshots()
    assert (seen.high[-1] + seen.low[-1]).argmax(axis=1).tolist() == [1, 2, 5, 1, 1]


def test_the_step_has_order_two():
    """On the smooth flow of three constraints that all act, against steps of a tenth."""
    X = np.broadcast_to(np.eye(3), (3, 3, 3))
    problem = mf.Problem(X, [[1.0, 0.2], [0.1, 1.0], [1.0, 1.0]], [[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.5, 0.0, 1.0]])
    kind = mf.KeyQuery(2)
    objective = Objective.of([problem], kind, parse_loss("exponential"))
    record = runs(problem, kind, NEVER, rtol=1e-8, margin=100.0)[0]
    seen = record.snapshots()
    at = point(objective, seen.theta[-1:], Logits(seen.high[-1:], seen.low[-1:]))

    def end(h, parts):
        state = state_at(objective, at, h / parts)
        for _ in range(parts):
            trial = late_trial(objective, dataclasses.replace(state, h=np.array([h / parts])), 1e-10)
            assert trial.part[0] == 1.0 and np.isfinite(trial.error[0])
            state = dataclasses.replace(state, at=trial.new, psi=trial.psi, psi_rate=trial.psi_rate)
        return state.at.theta

    h = 0.25
    errors = [np.abs(end(step, 1) - end(step, 16)).max() for step in (h, h / 2)]
    assert 6.0 < errors[0] / errors[1] < 10.0


def test_a_step_beyond_the_growth_of_k_and_q_is_refused():
    objective, at, _ = at_lead(mf.KeyQuery(10), 1e3)
    gh = 1.0 / np.linalg.norm(at.G[0], 2)
    stage = Stage.of(objective, at, RTOL)
    far = solve_stage(stage, 0.0 * at.theta, 2.0 * gh, stage.start())
    assert not far.ok and far.iterations == 0


def coming(w, *, others=1, tied=False):
    """W = [150, w]': sample 0 is on a worse token, and the `others` push its better one forward until it leads.

    Its lead is 150 - 2 w, the least lead is the others' 3 w: the better token comes in at w = 30.
    """
    rival = [1.0, 0.5, 0.5 if tied else 0.0]
    X = np.zeros((1 + others, 3, 2))
    X[0] = [[0.0, 2.0], [1.0, 0.0], [-1.0, 0.0]]
    X[1:, 0], X[1:, 2] = [0.0, 3.0], [0.0, -3.0]
    problem = mf.Problem(X, np.ones((1 + others, 1)), [rival] + [[1.0, 0.0, 0.0]] * others)
    objective = Objective.of([problem], mf.Combined(), parse_loss("exponential"))
    theta = np.array([[[150.0], [w]]])
    at = point(objective, theta, objective.logits(theta))
    assert at.force.top[0].tolist() == [1] + [0] * others
    return objective, at


def test_a_stage_is_not_solved_while_a_token_has_come_in(monkeypatch):
    """One that is left out is said to weigh: the forces that hold without it are no solution."""
    objective, at, _ = at_lead(mf.Combined(), 1e3)
    stage = Stage.of(objective, at, RTOL)
    gh = 0.06 * 1e3 / float(at.force.psi_rate(at.ds)[0])
    guess = stage.guess(stage.start(), gh * at.dtheta)
    assert solve_stage(stage, 0.0 * at.theta, gh, guess).ok
    inside = Stage.excess
    monkeypatch.setattr(Stage, "excess", lambda self, mask, w, psi, enters: inside(self, mask, w, psi, enters) + 1e-9)
    assert not solve_stage(stage, 0.0 * at.theta, gh, guess).ok


def test_a_stage_past_a_better_token_says_where_it_comes_in():
    objective, at = coming(26.0)
    stage = Stage.of(objective, at, RTOL)
    gh = 4.2
    solved = solve_stage(stage, 0.0 * at.theta, gh, stage.guess(stage.start(), gh * at.dtheta))
    # The lead goes from 78 to about 105 on a line, and that of the better token from 98 to 80: they meet at .45.
    assert not solved.ok and 0.35 < solved.part < 0.5


@pytest.mark.parametrize(("gh", "ok", "part"), [(0.5, True, 1.0), (2.0, False, 0.307)])
def test_a_better_token_is_held_where_it_comes_in_and_then_let_go(gh, ok, part):
    """Let in as any other it spoils the iteration, which then knows no part; never let go it is in no force at all."""
    objective, at = coming(28.5)
    stage = Stage.of(objective, at, RTOL)
    solved = solve_stage(stage, 0.0 * at.theta, gh, stage.guess(stage.start(), gh * at.dtheta))
    assert solved.ok is ok and solved.part == pytest.approx(part, abs=0.01)
    if ok:
        assert np.abs(objective.force(at.s.moved(solved.w[None])).f - solved.levels.f).max() < HELD_TO


@pytest.mark.parametrize("w", [27.0, 28.0, 29.0])
def test_a_step_ends_where_a_better_token_comes_in(w):
    """From far away what it may answer ends the step, from near by where it comes in on a line."""
    objective, at = coming(w)
    trial = late_trial(objective, state_at(objective, at, 14.0), RTOL)
    if trial.part[0] < 1.0:
        assert trial.part[0] == 0.9
        trial = late_trial(objective, state_at(objective, at, 0.9 * float(trial.h[0])), RTOL)
    assert trial.part[0] == 1.0 and trial.error[0] <= 1.0
    better, least = trial.new.s.high[0, 0, 0], trial.new.force.gap[0, 1]
    assert -0.5 - 4.0 < better + least < 0.5


def test_a_step_near_a_better_token_has_a_solution():
    """Cut to where the token's entry is on a line alone, this one has none."""
    objective, at = coming(26.4, others=3)
    trial = late_trial(objective, state_at(objective, at, 1.0), RTOL)
    assert trial.part[0] == 1.0 and trial.error[0] <= 1.0


def test_a_step_ends_before_a_better_token_answers_its_own_pull_with_more():
    """Of force f, pushing its own level by M_cc f at a rate r: f M_cc e^(r h) is a half at the end of the step."""
    objective, at = coming(28.5)
    stage = Stage.of(objective, at, RTOL)
    state = state_at(objective, at, 3.0)
    level = stage.level(np.zeros(stage.below.shape), float(state.psi[0]))
    rate = np.where(stage.below, at.ds[0] - at.ds[0].max(axis=1, keepdims=True), 0.0) + 2.0
    h = _while_answered(stage, 3.0, level, rate)
    own = objective.map.stage(at.theta, at.G, 1.0 / (GAMMA * h)).own(stage.rows(np.array([0])))[0]
    assert stage.better[0, 0] and h < 3.0
    assert np.exp(level[0, 0] + rate[0, 0] * h) * own == pytest.approx(ANSWERED, rel=1e-9)
    assert _while_answered(stage, h / 2.0, level, rate) == h / 2.0
    # A level whose exponential is 0 is as good as any.
    assert _while_answered(stage, 3.0, level - 1e6, rate * 1e6) == pytest.approx(1.0 / rate[0, 0], rel=1e-3)


def test_the_step_after_a_better_token_has_come_in_lets_it_rise_by_one():
    objective, at = coming(29.0)
    stage, state = Stage.of(objective, at, RTOL), state_at(objective, at, 3.0)
    rate = float(at.ds[0, 0, 0] - at.ds[0, 0, 1] + 50.0)
    assert at.force.f[0, 0, 0] > COMING and _longest(stage, at, 50.0) * rate == pytest.approx(1.0)
    far = coming(20.0)
    assert _longest(Stage.of(*far, RTOL), far[1], 50.0) == np.inf
    trial = dataclasses.replace(late_trial(objective, state, RTOL), longest=np.array([1e-9]))
    assert decide(objective, state, trial, Settings(1e6, RTOL, 9, ALWAYS), StepKind.late).next_h[0] == 1e-9


def test_a_step_that_gains_more_than_a_third_is_cut():
    objective, at = coming(20.0)
    trial = late_trial(objective, state_at(objective, at, 1e3), RTOL)
    assert trial.new.force.gap.min() / at.force.gap.min() == pytest.approx(1.35, abs=0.01)


@pytest.mark.parametrize(
    ("w", "others", "tied", "kind"),
    [
        (26.0, 1, False, StepKind.late),
        (26.0, 1, True, StepKind.rosenbrock),
        (29.2, 1, False, StepKind.rosenbrock),
        (29.2, 70, False, StepKind.late),
        (30.6, 70, False, StepKind.rosenbrock),
    ],
)
def test_better_tokens_that_come_in_and_ties_are_left_to_rodas(w, others, tied, kind):
    """One that comes in is, while few others act, and always once it turns its sample."""
    objective, at = coming(w, others=others, tied=tied)
    assert kinds(objective, state_at(objective, at, 0.1), Settings(1e6, RTOL, 9, ALWAYS))[0] is kind


@pytest.mark.parametrize(
    ("change", "instead"),
    [
        ({"lead": 1e5}, StepKind.explicit),
        ({"rtol": 1e-2}, StepKind.rosenbrock),
        ({"tokens": 49}, StepKind.rosenbrock),
    ],
)
def test_the_rule_of_late_steps(change, instead):
    """Up to their least lead steps are explicit; where they are not accurate or do not pay, Rodas's."""
    objective, at, h = at_lead(mf.KeyQuery(10), 1e3)
    state = state_at(objective, at, h)
    assert kinds(objective, state, Settings(1e6, RTOL, 9, ALWAYS))[0] is StepKind.late
    rule = dataclasses.replace(ALWAYS, **change)
    assert kinds(objective, state, Settings(1e6, RTOL, 9, rule))[0] is instead


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"held": object()},
        {"lead_of": lambda high, low: high},
        {"loss": parse_loss("log")},
        {"tokens": "heads"},
        {"map": "kq-diag"},
    ],
    ids=["none", "held", "lead_of", "loss", "tokens", "map"],
)
def test_what_no_formula_of_late_steps_is_about(change):
    """Limits of faces, losses of log u, several heads, and parameters whose stage is not one linear system."""
    objective, at, _ = at_lead(mf.KeyQuery(10), 1e3)
    if "tokens" in change:
        change = {"tokens": Objective.of([heads()], mf.KeyQuery(8), parse_loss("exponential")).tokens}
    if "map" in change:
        change = {"map": mf.DiagonalKeyQuery().map(10, 10)}
    assert ALWAYS.covers(dataclasses.replace(objective, **change), at, RTOL) is (not change)


@pytest.mark.parametrize(("lead", "kind"), [(1e2, StepKind.rosenbrock), (1e3, StepKind.late)])
def test_where_many_tokens_act_late_steps_begin_later(lead, kind, monkeypatch):
    monkeypatch.setattr("marginflow.flow.late_rule.MANY_ACTIVE", 1)
    objective, at, h = at_lead(mf.KeyQuery(10), lead)
    assert kinds(objective, state_at(objective, at, h), Settings(1e6, RTOL, 9, ALWAYS))[0] is kind


def test_the_time_of_a_steep_step_is_spent_at_its_end():
    """psi rises by 1e4 with a kink: t is e^psi over its rate at the end, whatever the middle says."""
    psi = np.zeros(1), np.array([9e3]), np.array([1e4])
    spent, unsure = _time(np.array([10.0]), psi, (np.array([5e3]), np.array([2.0])))
    assert spent[0] == pytest.approx(1e4 - np.log(2.0), abs=1.0) and unsure[0] < 1e-6


def test_the_time_of_a_gentle_step_is_the_integral():
    tau = np.linspace(0.0, 1.0, 20001)

    def psi(t):
        return 3.0 * t + 2.0 * t**2 - t**3 + 0.5 * t**4

    want = np.log(np.trapezoid(np.exp(psi(tau)), tau))
    nodes = tuple(np.array([psi(t)]) for t in (0.0, GAMMA, 1.0))
    spent, _ = _time(np.ones(1), nodes, (np.array([3.0]), np.array([6.0])))
    assert spent[0] == pytest.approx(want, abs=1e-8)
