"""What is seen without scrolling: the answer, the first figure, the verdicts; and what is seen at all on a phone."""

import pytest
from opened import Opened

from marginflow.cli.main import main
from marginflow.report.build import build_report


pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def pages(digits, orbit, trapped, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    build_report(digits, folder / "one.html")
    build_report([*digits, *orbit], folder / "many.html")
    build_report([trapped], folder / "trap.html")
    return folder


BOTTOM = "(name) => document.querySelector(name).getBoundingClientRect().bottom + scrollY"


@pytest.mark.parametrize("name", ["one", "trap"])
def test_answer_first_figure_and_verdicts_stand_on_the_first_screen(chromium, pages, name):
    found = Opened(chromium, pages / f"{name}.html")
    assert found.page.evaluate(BOTTOM, "h1") < 300
    assert found.page.evaluate(BOTTOM, "#figure-norms svg") < 620
    assert found.page.evaluate(BOTTOM, "table.verdicts") < 900
    found.close(pages / f"{name}.html")


@pytest.mark.parametrize("name", ["one", "many", "trap"])
def test_on_a_phone_answer_and_first_figure_take_two_screens(chromium, pages, name):
    found = Opened(chromium, pages / f"{name}.html", width=390)
    assert found.page.evaluate(BOTTOM, "h1") < 600
    assert found.page.evaluate(BOTTOM, "#figure-norms svg:last-of-type") < 1800
    assert found.smallest() >= 9
    assert found.unreachable() == []
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 390
    found.close(pages / f"{name}.html")


def test_the_sentence_is_that_of_compare_and_titles_are_words(chromium, pages):
    found = Opened(chromium, pages / "one.html")
    assert found.text("h1").startswith("Separate K, Q ended within ") and "one W: " in found.text("h1")
    assert found.text("#figure-norms .lede").startswith("10 images of handwritten digits, 3 against 8: ")
    assert "≥ " in found.text("table.verdicts") and found.page.locator("table.verdicts tbody tr").count() == 2
    found.close(pages / "one.html")


def test_names_of_lines_stand_beside_the_axes(chromium, pages):
    found = Opened(chromium, pages / "one.html")
    outside = """() => [...document.querySelectorAll('#figure-norms svg')].every((svg) => {
      const edge = Math.max(...[...svg.querySelectorAll('.grid')].map((line) => line.x2.baseVal.value));
      return [...svg.querySelectorAll('.rule-label, .curve-label')].every((text) => text.getBBox().x > edge
        && text.getBBox().x + text.getBBox().width <= svg.viewBox.baseVal.width + 1);
    })"""
    assert found.page.locator("#figure-norms .rule-label").count() >= 2
    assert found.page.evaluate(outside)
    found.close(pages / "one.html")


def test_the_commands_after_a_trap_run(pages, chromium, tmp_path, monkeypatch, capsys):
    found = Opened(chromium, pages / "trap.html")
    lines = [line.split("  #")[0] for line in found.text(".onward pre").splitlines()]
    found.close(pages / "trap.html")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        assert main(line.replace("--sample 40", "--sample 2").replace("0-19", "0-1").split()[1:]) == 0, line
        capsys.readouterr()
