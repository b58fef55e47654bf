"""The verb's text, JSON and exit codes."""

import json

import pytest

from marginflow import InputError
from marginflow.cli.attractors import attractors


def test_json_has_the_documented_fields(capsys):
    code = attractors("sphere:n=4,T=4,d=8,seed=3", "w", sample=4, scale=[0.1], json=True)
    found = json.loads(capsys.readouterr().out)
    assert code == 0 and found["complete"] is True and found["separable"] is True
    best, trap = found["attractors"]
    assert best["optimal"] and best["excess"] == 0.0 and best["stability"] is None
    assert trap["selected"] == [0, 1, 1, 2] and trap["stability"] > 1 and 0 <= trap["gap"] < 1e-9
    assert sum(a["share"] for a in found["attractors"]) == 1.0
    assert {"selected", "optimal", "excess", "value", "gap", "stability", "share"} <= set(best)


def test_text_names_the_minimal_loss_and_what_is_missing(capsys):
    assert attractors("trap:finite", "kq") == 0
    out = capsys.readouterr().out
    assert "minimal" in out and "finite ends" in out and "caps the rank" not in out
    assert attractors("rank-infeasible", "kq", width=1) == 0
    out = capsys.readouterr().out
    assert "caps the rank" in out and "undecided" in out


def test_share_is_null_without_runs(capsys):
    attractors("trap:infinity", "w", json=True)
    assert [a["share"] for a in json.loads(capsys.readouterr().out)["attractors"]] == [None, None]


def test_figure_needs_runs(tmp_path):
    with pytest.raises(InputError, match="no sampled runs"):
        attractors("trap:finite", "w", figure=tmp_path / "ends.svg")
