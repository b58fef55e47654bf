"""How a trajectory shows itself."""

import sys
from types import ModuleType

import numpy as np
import pytest

import marginflow as mf
from marginflow import frames
from marginflow.problem import named


@pytest.fixture
def path():
    return mf.integrate(named.load("angle:c=0.5"), mf.Combined(), until_margin=10)


def test_repr_is_one_line(path):
    assert repr(path).startswith("Trajectory(angle:c=0.5, w: minimal_loss at margin ") and "\n" not in repr(path)


def test_frame_has_a_row_per_snapshot(path, monkeypatch):
    pandas = ModuleType("pandas")
    pandas.DataFrame = dict
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    monkeypatch.setattr(frames, "find_spec", lambda name: name == "pandas" or None)
    frame = path.to_dataframe()
    assert list(frame) == ["log_time", "iteration", "margin", "log_excess", "nuclear", "frobenius", "ratio"]
    np.testing.assert_array_equal(frame["margin"], path.margin)


def test_frame_without_a_library_says_what_to_install(path, monkeypatch):
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    with pytest.raises(mf.InputError, match="pandas nor polars"):
        path.to_dataframe()
