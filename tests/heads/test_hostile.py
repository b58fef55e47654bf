"""Checkpoints nobody should have: one line on standard error, exit code 2, nothing executed, nothing written."""

import json
import pickle

import ml_dtypes
import numpy as np
import pytest
from own_logits import write_stored
from safetensors.numpy import load_file, save_file
from stored_families import stored

from marginflow.cli.main import main


class Trap:
    def __reduce__(self):
        return (print, ("executed",))


def weights(folder, change):
    """Apply `change` to the dictionary of tensors."""
    found = load_file(folder / "model.safetensors")
    change(found)
    save_file(found, folder / "model.safetensors")


def config(folder, **change):
    path = folder / "config.json"
    found = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in found.items() if v is not None}))


def key_of(found):
    return next(name for name in sorted(found) if "k_proj.weight" in name)


def raw(folder, data):
    (folder / "model.safetensors").write_bytes(data)


def bytes_of(folder):
    return (folder / "model.safetensors").read_bytes()


def header(folder, edit):
    """Rewrite the JSON header of the file, lengths kept right."""
    data = bytes_of(folder)
    size = int.from_bytes(data[:8], "little")
    text = json.dumps(edit(json.loads(data[8 : 8 + size]))).encode()
    raw(folder, len(text).to_bytes(8, "little") + text + data[8 + size :])


def shard(folder, weight_map):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(weight_map)


def set_entry(found, value):
    found[key_of(found)][0, 0] = value


def retyped(kind):
    def change(found):
        found[key_of(found)] = found[key_of(found)].astype(kind)

    return change


def pickled(name):
    def make(folder):
        (folder / "model.safetensors").unlink()
        (folder / name).write_bytes(pickle.dumps(Trap()))

    return make


def shape_claims(found):
    name = next(n for n in found if "k_proj.weight" in n)
    found[name]["shape"] = [2**62, 2**62]
    return found


def overlap(found):
    names = [n for n in found if n != "__metadata__"]
    found[names[0]]["data_offsets"] = found[names[1]]["data_offsets"]
    return found


INDEX = {"model.layers.0.self_attn.k_proj.weight": "model-1.safetensors"}
CASES = {
    "empty file": lambda f: raw(f, b""),
    "text file": lambda f: raw(f, b"hello, this is not a checkpoint"),
    "truncated": lambda f: raw(f, bytes_of(f)[:-100]),
    "truncated header": lambda f: raw(f, bytes_of(f)[:40]),
    "header of 2^60 bytes": lambda f: raw(f, (2**60).to_bytes(8, "little") + bytes_of(f)[8:]),
    "header flipped": lambda f: raw(f, bytes_of(f)[:9] + b"\xff" + bytes_of(f)[10:]),
    "header no object": lambda f: header(f, lambda h: [1, 2]),
    "header nested": lambda f: raw(f, (10_000).to_bytes(8, "little") + b"[" * 10_000),
    "shape overflows": lambda f: header(f, shape_claims),
    "tensors overlap": lambda f: header(f, overlap),
    "trailing bytes": lambda f: raw(f, bytes_of(f) + bytes(100)),
    "a zip": lambda f: raw(f, b"PK\x03\x04" + bytes(100)),
    "weights are a folder": lambda f: ((f / "model.safetensors").unlink(), (f / "model.safetensors").mkdir()),
    "no weights": lambda f: (f / "model.safetensors").unlink(),
    "no config": lambda f: (f / "config.json").unlink(),
    "config a folder": lambda f: ((f / "config.json").unlink(), (f / "config.json").mkdir()),
    "config not JSON": lambda f: (f / "config.json").write_text("{model_type: llama"),
    "config not UTF-8": lambda f: (f / "config.json").write_bytes(b"\xff\xfe{}"),
    "config a list": lambda f: (f / "config.json").write_text("[1]"),
    "config nested": lambda f: (f / "config.json").write_text("[" * 100_000),
    "config empty": lambda f: (f / "config.json").write_text("{}"),
    "no such family": lambda f: config(f, model_type="mamba"),
    "family a number": lambda f: config(f, model_type=3),
    "family of other names": lambda f: config(f, model_type="gpt2", n_head=4, n_embd=32, n_layer=2),
    "refused family": lambda f: config(f, model_type="olmo2"),
    "heads do not divide": lambda f: config(f, num_attention_heads=5, head_dim=None),
    "key heads do not divide": lambda f: config(f, num_key_value_heads=3),
    "key heads misstated": lambda f: config(f, num_key_value_heads=4),
    "heads zero": lambda f: config(f, num_attention_heads=0),
    "heads a string": lambda f: config(f, num_attention_heads="4"),
    "heads a float": lambda f: config(f, num_attention_heads=4.0),
    "heads true": lambda f: config(f, num_attention_heads=True),
    "heads missing": lambda f: config(f, num_attention_heads=None),
    "heads huge": lambda f: config(f, num_attention_heads=10**30),
    "layers more than there are": lambda f: config(f, num_hidden_layers=3),
    "width wrong": lambda f: config(f, hidden_size=64),
    "head width wrong": lambda f: config(f, head_dim=16),
    "head width odd for rotary": lambda f: config(f, rope_parameters={"rope_theta": "x"}),
    "rotary base negative": lambda f: config(f, rope_parameters={"rope_theta": -1.0}),
    "rotary scaling unknown": lambda f: config(f, rope_parameters={"rope_theta": 1e4, "rope_type": "yarn"}),
    "rotary share two": lambda f: config(f, rope_parameters={"rope_theta": 1e4, "partial_rotary_factor": 2.0}),
    "llama3 factors swapped": lambda f: config(
        f, rope_parameters={"rope_type": "llama3", "rope_theta": 1e4, "low_freq_factor": 4.0, "high_freq_factor": 1.0}
    ),
    "scale zero": lambda f: config(f, query_pre_attn_scalar=0),
    "cap negative": lambda f: config(f, attn_logit_softcapping=-1.0),
    "quantised, says config": lambda f: config(f, quantization_config={"quant_method": "gptq"}),
    "key tensor missing in layer 1": lambda f: weights(f, lambda t: t.pop("model.layers.1.self_attn.k_proj.weight")),
    "all key tensors missing": lambda f: weights(f, lambda t: [t.pop(k) for k in list(t) if "k_proj.weight" in k]),
    "GPTQ names": lambda f: weights(
        f, lambda t: [t.update({k.replace(".weight", ".qweight"): t.pop(k)}) for k in list(t) if k.endswith(".weight")]
    ),
    "NaN": lambda f: weights(f, lambda t: set_entry(t, np.nan)),
    "infinite": lambda f: weights(f, lambda t: set_entry(t, np.inf)),
    "int8": lambda f: weights(f, retyped(np.int8)),
    "fp8": lambda f: weights(f, retyped(ml_dtypes.float8_e4m3fn)),
    "complex": lambda f: weights(f, retyped(np.complex64)),
    "keys three axes": lambda f: weights(f, lambda t: t.update({key_of(t): t[key_of(t)][None]})),
    "keys one axis": lambda f: weights(f, lambda t: t.update({key_of(t): t[key_of(t)].ravel()})),
    "keys of another width": lambda f: weights(f, lambda t: t.update({key_of(t): t[key_of(t)][:, :-1].copy()})),
    "bias of another length": lambda f: weights(
        f, lambda t: t.update({key_of(t).replace("weight", "bias"): np.ones(3, dtype=np.float32)})
    ),
    "index not JSON": lambda f: shard(f, "{"),
    "index without a map": lambda f: shard(f, '{"weight_map": ["a", "b"]}'),
    "index map empty": lambda f: shard(f, '{"weight_map": {}}'),
    "index of numbers": lambda f: shard(f, '{"weight_map": {"a": 3}}'),
    "shard missing": lambda f: shard(f, json.dumps({"weight_map": {"a": "model-2.safetensors"}})),
    "shard outside": lambda f: shard(f, json.dumps({"weight_map": {"a": "../model-1.safetensors"}})),
    "shard absolute": lambda f: shard(f, json.dumps({"weight_map": {"a": "/etc/passwd"}})),
    "shard without the tensor": lambda f: shard(f, json.dumps({"weight_map": {"nothing": "model-1.safetensors"}})),
    "shard pickled": lambda f: shard(f, json.dumps({"weight_map": {"a": "pytorch_model.bin"}})),
    "index forgets a layer": lambda f: shard(f, json.dumps({"weight_map": INDEX})),
    "two files, no index": lambda f: (
        raw(f, bytes_of(f)),
        (f / "model.safetensors").rename(f / "a.safetensors"),
        (f / "b.safetensors").write_bytes((f / "a.safetensors").read_bytes()),
    ),
    "only pytorch_model.bin": pickled("pytorch_model.bin"),
    "only a .pt": pickled("weights.pt"),
    "pickle under our name": lambda f: raw(f, pickle.dumps(Trap())),
}


@pytest.mark.parametrize("kind", CASES)
def test_bad_checkpoints_are_one_line(tmp_path, monkeypatch, capsys, kind):
    folder = tmp_path / "model"
    folder.mkdir()
    write_stored(stored("llama"), folder)
    CASES[kind](folder)
    monkeypatch.chdir(tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    capsys.readouterr()
    code = main(["audit", "model", "--json", "--save", "out.npz"])
    out, err = capsys.readouterr()
    assert code == 2, (out[:200], err)
    assert out == "" and err.startswith("marginflow: ") and err.count("\n") == 1 and "Traceback" not in err
    assert len(err) < 600, err
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.ckpt", "model.npz"])
def test_a_file_that_is_no_safetensors_says_how_to_convert(tmp_path, capsys, name):
    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    assert main(["audit", str(tmp_path / name)]) == 2
    out, err = capsys.readouterr()
    assert "executed" not in out + err and "weights_only=True" in err and name in err


@pytest.mark.parametrize(
    "words",
    [
        ["nothing-here"],
        ["model", "--layers", "a"],
        ["model", "--layers", "2"],
        ["model", "--layers", "-1"],
        ["model", "--heads", "9"],
        ["model", "--controls", "1"],
        ["model", "--controls", "10000000"],
        ["model", "--seed", "-1"],
        ["model", "--offsets", "x"],
        ["model", "--offsets", "nan"],
        ["model", "--samples", "0"],
        ["model", "--queries", "-1"],
        ["model", "--inputs", "missing.npz"],
        ["model", "--save", "no/such/a.npz"],
        ["model", "--save", "model"],
        [],
    ],
)
def test_bad_arguments_are_one_line(tmp_path, monkeypatch, capsys, words):
    (tmp_path / "model").mkdir()
    write_stored(stored("llama"), tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    assert main(["audit", *words, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("marginflow: ") and err.count("\n") == 1
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before


def test_zero_weights_have_rank_zero_and_no_nan(tmp_path, capsys):
    write_stored(stored("llama"), tmp_path)
    weights(tmp_path, lambda t: t.update({k: np.zeros_like(v) for k, v in t.items()}))
    assert main(["audit", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for head in found["heads"]:
        assert [head[k] for k in ("nuclear", "effective_rank", "rank90", "balance", "alignment", "commutator")] == [
            0
        ] * 6
    assert "null" not in json.dumps(found["heads"])
