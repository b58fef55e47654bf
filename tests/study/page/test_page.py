"""The page of a study: one file, text stays text, and the law it prints is the one that the run report prints."""

import dataclasses

import fake_work
import pytest
from opened import Opened
from plans import plan

from marginflow.diagnostics.late_law import POWER_SENTENCE
from marginflow.report.payload import page_data
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome
from marginflow.study.page.answer import headline, summary
from marginflow.study.page.curves import panels_of
from marginflow.study.page.names import brief_titles, colour, titles
from marginflow.study.page.page import page
from marginflow.study.results.folder import Folder
from marginflow.study.results.record import to_arrays


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("study"))
    run_study(plan(), folder, Serial(), work=fake_work.quick)
    ledger = folder.read_ledger(plan(), print)
    yield outcome(plan(), ledger)
    ledger.close()


def test_page_is_one_file_and_escapes_what_it_shows(found):
    text = page(found)
    assert text == page(found) and len(text) < 300_000
    loaded = text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in loaded and "https://" not in loaded and "<link" not in text and "<script src" not in text
    assert text.count(' data-cell="') == 12
    assert "sphere n=4,T=4,d=3,seed=run" in text


def test_the_plan_is_shown_under_the_name_that_the_commands_use(found):
    text = page(found)
    name = f"{found.plan.name}.toml"
    assert f"<summary>{name}</summary>" in text and f"marginflow study run {name}" in text


def test_page_of_a_study_without_results():
    from marginflow.study.results.ledger import Ledger

    ledger = Ledger.in_memory()
    empty = outcome(plan(), ledger)
    ledger.close()
    assert "0 of 192 runs" in page(empty) and "No run of this study has a result yet." in page(empty)


def test_page_shows_hostile_reasons_as_text(tmp_path):
    from dataclasses import replace

    from marginflow.study.results.record import RunRow
    from marginflow.study.work import Finished

    evil = "</script><img src=x onerror=alert(1)>"

    def fail(unit):
        return Finished(unit, to_arrays(unit, [RunRow(s, "failed", evil) for s in unit.seeds]), 0.0, "", "")

    p = replace(plan(), cells=plan().cells[:1])
    folder = Folder(tmp_path)
    summary = run_study(p, folder, Serial(), work=fail)
    assert summary.complete and summary.failed == 16
    ledger = folder.read_ledger(p, print)
    text = page(outcome(p, ledger))
    ledger.close()
    assert "<img" not in text and text.count("</script>") == 2 and text.count("&lt;img") == 16


def test_the_law_is_the_run_reports(found):
    """The prediction that was withdrawn, margin^-(1 - rho) whatever the rank, is on neither page."""
    text = page(found)
    assert POWER_SENTENCE in text and "theory 5.7" in text and "predicted power" in text
    assert "margin<sup>−(1 − ρ)</sup>" not in text and "<th>1 − ρ</th>" not in text
    assert page_data([], [])["powerSentence"] == POWER_SENTENCE


def counted(c, **shares):
    """A cell with other shares of its runs: word -> (how many, of how many)."""
    from marginflow.study.outcome.shares import wilson

    return dataclasses.replace(c, shares={**c.shares, **{word: wilson(*pair) for word, pair in shares.items()}})


def test_the_first_line_answers(found):
    cells = found.cells
    some = [counted(c, minimal_loss=(k, 16)) for k, c in enumerate(cells)]
    said = headline(dataclasses.replace(found, cells=tuple(some)))
    least, most = "0 % [0, 20] (K, Q of width 1, scale 0.1, d = 3)", "69 % [44, 86] (W, scale 1, d = 4)"
    assert said == f"66 of 192 runs reached the minimal loss: from {least} to {most}."
    every = dataclasses.replace(found, cells=tuple(counted(c, minimal_loss=(16, 16)) for c in cells))
    assert headline(every).startswith("Every one of 192 runs reached the minimal loss. Nearest in the median: ")
    assert "Nearest in the median" in summary(found) and "Nearest" not in summary(every)
    none = dataclasses.replace(found, cells=tuple(counted(c, minimal_loss=(0, 16)) for c in cells))
    assert headline(none) == "None of 192 runs reached the minimal loss."


def test_problems_are_told_apart_and_a_parameterisation_has_its_colour(found):
    cells = [c.cell for c in found.cells]
    words = "4 samples of 4 random tokens on the unit sphere"
    assert list(titles(cells).values()) == [f"{words}, d = 3", f"{words}, d = 4"]
    assert list(brief_titles(cells).values()) == ["d = 3", "d = 4"]
    assert list(titles(cells[:1]).values()) == [words]
    assert {colour(cell, found.cells) for cell in cells} == {"kq", "w"}


def test_curves_are_the_medians_of_the_outcome(found):
    group = found.cells[:6]
    panels = panels_of(group)
    assert [panel["title"] for panel in panels] == ["R − 1, nuclear"]
    assert [curve["cell"] for curve in panels[0]["curves"]] == list(range(6))
    for curve in panels[0]["curves"]:
        marks = group[curve["cell"]].marks
        assert curve["median"] == [m.ratio.median - 1 for m in marks] and curve["margin"] == [1e2, 1e4]
        assert curve["low"] <= curve["median"] <= curve["high"]
    bare = [dataclasses.replace(c, marks=c.marks[:1]) for c in group]
    assert panels_of(bare) == []


@pytest.mark.browser
def test_a_field_chooses_its_curve_and_its_seeds(found, chromium, tmp_path):
    file = tmp_path / "study.html"
    file.write_text(page(found), "utf-8")
    opened = Opened(chromium, file)
    opened.page.locator("button[data-cell]").nth(4).click()
    assert opened.page.locator("button[data-cell][aria-pressed=true]").count() == 1
    assert opened.page.input_value("#cell") == "4" and opened.text("#chosen").endswith(": W, scale 0.1")
    assert opened.page.locator("#panels .between.word-w").count() == 1
    assert opened.page.locator("#panels .curve.front.word-w").count() == 1
    assert opened.page.locator("#lists .seeds button").count() == 16
    opened.page.locator("#lists .seeds button").last.click()
    seed = opened.page.locator("#lists .seeds button").last.inner_text()
    assert opened.text("#command") == found.cells[4].cell.command(int(seed))
    opened.page.select_option("#problem", "1")
    assert "d = 4" in opened.text("#lede")
    opened.close(file)
