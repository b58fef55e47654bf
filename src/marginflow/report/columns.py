"""The numbers of a run, one per snapshot, that the curves of the page are drawn from."""

import math

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.diagnostics.alignment import shared_spaces
from marginflow.diagnostics.balance import relative_drift
from marginflow.diagnostics.kkt import run_residual
from marginflow.diagnostics.late_law import LateLaw
from marginflow.diagnostics.ratio import comparison, least_margin, over_margin, ratio, weights_in
from marginflow.diagnostics.subject import Subject
from marginflow.model.parameterization import Arrays
from marginflow.norms import parse_norm
from marginflow.report.heads import columns_of_heads
from marginflow.trajectory.snapshot import Snapshot
from marginflow.trajectory.trajectory import Trajectory


LN10 = math.log(10.0)


def columns_of(path: Trajectory, subject: Subject, law: LateLaw | None, at: Ints) -> dict[str, Floats]:
    """Every column at the snapshots `at`, by the name that the page's scripts use; nan where undefined.

    The numbers are those of `diagnose`; only what is drawn is computed, at the snapshots drawn, which takes a
    fifth of the time where there are a hundred seeds.
    """
    names = subject.norms_of(path)
    first = path.at(0).per_head
    rows = [_row(path.at(int(i)), names, first) for i in at]
    done = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    done["log10_time"] = path.log_time[at] / LN10
    done["iteration"] = path.iteration[at].astype(float)
    done["margin"] = path.margin[at]
    done["log10_excess"] = path.log_excess[at] / LN10
    done |= columns_of_heads(path, names, at)
    if comparison(path).own:
        done |= _own(path, names, at)
    if law is not None:
        done["law"] = law.log_excess[at] / LN10
        with np.errstate(over="ignore", invalid="ignore"):
            done["law_ratio"] = np.exp(path.log_excess[at] - law.log_excess[at])
    return done


def _row(seen: Snapshot, names: list[str], first: list[Arrays]) -> dict[str, float]:
    """The numbers of one snapshot; all nan where its weights or its force are not finite."""
    keys = [*(f"{kind}_{name}" for kind in ("gap", "norm") for name in names), "epsilon", "delta", "alignment", "drift"]
    W, dual, margin = seen.separating, seen.dual, seen.margin
    if not (np.isfinite(W).all() and np.isfinite(dual).all()):
        return dict.fromkeys(keys, math.nan)
    row = {}
    for name in names:
        norm = parse_norm(name)
        shaped = weights_in(norm, W)
        row[f"gap_{name}"] = ratio(shaped, dual, seen.constraints, norm) - 1.0
        row[f"norm_{name}"] = norm.value(shaped) / margin if margin > 0 else math.nan
    residual = run_residual(seen)
    aligned = math.nan if seen.parameterization.diagonal else shared_spaces(seen.W, seen.force_matrix)
    return row | {
        "epsilon": residual.epsilon,
        "delta": residual.delta,
        "alignment": aligned,
        "drift": max(_drift(a, b) for a, b in zip(first, seen.per_head, strict=True)),
    }


def _own(path: Trajectory, names: list[str], at: Ints) -> dict[str, Floats]:
    """Of a run on tokens or faces of its own: their lead over worse tokens, and norms over it; nan where not > 0."""
    end = comparison(path)
    W = [end.growing(path.W(int(i))) for i in at]
    lead = np.array([least_margin(end.constraints, one) for one in W])
    values = {
        f"own_{name}": np.array([over_margin(parse_norm(name), one, m) for one, m in zip(W, lead, strict=True)])
        for name in names
    }
    return {"lead": lead, **values}


def leads(path: Trajectory, i: int) -> Floats:
    """(n, T) the reference token's logit minus each token's, from the carried logits, exact late too."""
    s = path.snapshots
    rows, top = np.arange(path.problem.n), path.goal.reference
    high, low = s.high[i], s.low[i]
    return np.asarray((high[rows, top][:, None] - high) + (low[rows, top][:, None] - low))


def _drift(first: Arrays, now: Arrays) -> float:
    if len(now) != 2:
        return math.nan
    (a, b), (c, d) = first.values(), now.values()
    return relative_drift((a, b), (c, d))
