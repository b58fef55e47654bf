"""The page's data: problems, certified SVMs and runs as plain JSON, small enough for a hundred seeds."""

import json
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.diagnostics.late_law import POWER_SENTENCE, LateLaw, late_law, spectrum_of
from marginflow.diagnostics.ratio import comparison, weights_in
from marginflow.diagnostics.spectrum import singular_values
from marginflow.diagnostics.subject import Subject
from marginflow.model.registry import PARAMETERIZATIONS
from marginflow.norms import parse_norm
from marginflow.problem.real import PATCH_CORNERS
from marginflow.report.columns import columns_of
from marginflow.report.command import label_of
from marginflow.report.detail import Budget, detail_of, plane_of
from marginflow.report.drawn import Drawn, drawn
from marginflow.report.heads import MOST, lines_of_heads, names_of_rows
from marginflow.report.images import images_of
from marginflow.report.packing import pack, plain
from marginflow.report.thresholds import thresholds_of
from marginflow.report.wording import ROUNDING, plural
from marginflow.svm.solution import Solution
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.trajectory import Trajectory


SNAPSHOTS: Final = 60
"""Snapshots drawn per run; a path with more is thinned evenly, first and last kept."""

SINGULAR_VALUES: Final = 24
"""Curves of singular values per run, the largest ones."""

CURVES: Final = 1_500_000
"""Characters for the curves of all runs; beyond, every run is thinned further."""

NAMES: Final = 600_000
"""Characters for the names of one problem's tokens; beyond, its tokens are numbered."""

DETAIL_NOTE: Final = (
    "Not stored for this run: its maps would make the file too large. Report it on its own to see them."
)


def snapshots_of(path: Trajectory, runs: int) -> Ints:
    """The snapshots that the page shows of one of `runs` runs."""
    per_snapshot = 4 * (16 + min(SINGULAR_VALUES, path.problem.d, path.problem.d_z)) * 4 // 3
    most = max(8, min(SNAPSHOTS, CURVES // (per_snapshot * runs)))
    count = len(path.log_time)
    return np.unique(np.linspace(0, count - 1, min(most, count)).round().astype(int))


def problem_data(subject: Subject) -> dict[str, Any]:
    """One problem: what its maps need, and its certified SVMs."""
    problem, kept, goal = subject.problem, subject.kept, subject.goal
    tokens = drawn(subject)
    place = np.searchsorted(kept, tokens.sample)
    images = images_of(problem)
    return {
        "label": subject.heading,
        "n": problem.n,
        "T": problem.T,
        "kept": len(kept),
        "samples": kept.tolist(),
        "faces": goal.keeps_faces,
        "optimal": goal.reference[kept].tolist(),
        "members": pack(goal.members[kept], "u1") if goal.keeps_faces else None,
        "lengths": (np.where(problem.mask[kept], np.arange(problem.T), -1).max(axis=1) + 1).tolist(),
        "mask": pack(problem.mask[kept], "u1"),
        "scores": pack(goal.shares[kept] if goal.keeps_faces else problem.scores[kept]),
        "sample": pack(place, "u2"),
        "token": pack(tokens.token, "u2"),
        "led": pack(tokens.led, "u1"),
        "starts": np.searchsorted(place, np.arange(len(kept) + 1)).tolist(),
        "images": None if images is None else pack(images.images[kept].reshape(len(kept), 64), "u1"),
        "digits": None if images is None else images.digits[kept].tolist(),
        "corners": PATCH_CORNERS,
        **_heads(subject),
        **_names(subject),
        "plane": pack(problem.X[kept].reshape(len(kept), -1)) if problem.d == 2 else None,
        "svm": {norm: _svm(norm, found, subject, tokens) for norm, found in subject.solutions.items()},
    }


def _heads(subject: Subject) -> dict[str, Any]:
    """For each head told of, by norm, the line of its SVM; None for one head."""
    H = subject.problem.counts[1]
    lines = {norm: lines_of_heads(subject.solution(norm)) for norm in subject.solutions}
    each = [{norm: found[h] for norm, found in lines.items() if found} for h in range(min(H, MOST))]
    more = f"{plural(H - MOST, 'more head')} not drawn." if H > MOST else ""
    return {"heads": each if H > 1 else None, "more_heads": more}


def _names(subject: Subject) -> dict[str, Any]:
    """Words and sample names of the samples kept, None where there are none or they are too long for the page."""
    problem, kept = subject.problem, subject.kept
    rows = names_of_rows(problem)
    words = None if problem.token_names is None else problem.token_names[kept].tolist()
    # Measured as the page holds them: a letter outside ASCII takes six characters there.
    fits = words is not None and len(json.dumps(words)) <= NAMES
    return {
        "words": words if fits else None,
        "words_note": "" if fits or words is None else "The tokens' names are left out, to keep the file small.",
        "called": None if rows is None else [rows[i] for i in kept],
    }


def _svm(norm: str, found: Solution, subject: Subject, tokens: Drawn) -> dict[str, Any]:
    """Bounds, multipliers and margins of one SVM, and the values of its norm at the other solutions."""
    certificate = found.certificate
    data: dict[str, Any] = {
        "status": found.status.name,
        "sentence": found.status.value,
        "lower": plain(certificate.lower),
        "upper": plain(certificate.upper),
        "gap": plain(certificate.gap),
        "least": f"least {rounding.text_down(certificate.lower, 5)}",
        "bounds": certificate.interval(8),
        "rank": None,
        "unique": None,
        "dual": None,
        "margins": None,
        "ray": None,
        "elsewhere": {},
    }
    if subject.solution(norm) is None:
        return data | {"upper": None}
    kept, c = subject.kept, found.constraints
    pulled = np.where(c.equal, 0.0, found.dual)
    data |= {
        "rank": found.rank,
        "unique": found.unique,
        "dual": pack(tokens.of(c, pulled / (pulled.sum() or 1.0))),
        "margins": pack(tokens.of(c, c.margins(found.W))),
        "ray": pack(subject.problem.z[kept] @ found.W.T) if subject.problem.d == 2 and not found.parts else None,
    }
    for other in subject.solutions:
        solution = subject.solution(other)
        if other != norm and solution is not None and (solution.norm.diagonal or not found.norm.diagonal):
            data["elsewhere"][other] = plain(found.norm.value(weights_in(found.norm, solution.W)))
    return data


def run_data(
    path: Trajectory, subject: Subject, *, index: int, problem: int, runs: int, budget: Budget
) -> dict[str, Any]:
    """One run: its columns, its singular values, and its maps where the budget allows."""
    at = snapshots_of(path, runs)
    own = subject.solution(path.norm)
    law = late_law(path, own)
    columns = columns_of(path, subject, law, at)
    detail = detail_of(path, subject, at, budget)
    plane = plane_of(path, subject, at, budget)
    return {
        "index": index,
        "problem": problem,
        "label": label_of(path, subject),
        "word": path.parameterization.word,
        "steps": not path.method.is_flow,
        "rule": str(path.method.options.get("optimizer", "")),
        "method": path.method.label,
        "thresholds": thresholds_of(path),
        "norm": path.norm,
        "norms": subject.norms_of(path),
        "seed": path.seed if path.seed >= 0 else None,
        "status": path.status.name,
        "word_of_status": status_words(path),
        "interrupted": path.ended is Ended.interrupted,
        "snapshots": len(at),
        "snapshots_saved": len(path.log_time),
        "final": final_data(path, subject),
        "columns": {name: pack(values) for name, values in columns.items()},
        "singular": pack(_singular(path, at)),
        "rank": None if law is None or own is None else own.rank,
        "detail": detail,
        "detail_note": "" if detail else DETAIL_NOTE,
        "plane": plane,
        "no_law": "" if law is not None else _why_no_law(path, own),
        **_law_data(law, own),
    }


def status_words(path: Trajectory) -> str:
    """The verdict in two words, and that the run was interrupted: for tables, lists and legends."""
    return path.status.name.replace("_", " ") + (", interrupted" if path.ended is Ended.interrupted else "")


def final_data(path: Trajectory, subject: Subject) -> dict[str, Any]:
    """The last snapshot in full precision: the numbers of the sentences and of the table of runs.

    `norm_over_margin` and `ratio` of a run on tokens or faces of its own are those of them (`own_selection`).
    """
    norm, seen = path.norm, comparison(path)
    return {
        "log_time": plain(float(path.log_time[-1])),
        "log_excess": plain(float(path.log_excess[-1])),
        "margin": plain(float(path.margin[-1])),
        "norm_over_margin": plain(seen.norm_over_lead(norm)),
        "ratio": plain(seen.ratio(norm)),
        "own_selection": seen.own,
        "whose": seen.whose,
        "own_least": _own_least(path, subject) if seen.own else None,
        "own_heads": lines_of_heads(subject.compared(path)) if seen.own else [],
    }


def _own_least(path: Trajectory, subject: Subject) -> dict[str, Any] | None:
    """The certified lower bound of the SVM of the tokens that a trapped run is on, in its own norm, and its name."""
    solution = subject.compared(path)
    if solution is None or solution.status.name != "optimal":
        return None
    least = solution.certificate.lower
    return {"value": float(least), "name": f"least {rounding.text_down(least, 5)}"}


def _singular(path: Trajectory, at: Ints) -> Floats:
    """(S, r) the largest singular values over the margin, or themselves where the run never separates.

    Of W less the part that stays finite.
    """
    out = []
    for i in at:
        W = path.at(int(i)).separating
        if not np.isfinite(W).all():
            out.append(np.full(min(SINGULAR_VALUES, min(W.shape[-2:]) * math.prod(W.shape[:-2])), math.nan))
            continue
        s = singular_values(W)[:SINGULAR_VALUES]
        margin = float(path.margin[i])
        if path.margin[-1] > 0:
            s = s / margin if margin > 0 else np.full(len(s), math.nan)
        out.append(s)
    return np.array(out)


def _law_data(law: LateLaw | None, own: Solution | None) -> dict[str, Any]:
    if law is None or own is None:
        return {"law": None, "power": None, "power_source": "", "spectrum_power": None, "spectrum_note": ""}
    support = sum(spectrum_of(part).support for part in own.parts or (own,))
    ambiguous = own.rank is not None and support > own.rank
    return {
        "law": law.text,
        "power": law.power,
        "power_source": law.power_source,
        "spectrum_power": None
        if ambiguous or own.rank == min(own.W.shape[-2:]) * len(own.parts or (own,))
        else law.off_support,
        "spectrum_note": (
            f"The dual allows {support} directions where the solution found has rank {own.rank}: "
            "no pace is predicted for the others."
            if ambiguous
            else ""
        ),
    }


def _why_no_law(path: Trajectory, own: Solution | None) -> str:
    """The one reason why no late law is drawn of a run."""
    if path.status.name != "minimal_loss":
        return f"it is {status_words(path)}"
    if not path.method.is_flow:
        return "its steps have no time"
    if own is None:
        return f"its {parse_norm(path.norm).label} SVM has no certified value"
    if path.parameterization.too_narrow(path.problem.d, path.problem.d_z, own.rank):
        return f"its weights are narrower than the solution of the {parse_norm(path.norm).label} SVM"
    return "no law is known for what is trained"


def page_data(subjects: list[Subject], runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Everything that the page's scripts read."""
    return {
        "words": words_of(subjects),
        "powerSentence": POWER_SENTENCE,
        "rounding": ROUNDING,
        "norms": {norm: {"label": parse_norm(norm).label} for s in subjects for norm in s.solutions},
        "problems": [problem_data(subject) for subject in subjects],
        "runs": runs,
    }


def words_of(subjects: Sequence[Subject]) -> dict[str, dict[str, str]]:
    """The parameterisations on the page, by their word and in its order: symbols, norm, description."""
    found = {word: subject.of(word)[0].parameterization for subject in subjects for word in subject.words}
    order = [*(word for word in PARAMETERIZATIONS if word in found), *found]
    return {
        word: {"short": found[word].label, "norm": found[word].flow_norm, "long": found[word].description}
        for word in order
    }
