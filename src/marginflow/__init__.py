"""marginflow: which solution does training a softmax attention layer pick, and can we prove it?

Importing the package loads nothing; public names load their room on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from marginflow import moved
from marginflow.errors import InputError as InputError, UndefinedError as UndefinedError


if TYPE_CHECKING:
    from marginflow.audit.audit import Audit as Audit
    from marginflow.audit.run import audit as audit
    from marginflow.citation import cite as cite
    from marginflow.diagnostics.against_svm import against_svm as against_svm
    from marginflow.diagnostics.compare import Contrast as Contrast, compare as compare
    from marginflow.diagnostics.table import Table as Table, diagnose as diagnose
    from marginflow.extensions import register as register
    from marginflow.flow.integrate import integrate as integrate, integrate_many as integrate_many
    from marginflow.heads.head import Head as Head
    from marginflow.model.dense import AbstractDense as AbstractDense
    from marginflow.model.registry import (
        Combined as Combined,
        Diagonal as Diagonal,
        DiagonalKeyQuery as DiagonalKeyQuery,
        KeyQuery as KeyQuery,
    )
    from marginflow.optim.descend import descend as descend, descend_many as descend_many
    from marginflow.optimal_attention.find import faces as faces
    from marginflow.problem.constraints import Constraints as Constraints
    from marginflow.problem.faces import Faces as Faces
    from marginflow.problem.named import load as load
    from marginflow.problem.problem import Problem as Problem
    from marginflow.svm.proof.svm_status import SvmStatus as SvmStatus
    from marginflow.svm.solution import Solution as Solution
    from marginflow.svm.solve import solve as solve, solve_many as solve_many
    from marginflow.trajectory.runs import Runs as Runs
    from marginflow.trajectory.trajectory import Trajectory as Trajectory
    from marginflow.trajectory.verdict import FlowStatus as FlowStatus
    from marginflow.watch.record import Record as Record
    from marginflow.watch.recorder import Recorder as Recorder

__version__ = "0.2.0"

moved.install()

_HOMES = {
    "Problem": "marginflow.problem.problem",
    "Constraints": "marginflow.problem.constraints",
    "Faces": "marginflow.problem.faces",
    "faces": "marginflow.optimal_attention.find",
    "load": "marginflow.problem.named",
    "solve": "marginflow.svm.solve",
    "solve_many": "marginflow.svm.solve",
    "Solution": "marginflow.svm.solution",
    "SvmStatus": "marginflow.svm.proof.svm_status",
    "integrate": "marginflow.flow.integrate",
    "integrate_many": "marginflow.flow.integrate",
    "KeyQuery": "marginflow.model.registry",
    "Combined": "marginflow.model.registry",
    "DiagonalKeyQuery": "marginflow.model.registry",
    "Diagonal": "marginflow.model.registry",
    "AbstractDense": "marginflow.model.dense",
    "register": "marginflow.extensions",
    "descend": "marginflow.optim.descend",
    "descend_many": "marginflow.optim.descend",
    "against_svm": "marginflow.diagnostics.against_svm",
    "compare": "marginflow.diagnostics.compare",
    "Contrast": "marginflow.diagnostics.compare",
    "diagnose": "marginflow.diagnostics.table",
    "Table": "marginflow.diagnostics.table",
    "audit": "marginflow.audit.run",
    "Audit": "marginflow.audit.audit",
    "cite": "marginflow.citation",
    "Head": "marginflow.heads.head",
    "Runs": "marginflow.trajectory.runs",
    "Trajectory": "marginflow.trajectory.trajectory",
    "FlowStatus": "marginflow.trajectory.verdict",
    "Record": "marginflow.watch.record",
    "Recorder": "marginflow.watch.recorder",
}


_MODULES = {"losses": "marginflow.losses", "optim": "marginflow.optim"}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'marginflow' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
