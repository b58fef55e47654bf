"""The command that the page gives for a run makes that run again, to the same bits."""

import json
import math
import shlex
from pathlib import Path

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.flow.integrate import resume
from marginflow.npz import read_npz, write_npz
from marginflow.problem.named import load
from marginflow.report.command import command_of
from marginflow.trajectory.trajectory import Trajectory


CASES = {
    "to a margin": (mf.Combined(), {"until_margin": 123.0, "seed": 3, "scale": 0.5}),
    "to a verdict": (mf.KeyQuery(width=1), {"until_margin": 1e4, "until": "verdict"}),
    "asked for more": (mf.DiagonalKeyQuery(), {"until_margin": 30, "loss": "logistic", "rtol": 1e-8}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_command_repeats_the_run(case, tmp_path, monkeypatch, capsys):
    model, options = CASES[case]
    path = mf.integrate(load("sign-orbit"), model, **options)
    monkeypatch.chdir(tmp_path)
    main(shlex.split(command_of(path))[1:])
    capsys.readouterr()
    again = Trajectory.load("run.npz")
    assert again.until_margin == path.until_margin == float(options["until_margin"])
    assert again.ended == path.ended
    for name, array in vars(path.snapshots).items():
        np.testing.assert_array_equal(getattr(again.snapshots, name), array, err_msg=name)


def test_a_resumed_run_was_asked_for_the_later_margin():
    path = mf.integrate(load("angle"), mf.Combined(), until_margin=10)
    on = resume(path, until_margin=40)
    assert on.until_margin == 40.0 and "--until-margin 40 " in command_of(on)


OLD = Path(__file__).parents[1] / "data" / "run-0.1.0.npz"


def test_a_file_of_version_0_1_loads_with_its_command():
    old = Trajectory.load(OLD)
    assert (old.seed, old.scale, old.rtol, old.loss.word, old.ended.name) == (0, 0.1, 1e-8, "logistic", "verdict")
    assert command_of(old) == (
        "marginflow flow angle:c=0.5 --parameterization kq --seed 0 --scale 0.1 --until-margin 10 --until verdict "
        "--loss logistic --rtol 1e-08 --save run.npz"
    )
    assert len(resume(old, until_margin=20)) > len(old)


def test_a_file_without_the_margin_asked_for_still_loads(tmp_path):
    arrays = read_npz(OLD)
    about = json.loads(str(arrays.pop("flow")))
    del about["until_margin"]
    write_npz(tmp_path / "old.npz", flow=np.array(json.dumps(about)), **arrays)
    old = Trajectory.load(tmp_path / "old.npz")
    assert math.isnan(old.until_margin)
    assert f"--until-margin {old.margin[-1]:.6g} " in command_of(old)


def test_a_run_that_never_separates_gives_the_margin_asked_for(trapped):
    assert "--until-margin 10000 " in command_of(trapped)
