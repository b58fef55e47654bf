"""Discrete training: the optimisers that people use, as `mf.optim.Adam` and the like; `mf.descend` runs them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from marginflow.optim.adam import Adam as Adam
    from marginflow.optim.decay import L2 as L2, Decoupled as Decoupled
    from marginflow.optim.gradient_descent import GradientDescent as GradientDescent
    from marginflow.optim.lion import Lion as Lion
    from marginflow.optim.mirror import Mirror as Mirror
    from marginflow.optim.muon import Muon as Muon
    from marginflow.optim.optimiser import AbstractOptimiser as AbstractOptimiser
    from marginflow.optim.rate import Constant as Constant, Power as Power, Speed as Speed
    from marginflow.optim.scaled import Scaled as Scaled
    from marginflow.optim.shampoo import Shampoo as Shampoo
    from marginflow.optim.steepest import Steepest as Steepest

_HOMES = {
    "AbstractOptimiser": "optimiser",
    "Scaled": "scaled",
    "GradientDescent": "gradient_descent",
    "Steepest": "steepest",
    "Adam": "adam",
    "Muon": "muon",
    "Lion": "lion",
    "Shampoo": "shampoo",
    "Mirror": "mirror",
    "L2": "decay",
    "Decoupled": "decay",
    "Constant": "rate",
    "Power": "rate",
    "Speed": "rate",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"marginflow.optim.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'marginflow.optim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
