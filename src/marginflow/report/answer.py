"""The answer in sentences: what was reached, which SVM it met, with which certificate, what is not shown."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.diagnostics.face_words import face_sentences
from marginflow.diagnostics.on_faces import on_faces
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject
from marginflow.norms import parse_norm
from marginflow.report.columns import LN10
from marginflow.report.faces import sentence_of_faces
from marginflow.report.heads import sentence_of_heads
from marginflow.report.wording import ROUNDING, how, listing, number, plural
from marginflow.svm.solution import Solution
from marginflow.trajectory.ended import Ended
from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class Row:
    """Norms over the margin of the runs of one parameterisation made in one way.

    Attributes:
        word: of the parameterisation.
        how: what made them, where that is not the flow.
        predicted: the norm that they are predicted to minimise; None for none.
        values: the medians, in the order of `Answer.columns`.
    """

    word: str
    how: str
    predicted: str | None
    values: list[float | None]


@dataclass(frozen=True)
class Answer:
    """Sentences and numbers about one problem.

    Attributes:
        title: the problem in words.
        spec: its name, where that says more.
        sizes: how large it is.
        found: one verdict with its numbers per parameterisation: (word, outcome, sentences).
        columns: the norms of `contrast`.
        contrast: per parameterisation that reached the minimal loss, each norm over the margin at the end
            (the median over its runs), None where the norm is not one of its weights.
        certified: the SVM value of each norm, None where it is not certified.
        limits: what the runs on this problem do not show, beyond what no run shows.
    """

    title: str
    spec: str
    sizes: str
    found: list[tuple[str, str, str]]
    columns: list[str]
    contrast: list[Row]
    certified: list[float | None]
    limits: list[str]


LIMITS: Final = (
    "A finite run shows where it is, not where it ends: R − 1 bounds the distance left, and does not by "
    "itself tell slow from stuck.",
    "Small ε, δ and drift are no evidence for the least norm; only the certified values and R are.",
)
"""What no report shows."""

FLOW_LIMIT: Final = (
    "This is the gradient flow of one softmax layer with a fixed head, from these starts, on these data; "
    "nothing is said of stochastic or adaptive training, of other data or of other starts."
)
STEPS_LIMIT: Final = (
    "Runs of steps are of these rules and rates, on one softmax layer with a fixed head, from these starts, on these "
    "data. That one stays where it is said to end was observed in its snapshots; theorems here are of the flow."
)
"""Of flows, and of runs by other steps."""


def answer(subject: Subject) -> Answer:
    """Everything that can be said of the runs on one problem."""
    p = subject.problem
    least, most = int(p.lengths.min()), int(p.lengths.max())
    tokens = str(least) if least == most else f"{least} to {most}"
    sizes = (
        f"{plural(p.n, 'sample')} of {tokens} tokens, token dimension {p.d}, query dimension {p.d_z}, "
        f"{plural(len(subject.constraints), 'constraint')}"
    )
    found = []
    for paths in subject.groups:
        text = _one(paths[0], subject) if len(paths) == 1 else _many(paths, subject)
        found.append((paths[0].parameterization.word, _outcome(paths), text))
    solutions = [subject.solution(norm) for norm in subject.solutions]
    return Answer(
        title=subject.heading,
        spec="" if subject.heading == subject.title else subject.title,
        sizes=sizes,
        found=found,
        columns=list(subject.solutions),
        contrast=_contrast(subject),
        certified=[None if found is None else found.certificate.upper for found in solutions],
        limits=_limits(subject),
    )


def _outcome(paths: list[Trajectory]) -> str:
    statuses = {path.status.name for path in paths}
    return statuses.pop() if len(statuses) == 1 else "mixed"


def _one(path: Trajectory, subject: Subject) -> str:
    who = f"With {path.parameterization.description}{how(path)} ({_start(path)}): "
    said = path.verdict.sentence
    verdict = said[0].lower() + said[1:]
    stopped = "was interrupted" if path.ended is Ended.interrupted else "ends"
    when = f"at log₁₀ t = {number(float(path.log_time[-1]) / LN10)}" if path.method.is_flow else _after([path])
    where = f"The run {stopped} {when} with least margin {number(float(path.margin[-1]))}."
    parts = [f"{who}{verdict} {where}", sentence_of_faces(path)]
    if path.status.name != "minimal_loss":
        parts += [_unsettled(path, subject), _sentence(path.reason)]
    if path.status.name != "undecided" or on_faces(path) is not None:
        parts.append(_met(path, subject))
    parts.append(sentence_of_heads(path, subject))
    return " ".join(part for part in parts if part)


def _unsettled(path: Trajectory, subject: Subject) -> str:
    """Which samples are not on their optimal token, unless the reason of the verdict says just that."""
    if path.goal.keeps_faces:
        return ""
    wrong = np.flatnonzero(path.selected(-1) != path.problem.optimal)
    named = subject.problem.token_names is not None
    if not len(wrong) or (not named and tuple(int(i) for i in wrong) == tuple(i for i, _ in path.verdict.wrong)):
        return ""
    noun = "sample" if len(wrong) == 1 else "samples"
    return f"Not on the optimal token: {noun} {listing([_sample(path, subject, int(i)) for i in wrong])}."


def _sample(path: Trajectory, subject: Subject, i: int) -> str:
    """The number of a sample that is not on its optimal token, with the two words where tokens have names."""
    names = subject.problem.token_names
    if names is None:
        return f"{i}"
    return f"{i} (on “{names[i, path.selected(-1)[i]]}”, not “{names[i, subject.problem.optimal[i]]}”)"


def _met(path: Trajectory, subject: Subject) -> str:
    """Which SVM the run met: its norm over the margin beside the certified interval, and R."""
    norm = parse_norm(path.norm)
    seen = comparison(path)
    value, found = seen.norm_over_lead(norm), subject.compared(path)
    over, which = "the margin", f"{norm.label} SVM"
    if subject.goal.keeps_faces:
        over, which = f"the lead of {seen.whose}", f"{norm.label} SVM of {seen.whose}"
    elif seen.own:
        over = "its lead over worse tokens"
        which = f"{norm.label} SVM of its own tokens (--select {','.join(map(str, seen.selection))})"
    if found is None or found.status.name != "optimal":
        why = "was not solved" if found is None else f"is {found.status.value}"
        return f"Its {norm.label} norm over {over} is {number(value, 7)}, but the {which} {why}."
    plain = not (seen.own or subject.goal.keeps_faces)
    certified = f"certified {norm.label} SVM value" if plain else f"certified value of the {which},"
    text = (
        f"Its {norm.label} norm over {over} is {number(value, 8)}, {_away(value, found.certificate.lower)} "
        f"the {certified} {_bounds(found)}."
    )
    ratio = seen.ratio(norm)
    if np.isfinite(ratio):
        text += f" Its own weights prove at most {rounding.text_up(ratio - 1, 3)} (R − 1), whatever any solver says."
    return text


def _away(value: float, least: float) -> str:
    excess = value / least - 1
    return f"a relative {number(excess, 3)} above" if excess > ROUNDING else "equal up to rounding to"


def _bounds(solution: Solution) -> str:
    c = solution.certificate
    return f"in {c.interval(8)}"


def _many(paths: list[Trajectory], subject: Subject) -> str:
    norm = parse_norm(paths[0].norm)
    by = {status: [p for p in paths if p.status.name == status] for status in ("minimal_loss", "trapped", "undecided")}
    counts = ", ".join(
        f"{len(group)} {one if len(group) == 1 else more} {text}"
        for group, (one, more, text) in zip(
            by.values(),
            (
                ("reaches", "reach", "the minimal loss"),
                ("is", "are", "trapped on a wrong token"),
                ("is", "are", "undecided"),
            ),
            strict=True,
        )
        if group
    )
    text = f"Of {len(paths)} runs with {paths[0].parameterization.description}{how(paths[0])}, {counts}."
    cut = sum(path.ended is Ended.interrupted for path in paths)
    if cut:
        text += f" {plural(cut, 'run')} {'was' if cut == 1 else 'were'} interrupted."
    if subject.goal.keeps_faces:
        return " ".join([text, *face_sentences(paths[0].parameterization.label, [(subject, path) for path in paths])])
    reached = by["minimal_loss"]
    if not reached:
        return f"{text} None can be compared with the SVM of the optimal tokens."
    if len(reached) == 1:
        return f"{text} The one that reaches it ({_start(reached[0])}): {_met(reached[0], subject)}"
    values = np.array([comparison(p).norm_over_lead(norm) for p in reached])
    times = np.array([float(p.log_time[-1]) for p in reached]) / LN10
    when = f"at log₁₀ t {_span(times, 3, equal='= ')}" if reached[0].method.is_flow else _after(reached)
    text += f" Those that reach it end {when} with {norm.label} norm over the margin {_span(values, 6, median=True)}"
    solution = subject.solution(norm.name)
    if solution is None:
        return f"{text}; the {norm.label} SVM is {subject.solutions[norm.name].status.value}."
    worst = float(values.max() / solution.certificate.lower - 1)
    far = f"a relative {number(worst, 3)} above the least" if worst > ROUNDING else "equal to the least up to rounding"
    return f"{text}; the certified {norm.label} SVM value is {_bounds(solution)}, so the farthest is {far}."


def _after(paths: list[Trajectory]) -> str:
    """When runs of steps end."""
    return f"after {_span(np.array([float(path.steps) for path in paths]), 6)} steps"


def _span(values: Floats, digits: int, *, equal: str = "", median: bool = False) -> str:
    """The range of several numbers, with their median; the one number where `digits` do not tell them apart."""
    low, middle, high = (number(float(f(values)), digits) for f in (np.min, np.median, np.max))
    if low == high:
        return f"{equal}{low}"
    return f"from {low} to {high}" + (f" (median {middle})" if median else "")


def _contrast(subject: Subject) -> list[Row]:
    """The abstract's contrast: each norm over the margin, one parameterisation under another."""
    rows = []
    for paths in subject.groups:
        reached = [path for path in paths if path.status.name == "minimal_loss"]
        if not reached:
            continue
        mine = subject.norms_of(reached[0])
        medians = [
            float(np.median([comparison(path).norm_over_lead(norm) for path in reached])) if norm in mine else None
            for norm in subject.solutions
        ]
        first = reached[0]
        rows.append(Row(first.parameterization.word, how(first), first.method.norm, medians))
    return rows


def _limits(subject: Subject) -> list[str]:
    """What a reader must not conclude."""
    paths = subject.paths
    out = [FLOW_LIMIT] if any(path.method.is_flow for path in paths) else []
    out += [STEPS_LIMIT] if not all(path.method.is_flow for path in paths) else []
    unsure = [parse_norm(n).label for n, s in subject.solutions.items() if subject.solution(n) and s.unique is not True]
    if unsure:
        out.append(
            f"The {' and '.join(unsure)} SVM solution is not certified unique: values are compared, not directions."
        )
    hopeless = [parse_norm(n).label for n, s in subject.solutions.items() if s.status.name == "infeasible"]
    if hopeless:
        out.append(
            f"The {' and '.join(hopeless)} SVM is infeasible, with proof: no weights put {subject.goal.words} on "
            "top, so no run of that kind can reach the minimal loss."
        )
    stuck = [path for path in paths if path.status.name == "trapped"]
    if stuck:
        one = len(stuck) == 1
        out.append(
            f"{plural(len(stuck), 'run')} did not reach the minimal loss: the claim is about runs that do, so "
            f"{'it is' if one else 'they are'} compared with the SVM of {'its' if one else 'their'} own tokens only."
        )
    cut = [path for path in paths if path.ended is Ended.interrupted]
    if cut:
        out.append(
            f"{plural(len(cut), 'run')} {'was' if len(cut) == 1 else 'were'} interrupted: what is shown is where "
            f"{'it' if len(cut) == 1 else 'they'} stood then, not where {'it' if len(cut) == 1 else 'they'} would end."
        )
    undecided = [path for path in paths if path.status.name == "undecided" and on_faces(path) is None]
    if undecided:
        out.append(f"{plural(len(undecided), 'run')} undecided: no conclusion is drawn; run to a larger margin.")
    standing = [path for path in paths if path.status.name == "undecided" and on_faces(path) is not None]
    if standing:
        out.append(
            f"{plural(len(standing), 'run')} undecided on faces: which they are is measured where it ends; that "
            "attention stays there is not proved, whatever the margin."
        )
    if len(paths) == len(subject.words):
        out.append("One start per parameterisation: other seeds can be trapped or end elsewhere.")
    return out


def _start(path: Trajectory) -> str:
    return f"seed {path.seed}" if path.seed >= 0 else "from a given start"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")
