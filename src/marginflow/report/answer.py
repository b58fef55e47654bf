"""The answer in sentences: what was reached, which SVM it met, with which certificate, what is not shown."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.diagnostics.ratio import final_ratio, weights_in
from marginflow.norms import parse_norm
from marginflow.report.columns import LN10
from marginflow.report.subject import Subject
from marginflow.report.wording import NORMS, WORDS, listing, number, plural
from marginflow.svm.solution import Solution
from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class Answer:
    """Sentences and numbers about one problem.

    Attributes:
        title: the problem.
        sizes: how large it is.
        found: one verdict with its numbers per parameterisation: (word, outcome, sentences).
        columns: the norms of `contrast`.
        contrast: per parameterisation that reached the minimal loss, each norm over the margin at the end
            (the median over its runs), None where the norm is not one of its weights.
        certified: the SVM value of each norm, None where it is not certified.
        limits: what the runs on this problem do not show, beyond what no run shows.
    """

    title: str
    sizes: str
    found: list[tuple[str, str, str]]
    columns: list[str]
    contrast: list[tuple[str, list[float | None]]]
    certified: list[float | None]
    limits: list[str]


LIMITS: Final = (
    "A finite run shows where it is, not where it ends: R − 1 bounds the distance left, and does not by "
    "itself tell slow from stuck.",
    "This is the gradient flow of one softmax layer with a fixed head, from these starts, on these data; "
    "nothing is said of stochastic or adaptive training, of other data or of other starts.",
    "Small ε, δ and drift are no evidence for the least norm; only the certified values and R are.",
)
"""What no report shows."""


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
    for word in subject.words:
        paths = subject.of(word)
        text = _one(paths[0], subject) if len(paths) == 1 else _many(paths, subject)
        found.append((word, _outcome(paths), text))
    solutions = [subject.solution(norm) for norm in subject.solutions]
    return Answer(
        title=subject.title,
        sizes=sizes,
        found=found,
        columns=list(subject.solutions),
        contrast=_contrast(subject),
        certified=[None if found is None else found.certificate.upper for found in solutions],
        limits=_limits(subject),
    )


def over_margin(path: Trajectory, norm: str) -> float:
    """N(W) over the least margin of W itself at the last snapshot: never below the certified SVM value.

    `path.margin` comes from the logits that the integrator carries; it differs from the margin of W by the
    integration error (1e-7 or so), which is more than R - 1 where a run has met its SVM.
    """
    found = parse_norm(norm)
    W = weights_in(found, path.W(-1))
    return found.value(W) / float(path.problem.constraints().margins(W).min())


def _outcome(paths: list[Trajectory]) -> str:
    statuses = {path.status.name for path in paths}
    return statuses.pop() if len(statuses) == 1 else "mixed"


def _one(path: Trajectory, subject: Subject) -> str:
    word = path.parameterization.word
    who = f"With {WORDS[word]['long']} ({_start(path)}): "
    verdict = path.status.value[0].lower() + path.status.value[1:]
    where = (
        f"The run ends at log₁₀ t = {number(float(path.log_time[-1]) / LN10)} "
        f"with least margin {number(float(path.margin[-1]))}."
    )
    if path.status.name != "minimal_loss":
        wrong = np.flatnonzero(path.selected(-1) != path.problem.optimal)
        noun = "sample" if len(wrong) == 1 else "samples"
        named = [_sample(path, subject, int(i)) for i in wrong]
        samples = f" Not on the optimal token: {noun} {listing(named)}." if len(wrong) else ""
        return f"{who}{verdict} {where}{samples} {_sentence(path.reason)}"
    return f"{who}{verdict} {where} {_met(path, subject)}"


def _sample(path: Trajectory, subject: Subject, i: int) -> str:
    """The number of a sample that is not on its optimal token, with the two words where tokens have names."""
    names = subject.problem.token_names
    if names is None:
        return f"{i}"
    return f"{i} (on “{names[i, path.selected(-1)[i]]}”, not “{names[i, subject.problem.optimal[i]]}”)"


def _met(path: Trajectory, subject: Subject) -> str:
    """Which SVM the run met: its norm over the margin beside the certified interval, and R."""
    norm = path.norm
    name = NORMS[norm]["label"]
    value = over_margin(path, norm)
    solution = subject.solution(norm)
    if solution is None:
        found = subject.solutions[norm]
        return f"Its {name} norm over the margin is {number(value, 7)}, but the {name} SVM is {found.status.value}."
    text = (
        f"Its {name} norm over the margin is {number(value, 8)}, {_away(value, solution.certificate.lower)} "
        f"the certified {name} SVM value {_bounds(solution)}."
    )
    ratio = final_ratio(path)
    if np.isfinite(ratio):
        text += f" Its own weights prove at most {number(ratio - 1, 3)} (R − 1), whatever any solver says."
    return text


def _away(value: float, least: float) -> str:
    excess = value / least - 1
    # The norm of W and the margin carry rounding errors of their own: smaller differences mean nothing.
    return f"a relative {number(excess, 3)} above" if excess > 1e-12 else "equal up to rounding to"


def _bounds(solution: Solution) -> str:
    c = solution.certificate
    return f"{number(c.upper, 8)} (its bounds agree to {number(c.gap, 2)})"


def _many(paths: list[Trajectory], subject: Subject) -> str:
    word = paths[0].parameterization.word
    norm = paths[0].norm
    name = NORMS[norm]["label"]
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
    text = f"Of {len(paths)} runs with {WORDS[word]['long']}, {counts}."
    reached = by["minimal_loss"]
    if not reached:
        return f"{text} None can be compared with the SVM of the optimal tokens."
    values = np.array([over_margin(p, norm) for p in reached])
    times = np.array([float(p.log_time[-1]) for p in reached]) / LN10
    text += (
        f" Those that reach it end at log₁₀ t from {number(times.min(), 3)} to {number(times.max(), 3)} "
        f"with {name} norm over the margin from {number(values.min(), 6)} to {number(values.max(), 6)} "
        f"(median {number(float(np.median(values)), 6)})"
    )
    solution = subject.solution(norm)
    if solution is None:
        return f"{text}; the {name} SVM is {subject.solutions[norm].status.value}."
    worst = float(values.max() / solution.certificate.lower - 1)
    return (
        f"{text}; the certified {name} SVM value is {_bounds(solution)}, "
        f"so the farthest is a relative {number(worst, 3)} above the least."
    )


def _contrast(subject: Subject) -> list[tuple[str, list[float | None]]]:
    """The abstract's contrast: each norm over the margin, one parameterisation under another."""
    rows = []
    for word in subject.words:
        reached = [path for path in subject.of(word) if path.status.name == "minimal_loss"]
        if not reached:
            continue
        mine = list(subject.solutions) if reached[0].parameterization.diagonal else ["nuclear", "frobenius"]
        medians = [
            float(np.median([over_margin(path, norm) for path in reached])) if norm in mine else None
            for norm in subject.solutions
        ]
        rows.append((word, medians))
    return rows


def _limits(subject: Subject) -> list[str]:
    """What a reader must not conclude."""
    paths = subject.paths
    out = []
    unsure = [NORMS[n]["label"] for n, s in subject.solutions.items() if subject.solution(n) and s.unique is not True]
    if unsure:
        out.append(
            f"The {' and '.join(unsure)} SVM solution is not certified unique: values are compared, not directions."
        )
    hopeless = [NORMS[n]["label"] for n, s in subject.solutions.items() if s.status.name == "infeasible"]
    if hopeless:
        out.append(
            f"The {' and '.join(hopeless)} SVM is infeasible, with proof: no weights put every optimal token on "
            "top, so no run of that kind can reach the minimal loss."
        )
    stuck = [path for path in paths if path.status.name == "trapped"]
    if stuck:
        out.append(
            f"{plural(len(stuck), 'run')} did not reach the minimal loss: the claim is about runs that do, "
            f"so no SVM of the optimal tokens is compared with {'it' if len(stuck) == 1 else 'them'}."
        )
    undecided = [path for path in paths if path.status.name == "undecided"]
    if undecided:
        out.append(f"{plural(len(undecided), 'run')} undecided: no conclusion is drawn; run to a larger margin.")
    if len(paths) == len(subject.words):
        out.append("One start per parameterisation: other seeds can be trapped or end elsewhere.")
    return out


def _start(path: Trajectory) -> str:
    return f"seed {path.seed}" if path.seed >= 0 else "from a given start"


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if not text or text.endswith(".") else ".")
