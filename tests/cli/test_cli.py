"""The verbs: their FIXED fields, words and exit codes, and that --json prints one object and nothing else."""

import json
import subprocess
import sys

import numpy as np
import pytest

from marginflow.cli.main import main
from marginflow.problem import named
from marginflow.problem.files import write_problem


def run(capsys, *words):
    code = main(list(words))
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys, *words):
    code, out, _err = run(capsys, *words, "--json")
    return code, json.loads(out)


def test_help_and_version(capsys):
    for words in ([], ["--help"]):
        code, out, _ = run(capsys, *words)
        assert code == 0 and "Usage: marginflow" in out
    assert run(capsys, "--version")[1].startswith("marginflow ")


def test_module_is_the_command():
    done = subprocess.run([sys.executable, "-m", "marginflow", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("marginflow ")


def test_describe_digits(capsys):
    code, found = run_json(capsys, "describe", "digits")
    assert code == 0
    assert found["constraints"] == 160 and (found["n"], found["d"], found["d_z"]) == (20, 19, 17)
    assert found["separable"] is True and found["diagonal_separable"] is None
    code, out, _ = run(capsys, "describe", "digits")
    assert code == 0 and "separable        yes" in out


@pytest.mark.parametrize(
    "spec, separable, diagonal, independent",
    [("rank-infeasible", True, False, True), ("orthogonal:n=2", True, True, True)],
)
def test_describe_planted(capsys, spec, separable, diagonal, independent):
    _, found = run_json(capsys, "describe", spec)
    assert (found["separable"], found["diagonal_separable"], found["independent"]) == (
        separable,
        diagonal,
        independent,
    )


@pytest.mark.parametrize("norm", ["nuclear", "frobenius", "operator"])
def test_svm_fields_and_value(capsys, norm):
    code, found = run_json(capsys, "svm", "angle:c=0.5", "--norm", norm)
    assert code == 0
    assert {"status", "value", "lower", "gap", "rank", "unique", "constraints", "infeasibility"} <= set(found)
    truth = named.family("angle:c=0.5").values[norm]
    assert found["status"] == "optimal" and found["gap"] <= 1e-9
    assert found["lower"] <= truth * (1 + 1e-15) and found["value"] == pytest.approx(truth, rel=1e-9)


def infeasible_file(folder):
    """x and -x both have to win: no W separates."""
    X = np.array([[[1.0, 0.0], [0.0, 0.0]], [[-1.0, 0.0], [0.0, 0.0]]])
    np.savez(folder / "no.npz", X=X, z=np.ones((2, 1)), scores=np.array([[1.0, 0.0], [1.0, 0.0]]))
    return str(folder / "no.npz")


def test_infeasible_is_an_answer(capsys, tmp_path):
    code, found = run_json(capsys, "svm", infeasible_file(tmp_path), "--norm", "nuclear")
    assert code == 0
    assert found["status"] == "infeasible" and found["infeasibility"] > 1e6 and found["value"] is None
    _, described = run_json(capsys, "describe", infeasible_file(tmp_path))
    assert described["separable"] is False


def test_selection_and_tolerance_not_met(capsys):
    _, all_best = run_json(capsys, "svm", "sphere:n=3,T=3,d=4,seed=1")
    _, other = run_json(capsys, "svm", "sphere:n=3,T=3,d=4,seed=1", "--select", "0,0,0")
    assert other["value"] != pytest.approx(all_best["value"])
    code, found = run_json(capsys, "svm", "sphere:n=3,T=3,d=4,seed=1", "--tol", "1e-15")
    assert code == (0 if found["status"] == "optimal" else 1)
    assert found["lower"] > 0


def test_svm_save_and_verify(capsys, tmp_path):
    saved = tmp_path / "svm.npz"
    assert run(capsys, "svm", "digits", "--norm", "frobenius", "--save", str(saved))[0] == 0
    with np.load(saved, allow_pickle=False) as data:
        assert {"W", "dual", "sample", "token"} <= set(data.files)
        changed = dict(data)
    assert run(capsys, "svm", "--verify", str(saved))[0] == 0
    changed["W"] = changed["W"] * 0.99
    np.savez(tmp_path / "changed.npz", **changed)
    assert run(capsys, "svm", "--verify", str(tmp_path / "changed.npz"))[0] == 1


FLOW_FIELDS = {
    *("status", "margin", "log_excess", "log_time", "evaluations", "nuclear", "frobenius", "ratio"),
    *("selected", "optimal", "conserved_drift"),
}


@pytest.mark.parametrize("word, norm", [("kq", "nuclear"), ("w", "frobenius"), ("diag-kq", "l1"), ("diag", "l2")])
def test_flow_fields_and_answer(capsys, word, norm):
    code, found = run_json(capsys, "flow", "sign-orbit", "--parameterization", word)
    assert code == 0
    assert FLOW_FIELDS <= set(found)
    assert found["status"] == "minimal_loss" and found["margin"] >= 1e6 * 0.5
    assert found["selected"] == found["optimal"]
    assert 1 - 1e-9 <= found["ratio"] <= 1.05
    truth = named.family("sign-orbit").values[norm]
    size = found["nuclear"] if norm in ("nuclear", "l1") else found["frobenius"]
    assert size / found["margin"] == pytest.approx(truth, rel=2e-2)


def test_trapped_is_an_answer(capsys, tmp_path):
    np.savez(tmp_path / "start.npz", W=np.array([[5.0, 0.0], [0.0, 0.0]]))
    code, found = run_json(
        capsys, "flow", "trap:finite", "--parameterization", "w", "--init", str(tmp_path / "start.npz")
    )
    assert code == 0
    assert found["status"] == "trapped" and found["selected"] == [1] and found["optimal"] == [0]
    assert found["margin"] < 0
    assert np.exp(found["log_excess"]) == pytest.approx(np.exp(-0.9) - np.exp(-1.0), rel=1e-6)


def test_rank_infeasible_width_is_not_called_minimal(capsys):
    code, found = run_json(capsys, "flow", "rank-infeasible", "--width", "1", "--scale", "0.3", "--until-margin", "1e4")
    assert found["status"] != "minimal_loss"
    assert code == (1 if found["status"] == "undecided" else 0)


def test_flow_of_a_users_file_saves_a_run(capsys, tmp_path):
    write_problem(tmp_path / "data.npz", named.load("sphere:n=3,T=3,d=4,seed=1,dz=3"))
    code, _found = run_json(
        capsys,
        "flow",
        str(tmp_path / "data.npz"),
        "--until-margin",
        "1e3",
        "--save",
        str(tmp_path / "run.npz"),
    )
    assert code in (0, 1) and (tmp_path / "run.npz").exists()
    code, made = run_json(capsys, "report", str(tmp_path / "run.npz"), "-o", str(tmp_path / "report.html"))
    assert code == 0 and made["runs"] == 1
    assert (tmp_path / "report.html").stat().st_size == made["bytes"] < 6e6


def test_claims_list(capsys):
    code, found = run_json(capsys, "claims", "--list")
    assert code == 0 and {"name", "source", "statement"} == set(found["claims"][0])
