"""Studies of optimisers: the axes of a plan, what a run records, keys, resuming, export and the page."""

import csv
import shlex
from pathlib import Path

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.norms import parse_norm
from marginflow.study.plan.plan import check_plan, read_plan
from marginflow.study.work import run_unit


PLAN = """
name = "steps"
seeds = 4
batch = 2
[descend]
iterations = 400
at = [40, 400]
[[problem]]
family = "equal"
n = 3
T = 3
d = 4
seed = "run"
[[model]]
parameterization = "kq"
width = 3
optimizer = ["ngd", "sign:momentum=0.9"]
rate = ["speed:0.05", 0.01]
norms = ["nuclear", "operator"]
[[model]]
parameterization = "w"
optimizer = "sign"
rate = "power:0.1,0.5"
decay = ["none", "decoupled:0.01"]
samples = ["all", 1]
norms = "entry-linf"
"""
STEPS = Path(__file__).parents[2] / "studies" / "optimisers.toml"


def run(tmp_path, text=PLAN, *more):
    (tmp_path / "plan.toml").write_text(text)
    return main(["study", "run", str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out"), *more])


def exported(tmp_path):
    words = [str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out"), "-o", str(tmp_path / "runs.csv")]
    assert main(["study", "export", *words, "--csv"]) == 0
    with open(tmp_path / "runs.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_optimisers_rates_decays_and_samples_are_axes():
    plan = check_plan(PLAN)
    assert (len(plan.cells), plan.runs, len(plan.units)) == (8, 32, 16)
    assert len({cell.key for cell in plan.cells}) == 8 and len({cell.label for cell in plan.cells}) == 8
    steps = [cell.steps for cell in plan.cells[4:]]
    assert [(s.decay, s.samples) for s in steps] == [("", 0), ("", 1), ("decoupled:0.01", 0), ("decoupled:0.01", 1)]
    assert plan.cells[0].norms == ("nuclear", "operator") and plan.cells[4].norms == ("entry-linf",)
    assert plan.cells[0].targets == (40.0, 400.0)


@pytest.mark.parametrize(
    "change",
    [
        ("iterations = 400", "iterations = 401"),
        ("at = [40, 400]", "at = [41, 400]"),
        ('"ngd", ', '"ngd-separate", '),
        ('"speed:0.05", ', '"speed:0.06", '),
        ("momentum=0.9", "momentum=0.8"),
        ('"operator"]', '"frobenius"]'),
    ],
)
def test_keys_depend_on_how_a_descent_steps(change):
    base, changed = check_plan(PLAN), check_plan(PLAN.replace(*change))
    assert not all(a.key == b.key for a, b in zip(base.units, changed.units, strict=True))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('optimizer = "sign"', 'optimizer = "sgn"'), "model[1].optimizer: optimizer: got 'sgn'"),
        (('optimizer = "sign"', 'optimiser = "sign"'), "model[1].optimiser: unknown key"),
        (('optimizer = "sign"', ""), "model[1].rate: got 'power:0.1,0.5'; expected an optimizer beside it"),
        (('"power:0.1,0.5"', '"power:0.1"'), "model[1].rate: rate: got 'power:0.1'"),
        (('"power:0.1,0.5"', "-1.0"), "model[1].rate: got -1.0"),
        (("decoupled:0.01", "decoupled:0"), "model[1].decay: decay: got 0.0"),
        (('["all", 1]', '["all", 0]'), "model[1].samples: got 0"),
        (("at = [40, 400]", "at = [40, 401]"), "descend.at: got 401; expected a whole number in 1..400"),
        (("iterations = 400", "iterations = 0"), "descend.iterations: got 0"),
        (('norms = "entry-linf"', 'norms = "largest"'), "model[1].norms: got 'largest'"),
        (('norms = "entry-linf"', 'norms = "l1"'), "got 'l1' with parameterization w"),
        (('seed = "run"', 'seed = "run"\nonly = "diag"'), "problem.only"),
    ],
)
def test_what_cannot_run_is_one_line_with_the_path(change, says):
    with pytest.raises(InputError) as error:
        check_plan(PLAN.replace(*change))
    assert says in str(error.value) and "\n" not in str(error.value)


def test_a_cell_holds_what_its_command_repeats(tmp_path, capsys):
    plan = check_plan(PLAN)
    for cell, seed in ((plan.cells[0], 2), (plan.cells[7], 1)):
        words = shlex.split(cell.command(seed))
        assert words[0] == "marginflow"
        assert main([*words[1:], "--save", str(tmp_path / "again.npz")]) in (0, 1)
        again = mf.Trajectory.load(tmp_path / "again.npz")
        unit = next(u for u in plan.units if u.cell == cell and seed in u.seeds)
        arrays, i = run_unit(unit).arrays, seed - unit.first
        # A batch adds up in another order than a run by itself.
        assert arrays["margin"][i] == pytest.approx(again.margin[-1], rel=1e-9)
        assert arrays["steps"][i] == again.steps == 400 and arrays["status"][i] == again.status.name
        at = int(np.abs(again.iteration - 40).argmin())
        marks = arrays["mark_norm"][i] == cell.norms[0]
        found = arrays["mark_norm_over_margin"][i][marks & (arrays["mark_target"][i] == 40.0)]
        if again.margin[at] > 0:
            size = parse_norm(cell.norms[0]).value(again.W(at))
            assert found[0] == pytest.approx(size / again.margin[at], rel=1e-9)
        assert (arrays["predicted"][i] or None) == again.method.norm


def test_it_runs_resumes_exports_and_reports(tmp_path, capsys):
    assert run(tmp_path) == 0
    rows = exported(tmp_path)
    assert len(rows) == 32 and {row["status"] for row in rows} <= {"minimal_loss", "undecided"}
    assert {row["optimizer"] for row in rows} == {"ngd", "sign:momentum=0.9", "sign"}
    assert {row["samples"] for row in rows} == {"0", "1"} and {row["decay"] for row in rows} == {"", "decoupled:0.01"}
    assert all(row["log_time"] == "" and row["steps"] == "400" for row in rows)
    first = next(row for row in rows if row["optimizer"] == "ngd")
    assert float(first["nuclear_norm_over_margin_at_400"]) > float(first["nuclear_lower"])
    files = {p.name: p.read_bytes() for p in (tmp_path / "out" / "batches").iterdir()}
    gone = sorted(files)[0]
    (tmp_path / "out" / "batches" / gone).unlink()
    capsys.readouterr()
    assert run(tmp_path) == 0
    assert {p.name: p.read_bytes() for p in (tmp_path / "out" / "batches").iterdir()} == files
    assert exported(tmp_path) == rows
    out = tmp_path / "study.html"
    words = [str(tmp_path / "plan.toml"), "--out", str(tmp_path / "out"), "-o", str(out)]
    assert main(["study", "report", *words]) == 0
    text = out.read_text()
    assert '"title":"gap, nuclear"' in text and '"slope":true' in text
    assert "kq width=3, ngd rate speed:0.05" in text and "marginflow descend equal:" in text
    assert main(["study", "export", *words[:-1], str(tmp_path / "cells.csv"), "--cells"]) == 0
    with open(tmp_path / "cells.csv", newline="") as file:
        cells = list(csv.DictReader(file))
    assert len(cells) == 8 and float(cells[0]["norm_over_svm_nuclear_at_400_median"]) > 1.0


def test_a_batch_that_cannot_run_is_a_row_with_its_reason(tmp_path, capsys):
    text = PLAN.replace('"w"', '"diag"').replace('optimizer = "sign"', 'optimizer = "spectral"')
    text = text.replace('norms = "entry-linf"', 'norms = "l2"').replace('["none", "decoupled:0.01"]', '"none"')
    assert run(tmp_path, text) in (0, 1)
    failed = [row for row in exported(tmp_path) if row["status"] == "failed"]
    assert len(failed) == 8 and all("expected matrices" in row["reason"] for row in failed)


def test_the_plan_of_the_tables_has_every_row():
    plan = read_plan(STEPS)
    assert plan.runs == 30 * len(plan.cells) and len(plan.cells) == 62
    assert {cell.parameterization for cell in plan.cells} == {"w", "kq", "diag", "diag-kq"}
    assert all(("n', 6" in str(cell.parameters)) == (cell.parameterization in ("w", "kq")) for cell in plan.cells)
