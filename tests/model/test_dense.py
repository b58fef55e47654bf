"""Parameterisations from three formulas: the runs of those with formulas of their own, and wrong formulas found."""

from dataclasses import dataclass, field

import numpy as np
import pytest

import marginflow as mf
from marginflow.model.registry import PARAMETERIZATIONS


@dataclass(frozen=True)
class Plain(mf.AbstractDense):
    """W = K Q', as `KeyQuery`."""

    width: int = 2
    word: str = field(default="plain-kq", init=False)
    flow_norm: str = field(default="nuclear", init=False)
    degree: int = field(default=2, init=False)

    def shapes(self, d, d_z):
        return {"K": (d, self.width), "Q": (d_z, self.width)}

    def weights(self, arrays):
        return arrays["K"] @ arrays["Q"].T

    def derivative(self, arrays, change):
        return change["K"] @ arrays["Q"].T + arrays["K"] @ change["Q"].T

    def adjoint(self, arrays, G):
        return {"K": G @ arrays["Q"], "Q": G.T @ arrays["K"]}


@dataclass(frozen=True)
class Squares(mf.AbstractDense):
    """W = diag(u * u - v * v)."""

    word: str = field(default="squares", init=False)
    flow_norm: str = field(default="l1", init=False)
    degree: int = field(default=2, init=False)
    diagonal = True

    def shapes(self, d, d_z):
        return {"u": (d,), "v": (d,)}

    def weights(self, arrays):
        return arrays["u"] ** 2 - arrays["v"] ** 2

    def derivative(self, arrays, change):
        return 2 * arrays["u"] * change["u"] - 2 * arrays["v"] * change["v"]

    def adjoint(self, arrays, G):
        return {"u": 2 * arrays["u"] * G, "v": -2 * arrays["v"] * G}


@pytest.fixture
def known():
    before = dict(PARAMETERIZATIONS)
    mf.register(Plain)
    yield
    PARAMETERIZATIONS.clear()
    PARAMETERIZATIONS.update(before)


def test_the_run_is_that_of_the_formulas_written_out():
    mine = mf.integrate("sphere:n=3,T=3,d=4,seed=1", Plain(2), until_margin=1e5)
    ours = mf.integrate("sphere:n=3,T=3,d=4,seed=1", mf.KeyQuery(2), until_margin=1e5)
    assert mine.status is ours.status and mine.steps == ours.steps
    assert np.allclose(mine.W(-1), ours.W(-1), rtol=1e-6) and np.allclose(mine.log_time[1:], ours.log_time[1:])


def test_a_diagonal_one_goes_to_the_least_l1_norm():
    # u u - v v is k q in other coordinates (theory 3.8).
    path = mf.integrate("sign-orbit", Squares(), until_margin=1e6)
    assert path.status.name == "minimal_loss" and path.W(-1).shape == (2, 2)
    assert mf.compare(path).rows[0]["l1_above"] < 1e-3


def test_it_is_saved_loaded_and_described(known, tmp_path):
    path = mf.integrate("sign-orbit", Plain(2), until_margin=10)
    path.save(tmp_path / "a.npz")
    assert mf.Trajectory.load(tmp_path / "a.npz").parameterization == Plain(2)
    assert mf.descend("sign-orbit", Plain(2), "adam", iterations=20).steps == 20


def test_an_aligned_start_is_not_known_of_a_formula():
    with pytest.raises(mf.UndefinedError, match="give a start as init"):
        Plain().aligned(np.eye(2), np.eye(2), np.ones(2), np.ones(2))


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("weights", lambda self, arrays: (arrays["K"] @ arrays["Q"].T) ** 2, "derivative|neither linear"),
        ("weights", lambda self, arrays: arrays["K"].T @ arrays["Q"], "weights: got shape"),
        ("derivative", lambda self, arrays, change: change["K"] @ arrays["Q"].T, "derivative: differs"),
        ("adjoint", lambda self, arrays, G: {"K": G @ arrays["Q"], "Q": G @ arrays["K"]}, "adjoint: <adjoint"),
        ("degree", 1, "degree: got 1"),
    ],
)
def test_wrong_formulas_are_found_before_anything_is_trained(name, wrong, said):
    made = dataclass(frozen=True)(type("Wrong", (Plain,), {name: wrong}))
    if name == "degree":
        made = dataclass(frozen=True)(
            type("Wrong", (Plain,), {"degree": field(default=1, init=False), "__annotations__": {"degree": int}})
        )
    with pytest.raises(mf.InputError, match=said):
        mf.integrate("sphere:n=2,T=3,d=3,seed=1", made(2), until_margin=10)


def test_neither_linear_nor_quadratic_is_found():
    def cube(self, arrays):
        return (arrays["K"] @ arrays["Q"].T) ** 2

    def slope(self, arrays, change):
        # Right for a quadratic W only: the difference of two values.
        up = {name: arrays[name] + change[name] for name in arrays}
        down = {name: arrays[name] - change[name] for name in arrays}
        return (cube(self, up) - cube(self, down)) / 2

    made = dataclass(frozen=True)(type("Wrong", (Plain,), {"weights": cube, "derivative": slope}))
    with pytest.raises(mf.InputError, match="neither linear nor quadratic"):
        mf.integrate("sphere:n=2,T=3,d=3,seed=1", made(2), until_margin=10)
