"""Modules that moved in 0.2: the old name still imports, with a warning, until 0.3.

The rule: a public name that moves keeps its old address for one minor version (docs/architecture.md, "Habits").
"""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final


MOVED: Final = {
    "marginflow.whole": "marginflow.atomic_file",
    "marginflow.shown": "marginflow.notebook",
    "marginflow.attractors.balls": "marginflow.attractors.batched_norms",
    "marginflow.attractors.partial": "marginflow.attractors.inseparable",
    "marginflow.attractors.ends_met": "marginflow.attractors.sampled_ends",
    "marginflow.attractors.pairs": "marginflow.attractors.spectral",
    "marginflow.attractors.ends": "marginflow.claims.run_ends",
    "marginflow.attractors.rule": "marginflow.selection.rule",
    "marginflow.attractors.pictures": "marginflow.figures.attractors",
    "marginflow.report.subject": "marginflow.diagnostics.subject",
    "marginflow.model.loss": "marginflow.losses",
    "marginflow.report.figures": "marginflow.figures.runs",
    "marginflow.flow.descent": "marginflow.optim.descend",
    "marginflow.flow.abstract": "marginflow.model.parameterization",
    "marginflow.flow.parameterization": "marginflow.model.registry",
    "marginflow.flow.combined": "marginflow.model.combined",
    "marginflow.flow.key_query": "marginflow.model.key_query",
    "marginflow.flow.diagonal_key_query": "marginflow.model.diagonal_key_query",
    "marginflow.flow.tokens": "marginflow.model.logit_map",
    "marginflow.flow.force": "marginflow.model.force",
    "marginflow.flow.snapshots": "marginflow.trajectory.snapshots",
    "marginflow.flow.trajectory": "marginflow.trajectory.trajectory",
    "marginflow.flow.verdict": "marginflow.selection.judge",
    "marginflow.svm.stability": "marginflow.selection.stability",
    "marginflow.svm.optimal_margins": "marginflow.selection.optimal_margins",
    "marginflow.svm.capped": "marginflow.selection.factored_kkt",
    "marginflow.study.engine": "marginflow.study.engines.engine",
    "marginflow.study.processes": "marginflow.study.engines.processes",
    "marginflow.study.interrupts": "marginflow.study.engines.interrupts",
    "marginflow.study.cluster": "marginflow.study.engines.dask_cluster",
    "marginflow.study.shares": "marginflow.study.outcome.shares",
    "marginflow.study.summary": "marginflow.study.outcome.summary",
    "marginflow.study.export": "marginflow.study.outcome.export",
    "marginflow.study.diagram": "marginflow.study.page.diagram",
    "marginflow.study.curves": "marginflow.study.page.curves",
    "marginflow.study.schema": "marginflow.study.plan.schema",
    "marginflow.study.cell": "marginflow.study.plan.cell",
    "marginflow.study.code": "marginflow.code_version",
    "marginflow.study.plan.code_version": "marginflow.code_version",
    "marginflow.study.record": "marginflow.study.results.record",
    "marginflow.study.ledger": "marginflow.study.results.ledger",
    "marginflow.study.folder": "marginflow.study.results.folder",
    "marginflow.svm.l1": "marginflow.svm.diagonal.l1",
    "marginflow.svm.linf": "marginflow.svm.diagonal.linf",
    "marginflow.svm.lp": "marginflow.svm.diagonal.lp",
    "marginflow.svm.power_cone": "marginflow.svm.diagonal.power_cone",
    "marginflow.svm.path_following": "marginflow.svm.diagonal.path_following",
    "marginflow.svm.vertex": "marginflow.svm.diagonal.vertex",
    "marginflow.svm.split": "marginflow.svm.diagonal.positive_parts",
    "marginflow.svm.linear": "marginflow.svm.diagonal.linear_program",
    "marginflow.svm.goldfarb_idnani": "marginflow.svm.euclidean.goldfarb_idnani",
    "marginflow.svm.rank": "marginflow.svm.optimum.rank",
    "marginflow.svm.radius": "marginflow.svm.optimum.radius",
    "marginflow.svm.uniqueness": "marginflow.svm.optimum.uniqueness",
    "marginflow.svm.certificate": "marginflow.svm.proof.certificate",
    "marginflow.svm.rational": "marginflow.svm.proof.rational",
    "marginflow.svm.farkas": "marginflow.svm.proof.farkas",
    "marginflow.svm.separable": "marginflow.svm.proof.separable",
    "marginflow.svm.mend": "marginflow.svm.proof.lift_margins",
    "marginflow.svm.verdict": "marginflow.svm.proof.status",
    "marginflow.svm.verify": "marginflow.svm.referee.verify",
    "marginflow.svm.exact": "marginflow.svm.referee.exact",
    "marginflow.svm.presolve": "marginflow.svm.scaling.presolve",
    "marginflow.svm.rows": "marginflow.svm.scaling.unit_rows",
    "marginflow.svm.first_order": "marginflow.svm.spectral.first_order",
    "marginflow.svm.face_newton": "marginflow.svm.spectral.face_newton",
    "marginflow.svm.interior_point": "marginflow.svm.spectral.interior_point",
    "marginflow.svm.nuclear": "marginflow.svm.spectral.nuclear",
    "marginflow.svm.nuclear_interior": "marginflow.svm.spectral.nuclear_interior",
    "marginflow.svm.operator": "marginflow.svm.spectral.operator",
    "marginflow.svm.operator_interior": "marginflow.svm.spectral.operator_interior",
    "marginflow.svm.stacked": "marginflow.svm.spectral.stacked",
}
"""Old module, new module. Names that became folders are left out: their folder answers."""


class _Finder(MetaPathFinder, Loader):
    """Answers an import of an old name with the module under its new one."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = MOVED[spec.name]
        message = f"{spec.name} is now {new}; the old name goes with version 0.3"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        old = ModuleType(spec.name, message)
        old.__dict__.update({k: v for k, v in vars(import_module(new)).items() if not k.startswith("__")})
        return old

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: the names are there."""


def install() -> None:
    """Let old names import."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
