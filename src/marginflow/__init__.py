"""marginflow: which solution does training a softmax attention layer pick, and can we prove it?

Importing the package loads NumPy only; the rooms that need SciPy load on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from marginflow.errors import InputError as InputError, UndefinedError as UndefinedError
from marginflow.problem.constraints import Constraints as Constraints
from marginflow.problem.problem import Problem as Problem


if TYPE_CHECKING:
    from marginflow.diagnostics.table import Table as Table, diagnose as diagnose
    from marginflow.flow.integrate import integrate as integrate, integrate_many as integrate_many
    from marginflow.flow.parameterization import (
        Combined as Combined,
        Diagonal as Diagonal,
        DiagonalKeyQuery as DiagonalKeyQuery,
        KeyQuery as KeyQuery,
    )
    from marginflow.flow.trajectory import FlowStatus as FlowStatus, Trajectory as Trajectory
    from marginflow.svm.solution import Solution as Solution, SvmStatus as SvmStatus
    from marginflow.svm.solve import solve as solve, solve_many as solve_many

__version__ = "0.1.0"

_HOMES = {
    "solve": "marginflow.svm.solve",
    "solve_many": "marginflow.svm.solve",
    "Solution": "marginflow.svm.solution",
    "SvmStatus": "marginflow.svm.solution",
    "integrate": "marginflow.flow.integrate",
    "integrate_many": "marginflow.flow.integrate",
    "KeyQuery": "marginflow.flow.parameterization",
    "Combined": "marginflow.flow.parameterization",
    "DiagonalKeyQuery": "marginflow.flow.parameterization",
    "Diagonal": "marginflow.flow.parameterization",
    "diagnose": "marginflow.diagnostics.table",
    "Table": "marginflow.diagnostics.table",
    "Trajectory": "marginflow.flow.trajectory",
    "FlowStatus": "marginflow.flow.trajectory",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'marginflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
