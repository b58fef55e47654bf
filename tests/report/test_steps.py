"""Runs of steps on the page: gap against margin with its thresholds, steps in place of a time, beside flows too."""

import math

import numpy as np
import pytest
from opened import Opened

import marginflow as mf
from marginflow.optim.muon import HIGH, LOW, newton_schulz
from marginflow.optim.registry import parse_optimiser
from marginflow.report.build import build_report
from marginflow.report.thresholds import thresholds_of


NAME = "equal:n=3,T=3,d=4,seed=0"
RULES = ("ngd", "sign:momentum=0.9", "adam:eps=1e-3", "muon", "lion", "shampoo", "coordinate")


@pytest.fixture(scope="module")
def runs():
    return [mf.descend(NAME, "w", rule, rate=0.05, iterations=800) for rule in RULES]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("ngd", []),
        ("gd:momentum=0.9", []),
        ("sign:momentum=0.9", [("speed", math.log(1 / 0.9))]),
        ("adam:b2=0.99,eps=0", [("speed", math.log(1 / 0.99) / 2)]),
        ("adam:eps=1e-3", [("speed", math.log(1 / 0.999) / 2), ("margin", math.log(1e3))]),
        ("adam:b2=0,eps=1e-3", [("margin", math.log(1e3))]),
        ("lion", [("speed", math.log(1 / 0.99))]),
        ("shampoo", [("speed", math.log(1 / 0.95) / 2)]),
        ("muon:eps=0", [("speed", math.log(1 / 0.95)), ("gap", HIGH / LOW - 1)]),
        ("muon:momentum=0", [("gap", HIGH / LOW - 1), ("margin", math.log(1e7))]),
    ],
)
def test_thresholds_are_those_of_the_theory(word, expected):
    found = [(one.kind, one.at) for one in parse_optimiser(word).thresholds]
    assert found == [(kind, pytest.approx(at, rel=1e-12)) for kind, at in expected]


def test_newton_schulz_ends_where_its_threshold_says():
    s = np.geomspace(0.02, 1.0, 4001)
    ends = np.array([newton_schulz(np.array([[[x]]]))[0, 0, 0] for x in s])
    assert ends.min() == pytest.approx(LOW, abs=2e-4) and ends.max() == pytest.approx(HIGH, abs=2e-4)


def test_a_bound_derived_for_w_is_not_drawn_for_keys_and_queries(runs):
    assert "gap" in [one["kind"] for one in thresholds_of(runs[3])]
    other = mf.descend(NAME, "kq", "muon", rate=0.02, iterations=20)
    assert "gap" not in [one["kind"] for one in thresholds_of(other)]
    assert thresholds_of(mf.integrate(NAME, "w", until_margin=2.0)) == []


@pytest.mark.browser
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
def test_gap_against_margin_is_drawn(chromium, runs, tmp_path, width, theme):
    build_report(runs, tmp_path / "steps.html")
    found = Opened(chromium, tmp_path / "steps.html", width=width, theme=theme)
    card = found.page.locator("#figure-gap")
    panels = found.page.evaluate("normsOf(page.state).length") + 1
    assert card.locator("svg.panel").count() == panels
    # One curve per optimiser, and the name of each.
    first = card.locator("svg.panel").first
    assert first.locator("path.curve").count() == len(RULES)
    named = first.locator("text.curve-label").all_text_contents()
    assert set(named) == {rule.split(":")[0] for rule in RULES}
    assert "slope −1" in first.locator("text.guide-label").all_text_contents()
    assert {"eps 0.001 of Adam", "eps 1e-07 of Muon"} >= set(first.locator("text.rule-label").all_text_contents())
    speeds = card.locator("svg.panel").last.locator("text.rule-label").all_text_contents()
    assert any("log(1/beta) of momentum 0.9" in text for text in speeds)
    # The numbers drawn are gaps.
    svm = mf.solve(NAME, "frobenius").certificate.lower
    drawn = found.page.evaluate("gapPanel(page.state, 'frobenius').curves[0].ys.at(-1)")
    assert drawn == pytest.approx(np.linalg.norm(runs[0].W()) / runs[0].margin[-1] / svm - 1, rel=1e-4)
    # No chart of the page is empty for want of a time.
    for name in ("time", "norms", "ratio", "balance"):
        figure = found.page.locator(f"#figure-{name}")
        assert figure.locator("path.curve").count() >= 2 * figure.locator("svg.panel").count() - 2, name
    assert "step 800" in found.text("#now") and not found.page.locator("#time-axis").is_visible()
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    found.open_bar()
    found.page.select_option("#run", "2")
    found.settle()
    assert found.state("snapshot") == len(runs[2].iteration) - 1
    found.close(tmp_path / "steps.html")


@pytest.mark.browser
def test_a_flow_beside_them_keeps_its_time(chromium, runs, tmp_path):
    flow = mf.integrate(NAME, "w", until_margin=20.0)
    build_report([flow, runs[0]], tmp_path / "both.html")
    found = Opened(chromium, tmp_path / "both.html")
    assert found.page.locator("#figure-time svg.panel").count() == 5 and found.page.locator("#time-axis").is_visible()
    assert "log₁₀ t" in found.text("#now")
    found.page.select_option("#run", "1")
    found.settle()
    assert "step" in found.text("#now")
    assert found.page.locator("#figure-balance path.curve").count() >= 1
    labels = found.page.locator("#figure-gap svg.panel").first.locator("text.curve-label").all_text_contents()
    assert set(labels) == {"flow", "ngd"}
    found.close(tmp_path / "both.html")


@pytest.mark.browser
def test_a_page_of_flows_has_no_panel_of_steps(chromium, tmp_path):
    build_report([mf.integrate(NAME, "w", until_margin=5.0)], tmp_path / "flow.html")
    found = Opened(chromium, tmp_path / "flow.html")
    assert not found.page.locator("#figure-gap").is_visible()
    found.close(tmp_path / "flow.html")
