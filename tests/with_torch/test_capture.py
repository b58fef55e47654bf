"""Captured inputs are the layers', the audit reads them, and the model is left as it was."""

import numpy as np
import pytest
import torch
from family import family
from small_models import MODELS, build, inputs

import marginflow as mf
from marginflow.errors import InputError
from marginflow.torch import capture


BY_NAME = sorted(set(MODELS) - {"vit"})


@pytest.mark.parametrize("name", BY_NAME)
def test_every_family_is_found_by_name(name, tmp_path):
    found = family(name, tmp_path)
    arrays = capture(build(name), inputs(name), tmp_path / "X.npz")
    for layer, own in enumerate(found.inputs):
        np.testing.assert_allclose(arrays[f"layer{layer}"][:1], own, rtol=1e-6, atol=1e-6)
    audit = mf.audit(tmp_path, tmp_path / "X.npz", controls=2, queries=0)
    assert len(audit.on_data) == len(audit.heads)


def test_modules_by_hand_where_names_do_not_tell():
    model = build("vit")
    with pytest.raises(InputError, match="modules="):
        capture(model, inputs("vit"))
    names = [n for n, m in model.named_modules() if n.endswith(("query", "q_proj")) and isinstance(m, torch.nn.Linear)]
    assert capture(model, inputs("vit"), modules=names)["layer1"].shape == (2, 5, 32)


def test_the_model_is_left_as_it_was():
    model = build("gpt2").train()
    model.transformer.h[0].eval()
    flags = [m.training for m in model.modules()]
    batch = inputs("gpt2")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    capture(model, batch)
    with pytest.raises(InputError, match="layer9"):
        capture(model, batch, modules=["layer9"])
    with pytest.raises(Exception, match="input_ids"):
        capture(model, {"input_ids": torch.full((1, 3), 10_000), "inputs_embeds": torch.zeros(1, 3, 32)})
    assert [m.training for m in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_masks_and_low_precision_are_kept_exactly():
    model = build("qwen2").to(torch.bfloat16)
    batch = inputs("qwen2") | {"attention_mask": torch.tensor([[1] * 9, [0, 0] + [1] * 7])}
    arrays = capture(model, batch)
    assert arrays["mask"].tolist()[1][:3] == [False, False, True]
    assert arrays["layer0"].dtype == np.float32
    assert arrays["tokens"].shape == (2, 9)
