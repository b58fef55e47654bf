"""The sentences: numbers that are the run's, and no claim where there is none to make."""

import pytest

import marginflow as mf
from marginflow.diagnostics.ratio import final_ratio
from marginflow.report.answer import answer, over_margin
from marginflow.report.subject import gather
from marginflow.report.wording import listing, number, plural
from saved_runs import asked


def answer_of(*paths):
    (subject,) = gather(paths, lambda text: None)
    return answer(subject)


def test_the_answer_names_the_svm_that_was_met(orbit):
    found = answer_of(*orbit)
    assert [word for word, _, _ in found.found] == ["kq", "w", "diag-kq", "diag"]
    assert {outcome for _, outcome, _ in found.found} == {"minimal_loss"}
    for (_, _, text), norm, value in zip(
        found.found,
        ("nuclear", "Frobenius", "l1", "l2"),
        ("0.5", "0.4472136", "0.5", "0.4472136"),
        strict=True,
    ):
        assert f"certified {norm} SVM value {value} (" in text
        assert "R − 1" in text
    assert found.certified == pytest.approx([0.5, 0.2**0.5, 0.5, 0.2**0.5], rel=1e-8)


def test_no_norm_is_below_its_certified_value_nor_beyond_r(orbit, digits):
    for path in [*orbit, *digits]:
        (subject,) = gather([path], lambda text: None)
        norm = path.parameterization.flow_norm
        value, c = over_margin(path, norm), subject.solution(norm).certificate
        assert 1 - 1e-14 <= value / c.lower <= final_ratio(path) * (1 + 1e-14)


def test_the_contrast_shows_each_norm_beside_the_certified_value(orbit):
    found = answer_of(*orbit[:2])
    assert found.columns == ["nuclear", "frobenius"]
    (kq, by_kq), (w, by_w) = found.contrast
    assert (kq, w) == ("kq", "w")
    assert by_kq[0] == pytest.approx(0.5, rel=1e-2) and by_w[0] == pytest.approx(0.6, rel=1e-3)
    assert by_w[1] == pytest.approx(0.2**0.5, rel=1e-6)


def test_a_trapped_run_is_told_plainly_and_not_compared(trapped):
    found = answer_of(trapped)
    ((_, outcome, text),) = found.found
    assert outcome == "trapped"
    assert "trapped" in text and "sample 1" in text and "certified" not in text
    assert found.contrast == []
    assert any("did not reach the minimal loss" in limit for limit in found.limits)


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
