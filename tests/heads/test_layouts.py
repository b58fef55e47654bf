"""Every family of the table against logits stored from the model's own code, in each way of storing weights."""

import subprocess
import sys

import numpy as np
import pytest
from own_logits import differences, write_stored
from stored_families import FAMILIES, NAMES, stored

from marginflow.heads.checkpoint import open_checkpoint
from marginflow.heads.layouts import LAYOUTS, layout_of


LAWS = {
    "llama": "rope+gqa",
    "llama-mha-bias": "rope",
    "qwen3": "qk-norm",
    "gpt2": "plain",
    "gptj": "rope",
    "bloom": "plain",
    "falcon-mha": "plain",
    "falcon-mqa": "rope+gqa",
    "gemma3": "qk-norm",
    "albert": "plain",
}


def test_every_row_of_the_table_is_stored_or_refused():
    words = {row.family for row in LAYOUTS if not row.refused}
    assert words == {layout_of(name.split("-")[0]).family for name in NAMES}
    assert sum(file.stat().st_size for file in FAMILIES.iterdir()) < 500_000


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_the_models_own_code(name, tmp_path):
    arrays = stored(name)
    found = open_checkpoint(write_stored(arrays, tmp_path))
    for layer in range(found.shape.layers):
        assert differences(found, layer, arrays[f"inputs{layer}"], arrays[f"logits{layer}"]) < 3e-6


@pytest.mark.parametrize("name", LAWS)
def test_the_law_is_that_of_the_architecture(name, tmp_path):
    found = open_checkpoint(write_stored(stored(name), tmp_path))
    assert {head.law.word for head in found.layer(0)} == {LAWS[name]}


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("shards", [1, 3])
def test_types_and_shards_give_the_same_heads(tmp_path, kind, shards):
    arrays = stored("qwen2")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = open_checkpoint(write_stored(arrays, tmp_path / "a"))
    other = open_checkpoint(write_stored(arrays, tmp_path / "b", kind=kind, shards=shards))
    for one, two in zip(plain.layer(1), other.layer(1)):
        assert np.array_equal(one.K, two.K) and np.array_equal(one.Q, two.Q)


def test_bfloat16_is_read_by_a_process_that_imported_nothing_else(tmp_path):
    folder = write_stored(stored("llama"), tmp_path, kind="bfloat16")
    code = f"from marginflow.heads.checkpoint import open_checkpoint as o; print(o({str(folder)!r}).head(0, 1).K.shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(8, 32)", done.stderr


def test_names_decide_where_the_family_is_not_written(tmp_path):
    found = open_checkpoint(write_stored(stored("gptj"), tmp_path, config={"model_type": None}))
    assert found.family == "gptj"
