"""`marginflow study`: verbs, exit codes, one JSON object, one line on stderr for bad input."""

import csv
import json

import pytest
from plans import REAL
from processes_of_tests import wait_for

from marginflow.cli.main import main


SMALL = REAL.replace("seeds = 8", "seeds = 2").replace("d = [3, 4]", "d = 3")
"""4 cells, 8 runs."""


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study: (plan, folder)."""
    home = tmp_path_factory.mktemp("cli")
    (home / "plan.toml").write_text(SMALL)
    assert main(["study", "run", str(home / "plan.toml"), "--out", str(home / "study")]) == 0
    return home / "plan.toml", home / "study"


def said(capsys, *words):
    code = main(["study", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_run_again_finds_everything_done(study, capsys):
    plan, folder = study
    code, out, _ = said(capsys, "run", plan, "--out", folder, "--json")
    found = json.loads(out)
    assert code == 0 and found["complete"] and (found["found"], found["done"]) == (4, 0)
    assert (found["runs"], found["of"], len(found["cells"])) == (8, 8, 4)
    for cell in found["cells"]:
        assert cell["minimal_loss"]["of"] == 2 and cell["minimal_loss"]["upper"] <= 1


@pytest.mark.parametrize("by_plan", [True, False])
def test_status_by_plan_or_by_folder(study, capsys, by_plan):
    plan, folder = study
    words = [plan, "--out", folder] if by_plan else [folder]
    code, out, err = said(capsys, "status", *words)
    assert code == 0 and "8 of 8 runs" in out and err == ""
    assert json.loads(said(capsys, "status", *words, "--json")[1])["complete"] is True


def test_export_csv_and_parquet_agree(study, capsys, tmp_path):
    import duckdb

    _, folder = study
    for kind in ("csv", "parquet"):
        assert said(capsys, "export", folder, f"--{kind}", "-o", tmp_path / f"runs.{kind}")[0] == 0
    with open(tmp_path / "runs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with duckdb.connect() as memory:
        cursor = memory.execute(f"SELECT * FROM '{tmp_path}/runs.parquet'")
        names = [column[0] for column in cursor.description]
        others = [dict(zip(names, row)) for row in cursor.fetchall()]
    assert len(rows) == len(others) == 8 and list(rows[0]) == names
    for row, other in zip(rows, others):
        for name in names:
            shown = "" if other[name] is None else str(other[name])
            assert row[name] == shown, name
    assert rows[0]["nuclear_svm"] in ("optimal", "infeasible") and float(rows[0]["log_time"])


def test_export_costs_and_cells(study, capsys, tmp_path):
    _, folder = study
    assert said(capsys, "export", folder, "--costs", "-o", tmp_path / "costs.csv")[0] == 0
    row = next(csv.DictReader(open_text(tmp_path / "costs.csv")))
    assert float(row["cpu_seconds"]) > 0 and "numpy" in row["versions"] and row["engine"] == "serial"
    code, out, _ = said(capsys, "export", folder, "--cells", "-o", tmp_path / "cells.csv")
    assert code == 0 and "4 of 4 cells" in out
    assert len(list(csv.DictReader(open_text(tmp_path / "cells.csv")))) == 4


def open_text(path):
    return path.read_text().splitlines()


def test_report_and_example(study, capsys, tmp_path):
    _, folder = study
    code, out, _ = said(capsys, "report", folder, "-o", tmp_path / "s.html")
    assert code == 0 and "wrote" in out and (tmp_path / "s.html").read_text().startswith("<!doctype html>")
    code, out, _ = said(capsys, "example")
    (tmp_path / "plan.toml").write_text(out)
    code, out, _ = said(capsys, "run", tmp_path / "plan.toml", "--dry-run", "--json")
    found = json.loads(out)
    assert code == 0 and found["runs"] == 96 and found["estimate"]["cpu_seconds"] > 0
    assert found["estimate"]["least"] <= found["estimate"]["cpu_seconds"] <= found["estimate"]["most"]


def test_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(SMALL)
    code, out, _ = said(capsys, "run", "plan.toml", "--dry-run")
    assert code == 0 and "8 runs: 4 cells x 2 seeds, 4 batches" in out and "estimate:" in out
    assert [path.name for path in tmp_path.iterdir()] == ["plan.toml"]


BAD = {
    "no such plan": (["run", "none.toml"], "none.toml: cannot be read"),
    "bad plan": (["run", "bad.toml"], "bad.toml: seeds: got 0"),
    "unknown engine": (["run", "plan.toml", "--engine", "slurm"], "expected one of serial, processes, dask"),
    "scheduler of serial": (["run", "plan.toml", "--scheduler", "tcp://x"], "only dask has a scheduler"),
    "workers of serial": (["run", "plan.toml", "--workers", "2"], "--workers: got 2 with --engine serial"),
    "out and folder": (["run", "empty", "--out", "x"], "expected one of them"),
    "no results yet": (["status", "plan.toml"], "holds no results of real yet"),
    "folder without study": (["status", "empty"], "holds no study"),
    "two formats": (["export", "plan.toml", "--csv", "--parquet"], "got --csv and --parquet"),
    "cells and costs": (["export", "plan.toml", "--cells", "--costs"], "got --cells and --costs"),
    "report into a folder": (["report", "plan.toml", "-o", "empty"], "is a folder"),
    "unknown verb": (["rum", "plan.toml"], "No such command"),
    "no plan": (["run"], "Missing argument"),
}


@pytest.mark.parametrize("words, message", BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.toml").write_text(SMALL)
    (tmp_path / "bad.toml").write_text(SMALL.replace("seeds = 2", "seeds = 0"))
    (tmp_path / "empty").mkdir()
    code, out, err = said(capsys, *words)
    assert code == 2 and out == "" and err.startswith("marginflow: ") and err.count("\n") == 1, err
    assert message in err


def test_interrupt_says_how_to_resume(tmp_path):
    import os
    import signal
    import subprocess
    import sys

    (tmp_path / "plan.toml").write_text(REAL.replace("seeds = 8", "seeds = 400"))
    words = [sys.executable, "-m", "marginflow", "study", "run", "plan.toml", "--engine", "serial"]
    child = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    batches = tmp_path / "out" / "study-real" / "batches"
    wait_for(lambda: any(batches.glob("*.npz")), "first batch")
    os.kill(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130, err
    assert "resume with: marginflow study run plan.toml --engine serial" in err and "of 3200 runs" in out
    assert "Traceback" not in err


@pytest.mark.browser
def test_page_in_a_browser(study, capsys, tmp_path, chromium):
    file = tmp_path / "s.html"
    assert said(capsys, "report", study[1], "-o", file)[0] == 0
    requests, errors = [], []
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(file.as_uri())
    page.click("table.phase button >> nth=0")
    page.click("#lists .seeds button >> text=1")
    command = page.inner_text("#command")
    width = page.evaluate("document.documentElement.scrollWidth")
    page.close()
    assert command.startswith("marginflow flow sphere:n=2,T=3,d=3,seed=1 --parameterization kq --seed 1 ")
    assert not errors and requests == [file.as_uri()] and width <= 390


FAILING = """
name = "failing"
seeds = 2
[[problem]]
family = "classes"
seed = 0
[[model]]
parameterization = "kq"
optimizer = "gd"
"""
"""Steps take scores, and tokens of this family have values: every run fails."""


def test_a_study_of_several_heads_runs_and_predicts_no_power(tmp_path, capsys):
    """The slowest power is derived for one head: with several none is given, and no run fails by asking for it."""
    (tmp_path / "plan.toml").write_text(FAILING.replace("classes", "heads").replace("seeds = 2", "seeds = 1"))
    code, out, err = said(capsys, "run", tmp_path / "plan.toml")
    assert code == 0 and "failed: " not in out, out + err
    assert main(["study", "export", str(tmp_path / "plan.toml"), "-o", str(tmp_path / "runs.csv")]) == 0
    (row,) = csv.DictReader((tmp_path / "runs.csv").read_text().splitlines())
    assert row["status"] and row["nuclear_rho"] in ("", "nan")


def test_a_study_of_which_all_runs_fail_says_so_beforehand_and_in_its_exit_code(tmp_path, capsys):
    (tmp_path / "plan.toml").write_text(FAILING)
    code, out, _ = said(capsys, "run", tmp_path / "plan.toml", "--dry-run")
    assert code == 1 and "every timed run failed: classes seed=0 | kq" in out
    code, out, _ = said(capsys, "run", tmp_path / "plan.toml", "--dry-run", "--json")
    assert code == 1 and "values" in json.loads(out)["probe"][0]["failure"]
    code, out, _ = said(capsys, "run", tmp_path / "plan.toml")
    assert code == 1 and "nan" not in out and out.count("failed: ") == 2
