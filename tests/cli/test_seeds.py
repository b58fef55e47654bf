"""`flow --seeds`: the fields of one run for each, counts, and the same runs as one by one; `describe --list`."""

import json

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.arguments import DATA_HELP
from marginflow.cli.main import main
from marginflow.problem.named import FAMILIES


def said(capsys, *words):
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_many_seeds_are_the_runs_of_each(capsys):
    words = ["flow", "sphere:n=2,T=3,d=3,seed=1", "-p", "w", "--until-margin", "1e3"]
    code, found = said(capsys, *words, "--seeds", "0-2,7")
    assert [run["seed"] for run in found["runs"]] == [0, 1, 2, 7]
    assert code == (1 if found["undecided"] else 0)
    assert found["minimal_loss"] + found["trapped"] + found["undecided"] == 4
    for run in found["runs"][::3]:
        _, alone = said(capsys, *words, "--seed", str(run["seed"]))
        assert set(run) - {"seed"} <= set(alone)
        assert run["status"] == alone["status"] and run["selected"] == alone["selected"]
        assert run["nuclear"] == pytest.approx(alone["nuclear"], rel=1e-6)


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,1", "0-", "-3", "0-99999999", "0-5,3"])
def test_bad_seeds_are_one_line(capsys, text):
    assert main(["flow", "angle", f"--seeds={text}"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "--seeds: got" in err


def test_seeds_and_save_are_of_different_numbers_of_runs(capsys, tmp_path):
    assert main(["flow", "angle", "--seeds", "0-1", "--save", str(tmp_path / "a.npz")]) == 2
    assert not list(tmp_path.iterdir())


def test_every_named_problem_is_listed_and_in_the_help(capsys):
    code, found = said(capsys, "describe", "--list")
    assert code == 0 and [p["name"] for p in found["problems"]] == list(FAMILIES)
    assert found["problems"][0]["parameters"]["n"] == 20
    assert all(name in DATA_HELP for name in FAMILIES)
    assert main(["describe"]) == 2


def test_problems_lists_them_with_starts_that_show_a_trap(capsys):
    code, found = said(capsys, "problems")
    assert code == 0 and [p["name"] for p in found["problems"]] == list(FAMILIES)
    shown = {p["name"]: p["trap"] for p in found["problems"] if p["trap"]}
    assert set(shown) == {"sphere", "trap:finite", "trap:infinity", "rank-infeasible"}
    for name, line in shown.items():
        _, run = said(capsys, *line.split()[1:], "--until", "verdict")
        assert run["status"] == ("undecided" if name == "rank-infeasible" else "trapped"), line
    assert main(["problems"]) == 0
    assert "see it caught: marginflow flow trap:finite" in capsys.readouterr().out


def test_arrays_are_saved_under_their_own_suffix(capsys, tmp_path):
    for words in (["flow", "angle"], ["descend", "angle"], ["svm", "angle"]):
        assert main([*words, "--save", str(tmp_path / "x.txt")]) == 2
        assert "x.npz" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_start_says_the_width(capsys, tmp_path):
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "start.npz", K=draw.standard_normal((3, 2)), Q=draw.standard_normal((3, 2)))
    for verb in ("flow", "descend"):
        words = [verb, "sphere:n=2,T=3,d=3", "--until-margin", "2", "--init", str(tmp_path / "start.npz")]
        main([*words, "--save", str(tmp_path / f"{verb}.npz")])
        assert mf.Trajectory.load(tmp_path / f"{verb}.npz").parameterization == mf.KeyQuery(2)
