"""Comparing benchmarks: slower is flagged, other work is no ratio, and a file gives back what was saved."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest


FILE = Path(__file__).parents[2] / "benchmarks" / "history.py"


@pytest.fixture(scope="module")
def history():
    spec = importlib.util.spec_from_file_location("bench_history", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row(name="kq", cpu=1.0, **more):
    return {"name": name, "cpu": cpu, "steps": 10, **more}


@pytest.mark.parametrize(("factor", "flagged"), [(0.5, []), (1.0, []), (1.02, []), (1.04, ["kq"]), (3.0, ["kq"])])
def test_more_than_three_per_cent_is_flagged(history, factor, flagged):
    table, found = history.compare([row()], [row(cpu=factor)])
    assert found == flagged and f"| {factor:.3f} |" in table


def test_what_is_too_short_to_time_is_shown_and_not_flagged(history):
    table, found = history.compare([row(cpu=0.001)], [row(cpu=0.003)])
    assert found == [] and "3.000" in table


def test_a_time_for_other_work_is_no_time(history):
    table, found = history.compare([row()], [row(cpu=0.1, steps=9)])
    assert found == ["kq"] and "other work: steps" in table and "geometric mean" not in table
    _, found = history.compare([row(), row("w")], [row()])
    assert found == ["w"]
    table, found = history.compare([row()], [row(), row("new")])
    assert found == [] and "| new |" in table


def test_the_mean_of_the_ratios_is_geometric(history):
    table, _ = history.compare([row(), row("w")], [row(cpu=2.0), row("w", cpu=0.5)])
    assert "geometric mean of 2 ratios: 1.000" in table


def test_files(history, tmp_path, monkeypatch, capsys):
    before, after, other = (tmp_path / "deep" / name for name in ("a.json", "b.json", "c.json"))
    history.save(before, "flow", [row()])
    history.save(after, "flow", [row(cpu=1.5)])
    history.save(other, "svm", [row()])
    made = json.loads(before.read_text())
    assert made["rows"] == [row()] and made["benchmark"] == "flow" and made["numpy"]
    monkeypatch.setattr(sys, "argv", ["history.py", str(before), str(after)])
    assert history.main() == 1
    assert "flagged: kq" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["history.py", str(before), str(other)])
    with pytest.raises(SystemExit):
        history.main()
