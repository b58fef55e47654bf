"""What a study sums up to: intervals and quantiles against independent numbers, shares against a recount."""

import math

import fake_work
import numpy as np
import pytest
from plans import FAKE, plan
from scipy.stats import binomtest

from marginflow.errors import InputError
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome, power
from marginflow.study.outcome.shares import quantiles, wilson
from marginflow.study.outcome.summary import summary_table
from marginflow.study.page.page import page
from marginflow.study.results.folder import Folder
from marginflow.study.results.record import from_arrays, to_arrays


@pytest.mark.parametrize("count, total", [(0, 1), (1, 1), (0, 20), (20, 20), (7, 20), (145, 200), (1, 10_000)])
def test_wilson_is_scipys(count, total):
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    share = wilson(count, total)
    assert share.lower == pytest.approx(expected.low, abs=1e-12)
    assert share.upper == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= share.lower <= share.value <= share.upper <= 1


def test_wilson_of_nothing_and_of_nonsense():
    assert wilson(0, 0).total == 0 and math.isnan(wilson(0, 0).lower) and math.isnan(wilson(0, 0).value)
    with pytest.raises(InputError):
        wilson(3, 2)


def test_wilson_covers_about_95_percent():
    """Over p in (0.1, 0.9) at n = 60 the exact coverage of the interval, averaged, is near its name."""
    from scipy.stats import binom

    n = 60
    shares = [wilson(k, n) for k in range(n + 1)]
    ps = np.linspace(0.1, 0.9, 81)
    cover = [sum(binom.pmf(k, n, p) for k, s in enumerate(shares) if s.lower <= p <= s.upper) for p in ps]
    assert 0.94 < np.mean(cover) < 0.96 and min(cover) > 0.92


def test_quantiles_leave_out_what_is_no_number():
    q = quantiles([3.0, None, 1.0, math.nan, 2.0])
    assert (q.total, q.median) == (3, 2.0) and q.low == pytest.approx(1.2) and q.high == pytest.approx(2.8)
    assert quantiles([None]).total == 0 and math.isnan(quantiles([]).median)
    assert quantiles([1.0, math.inf, math.inf]).high == math.inf


def test_power_of_a_known_law():
    def mark(margin, law):
        return {"margin": margin, "ratio": 1 + 3 * margin**-law}

    assert power(mark(1e2, 0.42), mark(1e4, 0.42)) == pytest.approx(0.42, rel=1e-9)
    assert power(None, mark(1e4, 0.5)) is None
    assert power({"margin": None, "ratio": None}, mark(1e4, 0.5)) is None
    assert power(mark(1e4, 0.5), mark(1e4, 0.5)) is None
    # R closer to 1 than its own rounding allowance says nothing about a power.
    assert power(mark(1e2, 3.0), mark(1e4, 3.0)) is None


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("study"))
    run_study(plan(), folder, Serial(), work=fake_work.quick)
    ledger = folder.read_ledger(plan(), print)
    yield outcome(plan(), ledger)
    ledger.close()


def test_shares_are_a_recount(found):
    p = plan()
    assert len(found.cells) == 12 and found.done == 48 and not found.failures
    for c, cell in zip(found.cells, p.cells):
        rows = [fake_work.row(u, s) for u in p.units if u.cell == cell for s in u.seeds]
        assert c.cell == cell and c.runs == 16
        for word, share in c.shares.items():
            assert share.count == sum(r.status == word for r in rows) and share.total == 16
        assert c.marks[0].ratio.median == pytest.approx(np.median([r.marks[0].ratio for r in rows]))
        expected = np.median([r.marks[0].norm_over_margin / r.svms[0].lower for r in rows])
        assert c.marks[0].norm_over_margin.median == pytest.approx(expected)


def test_arrays_hold_every_number_of_the_rows():
    unit = plan().units[5]
    rows = [fake_work.row(unit, seed) for seed in unit.seeds]
    assert from_arrays(to_arrays(unit, rows)) == rows


def test_summary_has_a_row_per_cell(found):
    columns, rows = summary_table(found)
    assert len(rows) == 12 and all(len(row) == len(columns) for row in rows)
    row = dict(zip(columns, rows[0]))
    assert row["problem"] == "sphere n=4,T=4,d=3,seed=run" and row["width"] == "1" and row["runs"] == 16
    assert row["minimal_loss"] + row["trapped"] + row["undecided"] == 16
    assert row["minimal_loss_lower"] < row["minimal_loss"] / 16 < row["minimal_loss_upper"]


def test_a_smaller_plan_counts_its_own_runs_only(tmp_path):
    folder = Folder(tmp_path)
    run_study(plan(), folder, Serial(), work=fake_work.quick)
    less = plan(FAKE.replace("seeds = 16", "seeds = 8"))
    summary = run_study(less, folder, Serial(), work=None)
    assert summary.complete and summary.found == 24
    ledger = folder.read_ledger(less, print)
    assert {c.runs for c in outcome(less, ledger).cells} == {8}
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
