"""Shapes checked at run time while tests run: the core's doors with array annotations (jaxtyping, beartype).

The library itself imports neither: a door keeps its code and gets other annotations, and the checked copy takes its
place wherever the door is known. Letters are those of docs/architecture.md.
"""

import functools
import importlib
import sys
import types
from typing import Any

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Float, Int, jaxtyped


def F(axes: str) -> Any:
    return Float[np.ndarray, axes]


def I(axes: str) -> Any:  # noqa: E743
    return Int[np.ndarray, axes]


def B(axes: str) -> Any:
    return Bool[np.ndarray, axes]


LOGITS = "{self.f.shape[0]} {self.f.shape[1]} {self.f.shape[2]}"

DOORS: dict[str, dict[str, Any]] = {
    "problem.constraints:Constraints.margins": {
        "W": F("d d_z") | F("d") | F("H d d_z"),
        "return": F("{len(self)}"),
    },
    "problem.constraints:Constraints.adjoint": {
        "dual": F("{len(self)}"),
        "return": F("{self.shape[0]} {self.shape[1]}") | F("{self.heads} {self.shape[0]} {self.shape[1]}"),
    },
    "problem.constraints:Constraints.gram": {"return": F("C C")},
    "model.force:force": {"scores": F("P n T")},
    "model.force:Force.jvp": {"ds": F(LOGITS), "return": F(LOGITS)},
    "model.force:Force.psi_rate": {"ds": F(LOGITS), "return": F("{len(self.f)}")},
    "model.force:log_excess": {
        "scores": F("P n T"),
        "optimal": I("P n"),
        "mask": B("P n T"),
        "return": F("B"),
    },
    "trajectory.trajectory:Trajectory.W": {
        "return": F("{self.problem.d} {self.problem.d_z}")
        | F("{self.problem.counts[1]} {self.problem.d} {self.problem.d_z}")
    },
    "trajectory.trajectory:Trajectory.dual": {"return": F("{len(self.goal.constraints)}")},
    "trajectory.trajectory:Trajectory.selected": {"return": I("{self.problem.n}")},
    "diagnostics.alignment:shared_spaces": {"A": F("*H d d_z"), "B": F("*H d d_z")},
    "diagnostics.alignment:alignment": {"K": F("d m"), "Q": F("d_z m"), "G": F("d d_z")},
    "diagnostics.alignment:subspace_angle": {"U": F("d r"), "V": F("d r")},
    "diagnostics.alignment:distance_to_spaces": {"W": F("d d_z"), "left": F("d r"), "right": F("d_z r")},
    "diagnostics.balance:conserved": {"K": F("d m") | F("d"), "Q": F("d_z m") | F("d"), "return": F("m m") | F("d")},
    "diagnostics.kkt:factored_residual": {"parameters": F("p"), "force": F("p"), "margins": F("C"), "dual": F("C")},
    "diagnostics.rates:fit_power": {"x": F("S"), "y": F("S")},
    "diagnostics.spectrum:dual_spectrum": {"B": F("d d_z")},
    "flow.clock:log_step_time": {"h": F("B")},
}
"""Door, and the shapes of its arguments and of what it returns; what is not listed keeps no check."""


def checked(function: types.FunctionType, shapes: dict[str, Any]) -> Any:
    """A copy of `function` that raises where an array has another shape or type than `shapes` says."""
    unknown = set(shapes) - {"return"} - set(function.__code__.co_varnames[: function.__code__.co_argcount])
    assert not unknown, f"{function.__qualname__} has no {sorted(unknown)}; see tests/shapes.py"
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    functools.update_wrapper(copy, function)
    del copy.__wrapped__
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = dict(shapes)
    return jaxtyped(copy, typechecker=beartype)


def install() -> None:
    """Put the checked copies in place of the doors, in every module that knows them."""
    for door, shapes in DOORS.items():
        module, _, name = door.partition(":")
        owner: Any = importlib.import_module(f"marginflow.{module}")
        *outer, last = name.split(".")
        for part in outer:
            owner = getattr(owner, part)
        function = getattr(owner, last)
        if hasattr(function, "__shapes__"):
            continue
        new = checked(function, shapes)
        new.__shapes__ = shapes
        setattr(owner, last, new)
        for other in list(sys.modules.values()):
            if getattr(other, "__name__", "").startswith("marginflow") and vars(other).get(last) is function:
                setattr(other, last, new)
