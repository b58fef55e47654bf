"""`device=` where PyTorch is not, and where no solver takes one: one sentence that says what to do (docs/scale.md)."""

import json
import sys

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.svm.scaling.namespace import NUMPY, namespace_of


NAME = "sphere:n=3,T=3,d=4,seed=1"


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "cpu", "nonsense"])
def test_without_pytorch_the_extra_is_named(without_torch, device):
    with pytest.raises(
        InputError, match=rf"device: got '{device}', but PyTorch is not installed; pip install .*\[gpu\]"
    ):
        mf.solve(NAME, "nuclear", device=device)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf", "lp:3", "entry-l1", "entry-linf", "entry-lp:3", "cut"])
def test_a_norm_without_products_for_a_device_names_those_with(norm):
    with pytest.raises(InputError, match=f"got 'cuda' with the norm {norm}, .*expected nuclear, frobenius, operator"):
        mf.solve(NAME, norm, device="cuda")


def test_the_command_line_says_it_in_one_line_and_saves_nothing(without_torch, tmp_path, capsys):
    saved = tmp_path / "out.npz"
    assert main(["svm", NAME, "--device", "cuda", "--save", str(saved)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "marginflow[gpu]" in err
    assert list(tmp_path.iterdir()) == []


def test_a_check_of_a_file_takes_no_device(capsys):
    assert main(["svm", "--verify", "any.npz", "--device", "cpu"]) == 2
    assert "--verify takes only the saved file" in capsys.readouterr().err


def test_without_a_device_numpy_is_said_to_have_searched(capsys):
    assert mf.solve(NAME, "nuclear").device is None
    assert main(["svm", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["device"] is None
    assert main(["svm", NAME]) == 0
    assert "PyTorch" not in capsys.readouterr().out


def test_arrays_of_numpy_stay_where_they_are():
    x = np.arange(3.0)
    assert namespace_of(x) is NUMPY and NUMPY.put(x) is x and NUMPY.get(x) is x
    assert NUMPY.put(x, np.float32).dtype == np.float32
