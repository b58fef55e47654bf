"""What a record's file says is checked before it is believed, and the verb and its JSON are as promised."""

import json

import numpy as np
import pytest

import marginflow as mf
from marginflow import frames
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
        ({"step": np.array([5, 3, 1], dtype=np.uint64)}, "rising steps"),
        ({"step": np.array([0, 1, 2**64 - 1], dtype=np.uint64)}, "rising steps"),
        ({"names": ["l.0", "l.0"]}, "a name of its own"),
        ({"names": ["", "l.0"]}, "a name of its own"),
        ({"names": ["l\n.0", "l.1"]}, "a name of its own"),
        ({"singular": np.full((3, 2, 4), np.nan)}, "singular values or cores"),
        ({"singular": np.full((3, 2, 4), -1.0)}, "singular values or cores"),
        ({"cores": np.full((3, 2, 2, 4, 4), np.inf, dtype=np.float32)}, "singular values or cores"),
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
    np.savez(tmp_path / "run.npz", flow=np.array("{}"), X=np.zeros((1, 1, 1)))
    np.savez(tmp_path / "audit.npz", kind="audit")
    for file, said in (
        ("x.npz", "holds arrays ['a']"),
        ("none.npz", "cannot be read"),
        ("run.npz", "holds a saved run; expected a record"),
        ("audit.npz", "holds an audit; expected a record"),
    ):
        assert main(["watch", str(tmp_path / file)]) == 2
        err = capsys.readouterr().err
        assert err.startswith("marginflow: ") and err.count("\n") == 1 and said in err


def test_a_record_given_as_something_else_is_called_that(saved, tmp_path, capsys):
    for words, said in (
        (["export", str(saved), "-o", str(tmp_path / "out.csv")], ", not a run"),
        (["figure", str(saved), "-o", str(tmp_path / "out.svg")], ", not a run"),
        (["describe", str(saved)], ", not a problem"),
        (["svm", "--verify", str(saved)], "; expected also arrays ['norm'"),
    ):
        assert main(words) == 2
        assert f"holds a record of a training run{said}" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["run.npz"]


def test_a_frame_has_a_row_for_each_head_at_each_record(saved, monkeypatch):
    record = mf.Record.load(saved)
    frame = record.to_dataframe()
    assert list(frame["name"]) == ["l0.0", "l1.0"] * 3 and list(frame["step"]) == [0, 0, 1, 1, 10, 10]
    np.testing.assert_array_equal(frame["max_logit"], record.figure("max_logit").ravel())
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="neither pandas nor polars"):
        record.to_dataframe()


@pytest.mark.parametrize("name", ["model", "note", "laws", "formulas"])
@pytest.mark.parametrize("text", ["two\nlines", "\x1b[2J", "a\x00b", "\u202e"])
def test_words_of_a_file_that_a_terminal_would_obey_are_refused(saved, tmp_path, name, text):
    with np.load(saved) as file:
        arrays = dict(file)
    arrays[name] = np.array(text) if arrays[name].ndim == 0 else np.array([text] * arrays[name].size)
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(InputError, match=f"{name}: got .* expected one line of plain text"):
        mf.Record.load(tmp_path / "bad.npz")


@pytest.mark.parametrize("words", [{"model": "a\nb"}, {"note": "\x1b[31m"}, {"model": 3}])
def test_words_for_people_are_one_line(words):
    with pytest.raises(InputError, match="expected one line of plain text"):
        mf.Recorder(**words)


@pytest.mark.parametrize("step", ["a", 1.5, None, True, [1]])
def test_the_clock_takes_whole_numbers(step):
    with pytest.raises(InputError, match=r"step: got .* a whole number"):
        mf.Recorder().due(step)
    assert mf.Recorder().due(np.int64(10)) and not mf.Recorder().due(-1)
