"""The sentences: numbers that are the run's, and no claim where there is none to make."""

import dataclasses
import re
from fractions import Fraction

import numpy as np
import pytest

import marginflow as mf
from marginflow.diagnostics.late_law import late_law
from marginflow.diagnostics.ratio import comparison, final_ratio
from marginflow.diagnostics.subject import gather
from marginflow.report.answer import FLOW_LIMIT, STEPS_LIMIT, answer
from marginflow.report.build import build_report
from marginflow.report.command import label_of, note
from marginflow.report.wording import listing, number, plural
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.verdict import FlowStatus, Verdict
from saved_runs import asked


def answer_of(*paths):
    (subject,) = gather(paths, lambda text: None)
    return answer(subject)


def test_the_answer_names_the_svm_that_was_met(orbit):
    found = answer_of(*orbit)
    assert [word for word, _, _ in found.found] == ["kq", "w", "diag-kq", "diag"]
    assert {outcome for _, outcome, _ in found.found} == {"minimal_loss"}
    for (_, _, text), norm, square in zip(
        found.found,
        ("nuclear", "Frobenius", "l1", "l2"),
        (Fraction(1, 4), Fraction(1, 5), Fraction(1, 4), Fraction(1, 5)),
        strict=True,
    ):
        printed = re.search(rf"certified {norm} SVM value in \[([0-9.]+), ([0-9.]+)\]", text)
        low, high = map(Fraction, printed.groups())
        assert low**2 <= square <= high**2 and high - low < 1e-7
        assert "R − 1" in text
    assert found.certified == pytest.approx([0.5, 0.2**0.5, 0.5, 0.2**0.5], rel=1e-8)


def test_no_norm_is_below_its_certified_value_nor_beyond_r(orbit, digits):
    for path in [*orbit, *digits]:
        (subject,) = gather([path], lambda text: None)
        norm = path.norm
        value, c = comparison(path).norm_over_lead(norm), subject.solution(norm).certificate
        assert 1 - 1e-14 <= value / c.lower <= final_ratio(path) * (1 + 1e-14)


def test_the_contrast_shows_each_norm_beside_the_certified_value(orbit):
    found = answer_of(*orbit[:2])
    assert found.columns == ["nuclear", "frobenius"]
    assert [(row.word, row.how, row.predicted) for row in found.contrast] == [
        ("kq", "", "nuclear"),
        ("w", "", "frobenius"),
    ]
    by_kq, by_w = (row.values for row in found.contrast)
    assert by_kq[0] == pytest.approx(0.5, rel=1e-2) and by_w[0] == pytest.approx(0.6, rel=1e-3)
    assert by_w[1] == pytest.approx(0.2**0.5, rel=1e-6)


def test_a_trapped_run_is_told_plainly_and_not_compared(trapped):
    found = answer_of(trapped)
    ((_, outcome, text),) = found.found
    assert outcome == "trapped"
    assert "trapped" in text and "sample 1" in text and "certified Frobenius SVM value" not in text
    assert found.contrast == []
    assert any("did not reach the minimal loss" in limit for limit in found.limits)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("word", "norm"), [("w", "frobenius"), ("kq", "nuclear")])
def test_a_trapped_run_is_compared_with_the_svm_of_its_own_tokens(trained, word, norm, seed):
    """Whatever its loss: norm over lead is never below that SVM's certified value, nor above R times it."""
    path = trained(f"sphere:n=4,T=5,d=6,seed={seed}", word, seed, until=1e5)
    if path.status is not FlowStatus.trapped:
        path = dataclasses.replace(path, verdict=Verdict(FlowStatus.trapped, "on its tokens", proof="svm"))
    selected = path.selected(-1)
    seen = comparison(path)
    assert seen.own and np.array_equal(seen.selection, selected)
    best = mf.solve(path.problem, norm, selection=selected, against="worse")
    value = seen.norm_over_lead(norm)
    assert best.certificate.lower * (1 - 1e-12) <= value <= best.certificate.upper * seen.ratio(norm) * (1 + 1e-12)
    assert final_ratio(path) == seen.ratio(norm)
    text = answer_of(path).found[0][2]
    assert f"SVM of its own tokens (--select {','.join(map(str, selected))})" in text
    assert number(best.certificate.upper, 8) in text


def test_what_the_reason_says_is_not_said_again(trained):
    path = next(
        found
        for seed in range(30)
        if (found := trained(f"sphere:n=4,T=4,d=5,seed={seed}", "w", seed)).status is FlowStatus.trapped
    )
    assert "Not on the optimal token" not in answer_of(path).found[0][2]
    mute = dataclasses.replace(path, verdict=Verdict(FlowStatus.undecided, "not settled"))
    assert "Not on the optimal token" in answer_of(mute).found[0][2]


def test_an_interrupted_run_is_called_that(orbit):
    cut = dataclasses.replace(orbit[0], ended=Ended.interrupted)
    found = answer_of(cut)
    assert "The run was interrupted at log₁₀ t" in found.found[0][2]
    assert any("1 run was interrupted" in limit for limit in found.limits)
    assert "interrupted" in answer_of(cut, orbit[0]).found[0][2]
    assert "interrupted" not in answer_of(orbit[0]).found[0][2]


def test_one_success_is_told_in_the_singular(orbit, undecided):
    """No range from a number to itself, no median of one."""
    ((_, _, text),) = answer_of(orbit[0], undecided).found
    assert "The one that reaches it (seed 0)" in text and "from" not in text and "median" not in text
    again = [asked(orbit[0], seed=k) for k in range(2)]
    ((_, _, text),) = answer_of(*again).found
    assert "from" not in text and "median" not in text and "log₁₀ t = " in text


def test_an_undecided_run_draws_no_conclusion(undecided):
    found = answer_of(undecided)
    assert found.found[0][1] == "undecided"
    assert any("no conclusion" in limit for limit in found.limits)
    assert found.contrast == []


def test_what_no_weights_can_do_is_said():
    problem = mf.Problem([[[1.0, 0.0], [0.0, 0.0], [2.0, 0.0]]], [[1.0]], [[1.0, 0.5, 0.3]])
    path = mf.integrate(problem, mf.Combined(), seed=0, until_margin=10, max_steps=20)
    found = answer_of(path)
    assert found.certified == [None, None] and found.contrast == []
    assert any("nuclear and Frobenius SVM is infeasible, with proof" in limit for limit in found.limits)


def test_many_runs_are_counted(orbit, undecided):
    paths = [asked(orbit[0], seed=k) for k in range(3)]
    ((_, outcome, text),) = answer_of(*paths, undecided).found
    assert outcome == "mixed"
    assert "Of 4 runs" in text and "3 reach the minimal loss" in text and "1 is undecided" in text


def test_numbers_for_people():
    shown = [number(x) for x in (0.0, 1.5, -2.25, 12345.6, 123456.0, 1e6, 5.2e-4, float("nan"), None)]
    assert shown == ["0", "1.5", "−2.25", "12346", "1.2346×10⁵", "10⁶", "5.2×10⁻⁴", "–", "–"]
    assert (plural(1, "run"), plural(2, "run")) == ("1 run", "2 runs")
    assert listing(list(range(10)), 3) == "0, 1, 2 and 7 more"


def test_a_run_of_steps_is_not_called_a_flow(orbit, tmp_path):
    """Beside a flow of the same arrays it has sentences, a row, a label, limits and no predicted law of its own."""
    steps = mf.descend(orbit[0].problem, "kq", "muon:momentum=0.95", rate=0.02, iterations=400)
    assert steps.status.name == "minimal_loss" and steps.method.norm is None
    (subject,) = gather([orbit[0], steps], lambda text: None)
    found = answer(subject)
    (_, _, flow), (_, _, other) = found.found
    assert "log₁₀ t" in flow and "Muon" not in flow
    assert "log₁₀ t" not in other and "Muon" in other and "after 400 steps" in other
    assert [(row.predicted, "Muon" in row.how) for row in found.contrast] == [("nuclear", False), (None, True)]
    assert {FLOW_LIMIT, STEPS_LIMIT} <= set(found.limits)
    assert FLOW_LIMIT not in answer_of(steps).limits and STEPS_LIMIT not in answer_of(orbit[0]).limits
    assert "Muon" in label_of(steps, subject) and "Muon" not in label_of(orbit[0], subject)
    assert late_law(steps, subject.solution("nuclear")) is None
    assert late_law(orbit[0], subject.solution("nuclear")) is not None
    assert "older version" not in note([steps])
    build_report([orbit[0], steps], tmp_path / "page.html")
    assert "Muon" in (tmp_path / "page.html").read_text()
