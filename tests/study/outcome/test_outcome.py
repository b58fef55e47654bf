"""What a study sums up to: shares and quantiles against a recount, powers against a known law and the late law."""

import math
from dataclasses import replace

import fake_work
import numpy as np
import pytest
from plans import FAKE, REAL, plan

import marginflow as mf
from marginflow.diagnostics.late_law import late_law
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome, power
from marginflow.study.outcome.summary import summary_table
from marginflow.study.results.folder import Folder
from marginflow.study.results.record import from_arrays, to_arrays
from marginflow.study.work import run_unit


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
        seen = [r.svms[0].power for r in rows if power(vars(r.marks[0]), vars(r.marks[1])) is not None]
        assert c.marks[1].predicted.total == len(seen)
        assert not seen or c.marks[1].predicted.median == pytest.approx(np.median(seen))


def _half_failed(unit):
    rows = [fake_work.row(unit, seed) for seed in unit.seeds]
    rows = [replace(row, status="failed", reason="broken") if row.seed % 2 else row for row in rows]
    return replace(fake_work.quick(unit), arrays=to_arrays(unit, rows))


def test_failed_runs_are_no_part_of_a_share(tmp_path):
    folder = Folder(tmp_path)
    run_study(plan(), folder, Serial(), work=_half_failed)
    ledger = folder.read_ledger(plan(), print)
    found = outcome(plan(), ledger)
    ledger.close()
    for cell in found.cells:
        assert cell.runs == 16 and cell.failed == 8
        assert all(share.total == 8 for share in cell.shares.values())
        assert sum(share.count for share in cell.shares.values()) == 8


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


def test_the_predicted_power_is_that_of_the_late_law():
    """Of each run in its own norm, by its own SVM: theory 5.7 above rank one, 5.2 at rank one, and 1 for W."""
    text = REAL.replace("until_margin = 1e3", "until_margin = 1e4")
    unit_of = {unit.cell.parameterization: unit for unit in plan(text).units}
    sources = set()
    for word, norm in (("kq", "nuclear"), ("w", "frobenius")):
        unit = unit_of[word]
        for row in from_arrays(run_unit(unit).arrays):
            if row.status != "minimal_loss":
                assert all(math.isnan(svm.power) for svm in row.svms)
                continue
            problem = unit.cell.problem(row.seed)
            path = mf.integrate(
                problem, unit.cell.model(problem), seed=row.seed, scale=unit.cell.scale, until_margin=1e4
            )
            law = late_law(path, mf.solve(problem, norm, unit.cell.settings.tol))
            (own,) = [svm for svm in row.svms if svm.norm == norm]
            assert own.power == pytest.approx(law.power, rel=1e-5)
            sources.add(law.power_source.split(",")[0])
    assert len(sources) >= 2 and "theory 5.1" in sources
