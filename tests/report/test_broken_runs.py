"""Runs whose numbers are not finite: the page and the figures say what there is, in one piece or in one line."""

import dataclasses
import json
import re

import numpy as np
import pytest

import marginflow as mf
from marginflow.figures.runs import KINDS, pick, save_figure
from marginflow.problem.problem import Problem
from marginflow.report.build import build_report
from marginflow.trajectory.ended import Ended


FIELDS = ("log_time", "theta", "high", "low", "f", "drift")


def broken(path, field, value, where):
    array = np.array(getattr(path.restart if field == "drift" else path.snapshots, field))
    array[where] = value
    part = "restart" if field == "drift" else "snapshots"
    return dataclasses.replace(path, **{part: dataclasses.replace(getattr(path, part), **{field: array})})


def data_of(page):
    text = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(), re.S)[1]
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in the page"))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("where", [slice(-1, None), slice(None)], ids=["the end", "all"])
@pytest.mark.parametrize("value", [np.nan, -np.inf])
@pytest.mark.parametrize("field", FIELDS)
def test_a_page_and_figures_or_one_line(tmp_path, orbit, field, value, where):
    path = broken(orbit[0], field, value, where)
    page = tmp_path / "r.html"
    build_report([path, orbit[1]], page)
    assert len(data_of(page)["runs"]) == 2
    for kind in KINDS if where.start else ():
        picked = pick([path, orbit[1]], kind)
        if picked.notes:
            # Drawn is then the other run alone: the next test.
            ((place, why),) = picked.notes
            assert place == 0 and "\n" not in why and picked.runs[0].path is orbit[1] and len(picked.runs) == 1
        else:
            save_figure([path, orbit[1]], kind, tmp_path / f"{kind}.svg")
            assert "<svg" in (tmp_path / f"{kind}.svg").read_text()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_run_is_left_out_for_the_figure_is_that_of_the_others(tmp_path, orbit, kind):
    drawn = set()
    for field, value in (("theta", np.nan), ("high", -np.inf)):
        path = broken(orbit[0], field, value, slice(-1, None))
        save_figure([path, orbit[1]], kind, tmp_path / "a.svg")
        drawn.add((tmp_path / "a.svg").read_text())
    (text,) = drawn
    assert "<svg" in text


def test_scores_that_underflow(tmp_path):
    """Squares of forces of 1e-170 are zero: whatever the flow makes of it, the page says it."""
    draw = np.random.default_rng(0)
    problem = Problem(
        draw.standard_normal((2, 3, 3)), draw.standard_normal((2, 3)), 1e-170 * np.arange(6.0).reshape(2, 3)
    )
    with np.errstate(all="ignore"):
        path = mf.integrate(problem, mf.Combined(), seed=0, until_margin=100, max_steps=50)
        build_report([path], tmp_path / "r.html")
    assert len(data_of(tmp_path / "r.html")["runs"]) == 1


def test_nothing_positive_on_a_log_axis(tmp_path):
    """A trained start that is where it was asked to go: one snapshot, whose residuals may be rounding."""
    problem = Problem([[[1.0], [0.0]]], [[1.0]], [[1.0, 0.0]])
    path = mf.integrate(problem, mf.Combined(), init=[[5.0]], until_margin=3)
    for kind in KINDS:
        save_figure([path], kind, tmp_path / f"{kind}.svg")
        assert "<svg" in (tmp_path / f"{kind}.svg").read_text()


def test_an_interrupted_run_says_so_in_every_table(tmp_path, orbit):
    cut = dataclasses.replace(orbit[0], ended=Ended.interrupted)
    build_report([cut, orbit[1]], tmp_path / "r.html")
    data = data_of(tmp_path / "r.html")
    assert [run["word_of_status"] for run in data["runs"]] == ["minimal loss, interrupted", "minimal loss"]
    html = (tmp_path / "r.html").read_text()
    assert "1 interrupted before the end" in html and "minimal loss, interrupted</td>" in html


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].each])
def test_an_interrupted_run_says_so_in_the_legend(tmp_path, orbit, kind, monkeypatch):
    from matplotlib.figure import Figure

    drawn, legend = [], Figure.legend
    monkeypatch.setattr(
        Figure, "legend", lambda figure, **options: drawn.append(legend(figure, **options)) or drawn[-1]
    )
    save_figure([dataclasses.replace(orbit[0], ended=Ended.interrupted), orbit[1]], kind, tmp_path / "a.svg")
    names = {text.get_text() for text in drawn[0].get_texts()}
    assert {"K, Q, interrupted", "W"} <= names
