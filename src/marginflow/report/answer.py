"""The answer in sentences: what was reached, which SVM it met, with which certificate, what is not shown."""

from dataclasses import dataclass

import numpy as np

from marginflow.diagnose.ratio import final_ratio, weights_in
from marginflow.flow.trajectory import Trajectory
from marginflow.norms import parse_norm
from marginflow.report.columns import LN10
from marginflow.report.subject import Subject
from marginflow.report.wording import NORMS, WORDS, listing, number, plural


@dataclass(frozen=True)
class Answer:
    """Sentences about one problem.

    Attributes:
        title: the problem and its sizes.
        found: one verdict with its numbers per parameterisation: (word, outcome, sentences).
        contrast: the comparison of parameterisations, "" where there is none.
        limits: what the runs do not show.
    """

    title: str
    found: list[tuple[str, str, str]]
    contrast: str
    limits: list[str]


def answer(subject: Subject) -> Answer:
    """Everything that can be said of the runs on one problem."""
    p = subject.problem
    least, most = int(p.lengths.min()), int(p.lengths.max())
    tokens = str(least) if least == most else f"{least} to {most}"
    title = (
        f"{subject.title}: {plural(p.n, 'sample')} of {tokens} tokens, d = {p.d}, d_z = {p.d_z}, "
        f"{plural(len(subject.constraints), 'constraint')}"
    )
    found = []
    for word in subject.words:
        paths = subject.of(word)
        text = _one(paths[0], subject) if len(paths) == 1 else _many(paths, subject)
        found.append((word, _outcome(paths), text))
    return Answer(title, found, _contrast(subject), _limits(subject))


def over_margin(path: Trajectory, norm: str) -> float:
    """N(W) over the least margin at the last snapshot."""
    found = parse_norm(norm)
    return found.value(weights_in(found, path.W(-1))) / float(path.margin[-1])


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
        samples = f" Not on the optimal token: {noun} {listing(wrong.tolist())}." if len(wrong) else ""
        return f"{who}{verdict} {where}{samples} {_sentence(path.reason)}"
    return f"{who}{verdict} {where} {_met(path, subject)}"


def _met(path: Trajectory, subject: Subject) -> str:
    """Which SVM the run met: its norm over the margin beside the certified interval, and R."""
    norm = path.parameterization.norm
    name = NORMS[norm]["label"]
    value = over_margin(path, norm)
    solution = subject.solution(norm)
    if solution is None:
        found = subject.solutions[norm]
        return (
            f"Its {name} norm over the margin is {number(value, 7)}, "
            f"but the {name} SVM is {found.status.value}."
        )
    c = solution.certificate
    text = (
        f"Its {name} norm over the margin is {number(value, 8)}; the certified {name} SVM value lies in "
        f"[{number(c.lower, 10)}, {number(c.upper, 10)}], so the run is {_away(value, c.lower)} the least."
    )
    ratio = final_ratio(path)
    if np.isfinite(ratio):
        text += f" Its own weights prove at most {number(ratio - 1, 3)} (R − 1), whatever any solver says."
    return text


def _away(value: float, least: float) -> str:
    return f"{number(value / least - 1, 3)} (relative) above" if value > least else "within rounding of"


def _many(paths: list[Trajectory], subject: Subject) -> str:
    word = paths[0].parameterization.word
    norm = paths[0].parameterization.norm
    name = NORMS[norm]["label"]
    by = {
        status: [p for p in paths if p.status.name == status]
        for status in ("minimal_loss", "trapped", "undecided")
    }
    counts = ", ".join(
        f"{len(group)} {text}"
        for group, text in zip(
            by.values(),
            ("reach the minimal loss", "are trapped on a wrong token", "are undecided"),
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
        f"with a {name} norm over the margin from {number(values.min(), 6)} to {number(values.max(), 6)} "
        f"(median {number(float(np.median(values)), 6)})"
    )
    solution = subject.solution(norm)
    if solution is None:
        return f"{text}; the {name} SVM is {subject.solutions[norm].status.value}."
    c = solution.certificate
    worst = float(values.max() / c.lower - 1)
    return (
        f"{text}; the certified {name} SVM value lies in [{number(c.lower, 8)}, {number(c.upper, 8)}], "
        f"so the farthest of them is {number(worst, 3)} (relative) above the least."
    )


def _contrast(subject: Subject) -> str:
    """The abstract's contrast: norms over the margin of one parameterisation beside another's."""
    medians: dict[str, dict[str, float]] = {}
    for word in subject.words:
        reached = [p for p in subject.of(word) if p.status.name == "minimal_loss"]
        if reached:
            names = (
                list(subject.solutions) if reached[0].parameterization.diagonal else ["nuclear", "frobenius"]
            )
            medians[word] = {n: float(np.median([over_margin(p, n) for p in reached])) for n in names}
    parts = []
    for norm in subject.solutions:
        have = [(WORDS[w]["short"], v[norm]) for w, v in medians.items() if norm in v]
        if len(have) > 1:
            parts.append(
                f"{NORMS[norm]['label']} norm over margin "
                + ", ".join(f"{number(v, 5)} with {w}" for w, v in have)
            )
    return "On the same data: " + "; ".join(parts) + "." if parts else ""


def _limits(subject: Subject) -> list[str]:
    """What a reader must not conclude."""
    paths = subject.paths
    out = [
        "A finite run shows where it is, not where it ends: R − 1 above 0 bounds the distance left, "
        "and does not by itself tell slow from stuck.",
        "This is the gradient flow of one softmax layer with a fixed head, from these starts, on these data; "
        "nothing is said of stochastic or adaptive training, of other data or of other starts.",
    ]
    unsure = [
        NORMS[n]["label"]
        for n, s in subject.solutions.items()
        if subject.solution(n) and s.unique is not True
    ]
    if unsure:
        out.append(
            f"The {' and '.join(unsure)} SVM solution is not certified unique: "
            "values are compared, not directions."
        )
    stuck = [path for path in paths if path.status.name == "trapped"]
    if stuck:
        out.append(
            f"{plural(len(stuck), 'run')} did not reach the minimal loss: the claim is about runs that do, "
            "so no SVM of the optimal tokens is compared with them."
        )
    undecided = [path for path in paths if path.status.name == "undecided"]
    if undecided:
        out.append(
            f"{plural(len(undecided), 'run')} undecided: no conclusion is drawn; run to a larger margin."
        )
    if len(paths) == len(subject.words):
        out.append("One start per parameterisation: other seeds can be trapped or end elsewhere.")
    return out


def _start(path: Trajectory) -> str:
    return f"seed {path.seed}" if path.seed >= 0 else "from a given start"


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith(".") else text + "."
