"""The page of a study: one file, text stays text, and the law it prints is the one that the run report prints."""

import dataclasses

import fake_work
import pytest
from plans import plan

from marginflow.diagnostics.late_law import POWER_SENTENCE
from marginflow.report.payload import page_data
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome
from marginflow.study.page.curves import MOST, curves
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
    assert "http://" not in text and "https://" not in text and "<link" not in text and "<script src" not in text
    assert text.count('<button data-cell="') == 12
    assert "sphere n=4,T=4,d=3,seed=run" in text


def test_page_of_a_study_without_results():
    from marginflow.study.results.ledger import Ledger

    ledger = Ledger.in_memory()
    empty = outcome(plan(), ledger)
    ledger.close()
    assert "0 of 192 runs" in page(empty)


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


def test_curves_say_when_some_cells_are_left_out(found):
    many = [dataclasses.replace(c) for c in found.cells]
    assert len(many) > MOST
    drawn = curves(many, "nuclear")
    assert drawn.count("<polyline") == MOST and f"the first {MOST} cells are drawn" in drawn
    assert "cells are drawn" not in curves(many[:MOST], "nuclear") and curves(many, "no norm") == ""
