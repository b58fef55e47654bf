"""The door of the room: every number about every snapshot of a run, as columns."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, frozen
from marginflow.diagnostics.alignment import alignment, distance_to_spaces, shared_spaces, subspace_angle
from marginflow.diagnostics.balance import balance, relative_drift
from marginflow.diagnostics.kkt import direct_residual, run_residual
from marginflow.diagnostics.ratio import DIAGONAL_NORMS, MATRIX_NORMS, certify_weights, least_margin, weights_in
from marginflow.diagnostics.spectrum import (
    attention_entropy,
    direction_errors,
    dual_spectrum,
    effective_rank,
    singular_values,
    stable_rank,
)
from marginflow.errors import InputError
from marginflow.model.parameterization import Arrays
from marginflow.norms import parse_norm
from marginflow.notebook import card, grid
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solution import Solution
from marginflow.trajectory.snapshot import Snapshot
from marginflow.trajectory.trajectory import Trajectory


RESOLVED_ANGLE: Final = 0.1
"""A singular direction counts as known when the integration error moves it by less than this (radians)."""

_SHOWN: Final = 5
"""Snapshots that a notebook shows, first and last among them."""


@dataclass(frozen=True, eq=False)
class Table:
    """One row per snapshot.

    Attributes:
        data: column name -> (S,) or (S, k) float64. nan where a number has no meaning at that snapshot.
        notes: (S,) why R is nan there, or "".
        warnings: what holds for the whole table, such as a direction that cannot be compared.
    """

    data: dict[str, Floats]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The column names, in order."""
        return tuple(self.data)

    def __getitem__(self, column: str) -> Floats:
        if column not in self.data:
            raise InputError(f"table: got column {column!r}; expected one of {', '.join(self.data)}")
        return self.data[column]

    def __len__(self) -> int:
        return len(self.notes)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each snapshot as a dictionary of Python numbers and lists, with its note."""
        for i, note in enumerate(self.notes):
            yield {name: column[i].tolist() for name, column in self.data.items()} | {"note": note}

    def to_dict(self) -> dict[str, Any]:
        """Columns as lists, for JSON."""
        return {name: column.tolist() for name, column in self.data.items()} | {
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }

    def __repr__(self) -> str:
        if not len(self):
            return "Table(no snapshots)"
        width = max(map(len, self.data))
        lines = [f"Table: {len(self)} snapshots, {len(self.data)} columns; first and last"]
        for name, column in self.data.items():
            lines.append(f"  {name:{width}}  {_short(column[0])}  {_short(column[-1])}")
        lines += [f"  note: {note}" for note in dict.fromkeys(filter(None, self.notes))]
        lines += [f"  {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        if not len(self):
            return card("Table", [("snapshots", "none")])
        at = sorted({round(k * (len(self) - 1) / (_SHOWN - 1)) for k in range(_SHOWN)})
        rows = [[name, *(_short(column[i]) for i in at)] for name, column in self.data.items()]
        notes = [*(f"note: {note}" for note in dict.fromkeys(filter(None, self.notes))), *self.warnings]
        title = f"Table: {len(self)} snapshots, {len(self.data)} columns"
        return grid(title, ["snapshot", *map(str, at)], rows, notes=notes)


def diagnose(path: Trajectory, solutions: Sequence[Solution] = ()) -> Table:
    """Everything about a run, from its weights, force and parameters; no solver is trusted.

    Columns (S snapshots; docs/theory.md in brackets):
        log_time, log_excess, margin: as the trajectory has them [3.1, 3.3].
        nuclear, frobenius, operator (diagonal models: l1, l2, linf): norms over the margin.
        R_<norm>, duality_<norm>, slack: the certificate ratio and its factors [3.4].
        negative_weights: force weights below 0; they count as 0 in R, which stays a bound.
        epsilon, delta: approximate KKT residuals of the factored problem [3.5].
        stationarity, complementarity: of the direct problem in the expected norm [3.5].
        conserved_drift, balance: of K'K - Q'Q [3.7]; nan for one matrix.
        alignment_force, alignment_inner, alignment_rates: defects, 0 when aligned [3.9].
        singular_values (S, k), resolved (S, k): 1 where the direction is known; effective_rank, stable_rank.
        rho (S, k): singular values of the force over the largest, the growth powers [5.2].
        attention_entropy: mean over samples, in nats.
    Where the least loss keeps several tokens of a row, R, residuals and what is beside a solution are about W less its
    finite part (theory 10), with free multipliers on the equalities.
    Of several heads norms, R, residuals, singular values and rho are those of the block-diagonal W and G; defects,
    drifts and angles those of the worst head.
    With each solution: value_ratio_<norm>, N(W)/m_min over the certified value; cos_<norm>, distance_<norm>
    and angle_<norm> (between the leading singular spaces) where the solution is unique, nan else;
    face_<norm>: the share of W outside the spaces that hold every optimum (nuclear norm).

    Raises:
        InputError: a solution of other dimensions, or one that is not optimal.
    """
    names = DIAGONAL_NORMS if path.parameterization.diagonal else MATRIX_NORMS
    rows: list[dict[str, Any]] = []
    notes = []
    for i in range(len(path)):
        seen = path.at(i)
        row, note = _certificate(seen, names)
        rows.append({**_basic(path, i), **row, **_residuals(seen, path.norm), **_structure(seen, path)})
        notes.append(note)
    warnings = []
    for solution in solutions:
        _fits(path, solution)
        if solution.unique is not True:
            warnings.append(
                f"the {solution.norm.name} optimum is not known to be unique: its value is compared, not its direction"
            )
        for i, row in enumerate(rows):
            row.update(_compared(path.at(i), solution))
    data = {name: frozen(np.array([row[name] for row in rows], dtype=np.float64)) for name in rows[0]}
    return Table(data, tuple(notes), tuple(warnings))


def _basic(path: Trajectory, i: int) -> dict[str, Any]:
    return {
        "log_time": path.log_time[i],
        "log_excess": path.log_excess[i],
        "margin": path.margin[i],
        "attention_entropy": attention_entropy(path.problem, path.at(i).W),
    }


def _certificate(seen: Snapshot, names: Sequence[str]) -> tuple[dict[str, Any], str]:
    W, margin, constraints = seen.separating, seen.margin, seen.constraints
    row: dict[str, Any] = {}
    note = ""
    for name in names:
        norm = parse_norm(name)
        found = certify_weights(W, seen.dual, constraints, norm)
        row[name] = norm.value(weights_in(norm, W)) / margin if margin > 0 else math.nan
        row[f"R_{name}"], row[f"duality_{name}"] = found.value, found.duality
        row["slack"], note = found.slack, found.reason
    raw = -seen.f[constraints.sample, constraints.token][~constraints.equal]
    row["negative_weights"] = float((raw < 0).sum())
    return row, note


def _residuals(seen: Snapshot, norm: str) -> dict[str, Any]:
    direct = direct_residual(seen.separating, seen.dual, seen.constraints, norm)
    factored = run_residual(seen)
    return {
        "epsilon": factored.epsilon,
        "delta": factored.delta,
        "stationarity": direct.stationarity,
        "complementarity": direct.complementarity,
    }


def _structure(seen: Snapshot, path: Trajectory) -> dict[str, Any]:
    W, G, heads, start = seen.W, seen.force_matrix, seen.per_head, path.at(0).per_head
    s = singular_values(W)
    error = path.rtol * float(s.max(initial=0.0))
    known = direction_errors(s, error, square=W.shape[-2] == W.shape[-1]) < RESOLVED_ANGLE
    pulled = singular_values(G)
    row: dict[str, Any] = {
        "singular_values": s,
        "resolved": known.astype(np.float64),
        "effective_rank": effective_rank(s),
        "stable_rank": stable_rank(s),
        "rho": pulled / pulled[0] if pulled[0] > 0 else pulled,
        "conserved_drift": math.nan,
        "balance": math.nan,
        "alignment_force": shared_spaces(W, G),
        "alignment_inner": math.nan,
        "alignment_rates": math.nan,
    }
    if list(heads[0]) in (["K", "Q"], ["k", "q"]):
        now, first = ([_pair(one) for one in each] for each in (heads, start))
        row["conserved_drift"] = max(relative_drift(a, b) for a, b in zip(first, now, strict=True))
        row["balance"] = balance(*seen.arrays.values())
        if now[0][0].ndim == 2:
            found = [alignment(K, Q, g) for (K, Q), g in zip(now, _blocks(G), strict=True)]
            row["alignment_inner"] = max(one.inner for one in found)
            row["alignment_rates"] = max(one.rates for one in found)
    return row


def _compared(seen: Snapshot, solution: Solution) -> dict[str, Any]:
    name, norm, W = solution.norm.name, solution.norm, seen.separating
    margin = least_margin(solution.constraints, W)
    out = dict.fromkeys((f"value_ratio_{name}", f"cos_{name}", f"distance_{name}", f"angle_{name}"), math.nan)
    if margin > 0:
        out[f"value_ratio_{name}"] = norm.value(weights_in(norm, W)) / margin / solution.value
    if solution.unique is True:
        size, best = float(np.linalg.norm(W)), float(np.linalg.norm(solution.W))
        out[f"cos_{name}"] = float((W * solution.W).sum()) / (size * best) if size else math.nan
        if margin > 0:
            out[f"distance_{name}"] = float(np.linalg.norm(W / margin - solution.W)) / best
        if solution.rank is not None:
            parts = solution.parts or (solution,)
            out[f"angle_{name}"] = max(_angle(w, part) for w, part in zip(_blocks(W), parts, strict=True))
    if name == "nuclear":
        size = float(np.linalg.norm(W))
        off = [_off_face(w, part) for w, part in zip(_blocks(W), solution.parts or (solution,), strict=True)]
        out["face_nuclear"] = math.hypot(*off) / size if size else 0.0
    return out


def _pair(arrays: Arrays) -> tuple[Floats, Floats]:
    first, second = arrays.values()
    return first, second


def _blocks(W: Floats) -> Floats:
    """(H, d, d_z) of one head too."""
    return W if W.ndim == 3 else W[None]


def _angle(W: Floats, solution: Solution) -> float:
    """The larger angle between the leading singular spaces of one head's W and those of its optimum."""
    left, _, right = np.linalg.svd(W)
    best_left, _, best_right = np.linalg.svd(solution.W)
    r = solution.rank
    return max(subspace_angle(best_left[:, :r], left[:, :r]), subspace_angle(best_right[:r].T, right[:r].T))


def _off_face(W: Floats, solution: Solution) -> float:
    """|.|_F of what one head's W has outside the spaces that hold every optimum."""
    face = dual_spectrum(solution.constraints.adjoint(solution.dual))
    r = face.support
    return distance_to_spaces(W, face.left[:, :r], face.right[:, :r]) * float(np.linalg.norm(W))


def _fits(path: Trajectory, solution: Solution) -> None:
    if solution.status is not SvmStatus.optimal:
        raise InputError(f"solution: got status {solution.status.name}; expected an optimal one")
    shape = path.at(0).W.shape
    if solution.W.shape != shape:
        raise InputError(f"solution: got W of shape {solution.W.shape}; expected {shape}")


def _short(value: Any) -> str:
    items = np.atleast_1d(value)
    return " ".join(f"{x:.6g}" for x in items[:4]) + (" ..." if len(items) > 4 else "")
