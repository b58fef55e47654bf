"""Shapes checked at run time while tests run: the core's doors with array annotations (jaxtyping, beartype).

The library itself imports neither: a door keeps its code and gets other annotations, and the checked copy takes its
place wherever the door is known. Letters are those of docs/architecture.md.
"""

import functools
import importlib
import re
import sys
import types
from typing import Any, get_args

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
    """A copy of `function` that raises where an array has another shape or type than `shapes` says.

    A check depends on nothing but the types and shapes it is given, and most calls of a run give those of the call
    before: each combination is checked once.
    """
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    unknown = set(shapes) - {"return"} - set(names)
    assert not unknown, f"{function.__qualname__} has no {sorted(unknown)}; see tests/shapes.py"
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    functools.update_wrapper(copy, function)
    del copy.__wrapped__
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__annotations__ = dict(shapes)
    check = jaxtyped(copy, typechecker=beartype)
    arguments, sizes = [name for name in names if name in shapes], _sizes(shapes)
    passed: set[Any] = set()

    @functools.wraps(function)
    def once(*args: Any, **options: Any) -> Any:
        given = {**dict(zip(names, args)), **options}
        key = tuple(_form(given[name]) for name in arguments if name in given)
        key += tuple(eval(size, {}, given) for size in sizes)
        if key not in passed:
            out = check(*args, **options)
            passed.update((key, (key, _form(out))))
            return out
        out = function(*args, **options)
        # `check` raises where the shape is wrong.
        return out if "return" not in shapes or (key, _form(out)) in passed else check(*args, **options)

    return once


def _sizes(shapes: dict[str, Any]) -> list[types.CodeType]:
    """What stands in braces in `shapes`: sizes that arguments without a shape of their own have."""
    each = [part for shape in shapes.values() for part in get_args(shape) or (shape,)]
    found = {size for part in each for size in re.findall(r"{(.*?)}", getattr(part, "dim_str", ""))}
    return [compile(size, "tests/shapes.py", "eval") for size in sorted(found)]


def _form(value: Any) -> tuple[Any, ...]:
    """All of `value` that a check sees; what is no array passes none."""
    return (type(value), value.dtype, value.shape) if isinstance(value, np.ndarray) else (type(value),)


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
