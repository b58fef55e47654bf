"""`marginflow export`: a run as a table, whose last row is what `flow --json` says."""

import csv
import json

import duckdb
import pytest

import marginflow as mf
from marginflow.cli.flow import summary
from marginflow.cli.main import main


@pytest.fixture(scope="module")
def runs():
    return {
        "flow": mf.integrate("sign-orbit", "kq", until_margin=100),
        "trapped": mf.integrate("trap:finite", "w", scale=1.0, seed=1),
        "steps": mf.descend("sign-orbit", "w", "adam", iterations=200),
    }


def exported(tmp_path, monkeypatch, path, *words):
    monkeypatch.chdir(tmp_path)
    path.save("run.npz")
    assert main(["export", "run.npz", *words]) == 0
    with open(tmp_path / "run.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("which", ["flow", "trapped", "steps"])
def test_a_row_per_snapshot_and_the_last_is_the_answer(tmp_path, monkeypatch, runs, which):
    path = runs[which]
    rows = exported(tmp_path, monkeypatch, path, "-o", "run.csv")
    time = "iteration" if which == "steps" else "log_time"
    assert list(rows[0]) == [time, "margin", "log_excess", "nuclear", "frobenius", "ratio"]
    assert len(rows) == len(path)
    said = summary(path)
    for name in ("margin", "log_excess", "nuclear", "frobenius", "ratio"):
        assert float(rows[-1][name]) == pytest.approx(said[name], rel=1e-12), name
    assert float(rows[0][time]) == (0 if which == "steps" else -float("inf"))
    # R is no bound where some margin is not positive: an empty field, no number.
    assert all(row["ratio"] == "" for row in rows if float(row["margin"]) <= 0 and which != "trapped")
    assert [row["iteration"] for row in rows] == [str(k) for k in path.iteration] if which == "steps" else True


def test_parquet_holds_the_same(tmp_path, monkeypatch, runs, capsys):
    rows = exported(tmp_path, monkeypatch, runs["flow"])
    capsys.readouterr()
    assert main(["export", "run.npz", "-o", "run.parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots"] == len(rows)
    found = duckdb.sql("SELECT margin FROM 'run.parquet'").fetchall()
    assert [x for (x,) in found] == [float(row["margin"]) for row in rows]


def test_what_is_no_run_or_no_table_is_one_line(tmp_path, monkeypatch, runs, capsys):
    exported(tmp_path, monkeypatch, runs["flow"])
    mf.solve("angle:c=0.5", "nuclear").save("svm.npz")
    capsys.readouterr()
    for words, said in (
        (["export", "run.npz", "-o", "run.xlsx"], "expected .csv or .parquet"),
        (["export", "svm.npz"], "holds a saved solution, not a run"),
        (["export", "run.npz", "-o", "run.npz"], "would overwrite the input"),
    ):
        assert main(words) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and said in err
