"""What a record's file says is checked before it is believed, and the verb and its JSON are as promised."""

import json

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError


@pytest.fixture
def saved(tmp_path):
    draw = np.random.default_rng(1)
    K, Q = draw.standard_normal((2, 2, 4, 6))
    recorder = mf.Recorder(tmp_path / "run.npz")
    for step in (0, 1, 10):
        heads = [(f"l{h}.0", mf.Head((1.0 + step) * K[h], Q[h], 0.5)) for h in range(2)]
        logits = {name: draw.standard_normal((2, 5, 5)) * (1 + 10 * step) for name, _ in heads}
        recorder.record(step, 1.0 / (1 + step), heads, logits)
    return tmp_path / "run.npz"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "audit"}, "expected a record"),
        ({"format": 2}, "another version"),
        ({"format": "x"}, "another version"),
        ({"figures": ["nuclear"]}, "another version"),
        ({"values": np.zeros((3, 2, 1))}, "array values"),
        ({"singular": np.zeros((2, 2, 4))}, "array singular"),
        ({"loss": np.zeros(2)}, "array loss"),
        ({"laws": np.zeros(2)}, "array laws"),
        ({"step": np.array([0, 5, 5])}, "rising steps"),
        ({"step": np.array([-1, 0, 5])}, "rising steps"),
        ({"components": np.array([4, 9])}, "do not fit"),
        ({"cores": np.zeros((3, 2, 2, 4))}, "array cores"),
        ({"names": None}, "expected also"),
    ],
)
def test_files_that_do_not_fit_are_refused(saved, change, said):
    with np.load(saved) as file:
        arrays = {**{name: file[name] for name in file.files}, **change}
    np.savez(saved, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=said):
        mf.Record.load(saved)


def test_the_verb_says_what_happened(saved, capsys):
    assert main(["watch", str(saved)]) == 0
    out = capsys.readouterr().out
    assert "2 heads, law plain" in out and "3 records to step 10" in out
    assert "The largest logit passes 50 in l0 by step 10" in out
    assert "has drifted by more than 0.1 in l0 by step 1; l1 by step 1: there the run is not" in out
    assert "Up to step 10 there is no halving of an effective rank" in out
    assert main(["watch", str(saved), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == [0, 1, 10] and found["law"] == "plain" and len(found["loss"]) == 3
    record = mf.Record.load(saved)
    for h, head in enumerate(found["heads"]):
        assert head["name"] == record.names[h]
        assert head["entropy"] == record.figure("entropy")[:, h].tolist()
        assert head["max_logit"] == record.figure("max_logit")[:, h].tolist()
        np.testing.assert_array_equal(head["singular"], record.singular[:, h])
        assert len(head["least_entropy"]) == 3


def test_other_files_are_refused_in_one_line(tmp_path, capsys):
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    for file in ("x.npz", "none.npz"):
        assert main(["watch", str(tmp_path / file)]) == 2
        err = capsys.readouterr().err
        assert err.startswith("marginflow: ") and err.count("\n") == 1
