"""No family ships without this: heads read from disk make the logits of the model's own code."""

import numpy as np
import pytest
from family import family
from own_logits import differences
from small_models import MODELS, REFUSED, build
from store_families import FOLDER

from marginflow.errors import InputError
from marginflow.heads.checkpoint import open_checkpoint
from marginflow.heads.layouts import LAYOUTS


def test_every_family_has_a_model_and_stored_arrays():
    words = {build(name).config.model_type for name in MODELS | REFUSED}
    assert {row.family for row in LAYOUTS} == words
    assert {file.stem for file in FOLDER.iterdir()} == set(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_models_own(name, tmp_path):
    found = family(name, tmp_path)
    for layer, (x, own) in enumerate(zip(found.inputs, found.logits, strict=True)):
        # Their float32: some tens of roundings of 6e-8 each.
        assert differences(found.checkpoint, layer, x, own) < 3e-6
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        fresh = found.arrays()
        assert set(stored.files) == set(fresh)
        for key in stored.files:
            if key.startswith("tensor"):
                assert np.array_equal(stored[key], fresh[key]), "run tests/with_torch/store_families.py"
            elif key != "config":
                np.testing.assert_allclose(stored[key], fresh[key], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_bilinear_head_is_refused(name, tmp_path):
    build(name).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="spans all heads"):
        open_checkpoint(tmp_path)
