"""The PyTorch code shown in docs/watch.md runs: blocks marked `py`, in order, with stand-ins for the user's names."""

import re
import types
from pathlib import Path

import torch
import torch.nn.functional as F
import transformers
from test_watch import paper
from watched import batches, net

import marginflow as mf


PAGE = Path(__file__).parents[2] / "docs" / "watch.md"
BLOCKS = re.findall(r"^```py\n(.*?)^```", PAGE.read_text(), re.M | re.S)


def test_shown_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = net(("rope", "fused"), groups=2)
    one_layer, problem, (X, z), _ = paper()
    names = {
        "model": model,
        "batch": batches(1, 2)[0],
        "probe": batches(1, 2)[0],
        "data": [(ids, ids) for ids in batches(3)],
        "loss_of": lambda out, ids: F.cross_entropy(out.flatten(0, 1), ids.flatten()),
        "opt": torch.optim.AdamW(model.parameters()),
        "one_layer": one_layer,
        "X": X,
        "z": z,
        "problem": problem,
        # Lightning is not installed here: its callback has no methods of its own that this one uses.
        "lightning": types.SimpleNamespace(Callback=object),
        "transformers": transformers,
    }
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"{PAGE.name}[{number}]", "exec"), names)
        if number == 0:
            assert mf.Record.load("run.npz").step.tolist() == [0, 1, 2, 3]
        if "lightning" in block:
            own, trainer = names["Watching"](), types.SimpleNamespace(global_step=0)
            own.on_train_start(trainer, types.SimpleNamespace(model=model))
            for trainer.global_step in (1, 1, 2):
                own.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.5)}, None, 0)
            assert mf.Record.load("run.npz").step.tolist() == [0, 1, 2]
            assert mf.Record.load("run.npz").loss.tolist() == [1.5] * 3
        if "TrainerCallback" in block:
            own, state = names["Watching"](), transformers.TrainerState()
            assert isinstance(own, transformers.TrainerCallback)
            own.on_train_begin(None, state, None, model=model)
            own.on_step_end(None, state, None)
            state.log_history.append({"loss": 0.7})
            own.on_step_end(None, state, None)
            assert mf.Record.load("run.npz").loss.tolist()[1:] != [0.7] and own.watch.result.loss[-1] == 0.7
    assert len(BLOCKS) == 4
