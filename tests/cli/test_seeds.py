"""`flow --seeds`: the fields of one run for each, counts, and the same runs as one by one; `describe --list`."""

import json

import pytest

from marginflow.cli.main import main
from marginflow.cli.output import DATA_HELP
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
