"""A real trained model: the keys and queries of rxnmapper 0.4.3's ALBERT (MIT, LICENSE-rxnmapper.txt), as float16."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import marginflow as mf
from marginflow.audit.summary import bootstrap


STORED = Path(__file__).with_name("rxnmapper.npz")


@pytest.fixture(scope="module")
def audit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rxnmapper")
    with np.load(STORED, allow_pickle=False) as arrays:
        save_file({k: arrays[k] for k in arrays.files if k != "config"}, folder / "model.safetensors")
        (folder / "config.json").write_text(str(arrays["config"]))
    return mf.audit(folder, controls=32)


def test_it_is_what_the_prototype_measured(audit):
    """Balance .954 [.875, 1.009] of the rotation, not significant."""
    assert len(audit) == 8 and audit.law == "plain" and STORED.stat().st_size < 300_000
    balance = next(c for c in audit.comparisons if (c.figure, c.control) == ("balance", "rotation"))
    assert 0.875 < balance.ratio < 1.009 and not balance.off
    assert not any("Imbalance:" in sentence for sentence in audit.summary)


def test_weights_look_full_rank_and_are_said_to_be_like_chance(audit):
    assert 23 < np.mean([h["rank90"] for h in audit]) < 26
    assert any(s.startswith("No statement about") and "effective rank" in s for s in audit.summary)


def test_a_saved_audit_makes_json_a_table_and_a_row_a_head(audit):
    found = json.loads(json.dumps(audit.to_dict(), allow_nan=False))
    assert len(found["heads"]) == 8 and {"layer", "head", "nuclear", "controls"} <= set(found["heads"][0])


def test_intervals_of_eight_heads_hold_the_truth_in_95_percent():
    random = np.random.default_rng(0)
    held = 0
    for trial in range(400):
        low, high = bootstrap(random.standard_normal(8), trial)
        held += low < 0.0 < high
    # 95 % of 400 is 380, with a standard deviation of 4.4.
    assert 366 <= held <= 394
