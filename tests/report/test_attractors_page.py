"""The page of attractors: the list's own sentence, every end with its numbers, one chosen; what is left open said."""

import dataclasses
import re

import pytest
from opened import Opened

from marginflow.attractors.find import attractors
from marginflow.cli.main import main
from marginflow.problem.named import load
from marginflow.problem.problem import Problem
from marginflow.report.attractors_page import MOST, build_attractors_report, names, render


@pytest.fixture(scope="module")
def found():
    return attractors(load("trap:infinity"), "w", sample=6, scales=(1.0, 4.0), until_margin=100.0)


def test_the_first_line_is_the_lists_own_sentence(found):
    text = render(found, "")
    said = re.search(r'<h1 class="said">(.*?)</h1>', text)[1]
    assert said.lower().startswith(found.sentence)
    best = next(end for end in found.attractors if end.optimal)
    assert said.endswith(f"Of 12 sampled starts {sum(s.count for s in best.shares)} met the minimal loss.")
    assert names(found.attractors) == ["minimal loss", "trap 1"] and text.count("data-end=") == 2


def test_what_the_list_leaves_open_is_said(found):
    open_ended = dataclasses.replace(found, complete=False, incomplete_because=("the limit was met",), infinite=False)
    text = render(open_ended, "")
    assert "the list may be incomplete" in text and "The list may be incomplete: the limit was met." in text
    assert "Ends at finite weights, or with attention shared among tokens, are not excluded" in text
    assert "Ends at finite weights" not in render(found, "")
    many = dataclasses.replace(found, attractors=found.attractors * MOST)
    assert f"The page shows {MOST} of {len(many)} ends" in render(many, "")


@pytest.mark.browser
def test_a_row_is_chosen_in_the_map_and_in_the_table(found, chromium, tmp_path):
    file = tmp_path / "a.html"
    build_attractors_report(found, file, "marginflow attractors trap:infinity")
    opened = Opened(chromium, file)
    assert opened.text("#detail").startswith("minimal loss\n\nEvery sample ends on its optimal token.")
    opened.page.locator("button[data-end='1']").click()
    trap = found.attractors[1]
    wrong = [i for i, token in enumerate(trap.selected) if token != found.problem.optimal[i]]
    assert opened.page.locator("#map-frame rect.wrong").count() == len(wrong)
    assert f"sample {wrong[0]} on token {trap.selected[wrong[0]]} in place of" in opened.text("#detail")
    assert opened.page.locator("#panel .between").count() == 1
    command = opened.text("#detail pre")
    opened.close(file)
    assert main(command.split()[1:]) == 0


def test_names_from_data_are_text(tmp_path):
    p = load("trap:infinity")
    evil = "</script><script>alert(1)</script>"
    text = render(attractors(Problem(p.X, p.z, p.scores, name=evil), "w"), evil)
    assert "<script>alert" not in text


def test_several_heads_are_refused_before_any_work(tmp_path, capsys):
    file = tmp_path / "a.html"
    assert main(["attractors", "heads", "--html", str(file)]) == 2
    said = capsys.readouterr().err
    assert "several heads" in said and "without --html" in said and not file.exists()
