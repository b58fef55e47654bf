"""The HTML file: template, style, scripts and data in one, with nothing to load from anywhere."""

import html
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from marginflow.diagnostics.headline import headline
from marginflow.diagnostics.subject import Subject
from marginflow.pages.kind import Again, Kind, Said
from marginflow.pages.parts import bullets, head
from marginflow.report.answer import LIMITS, Answer
from marginflow.report.verdicts import after_a_trap, verdict_table
from marginflow.report.wording import number, plural


KIND: Final = Kind(
    "report",
    "report/assets",
    "page.html",
    (
        "runs.js",
        "card.js",
        "figures/time.js",
        "figures/norms.js",
        "figures/heads.js",
        "figures/gap.js",
        "figures/ratio.js",
        "figures/spectrum.js",
        "figures/attention.js",
        "figures/support.js",
        "figures/plane.js",
        "figures/balance.js",
        "page.js",
    ),
    "figures",
    "the other figures",
)
"""The page of runs."""


Words = Mapping[str, Mapping[str, str]]
"""Names for people by the word or norm that they stand for: `payload.words_of`."""


OWN_SELECTION: Final = "* Norm over its lead, and R, of the SVM of {}."


def render(
    subjects: Sequence[Subject],
    answers: Sequence[Answer],
    runs: Sequence[Mapping[str, Any]],
    again: Again,
    data: Mapping[str, Any],
) -> str:
    """The whole page."""
    parts = {
        "verdicts": verdict_table(subjects) + after_a_trap(subjects),
        "answers": "".join(_answer(found, data["words"], data["norms"]) for found in answers),
        "limits": _limits(answers),
        "runs": _runs(runs, answers, data["norms"]),
    }
    return KIND.page(Said(headline(subjects), _summary(runs, answers), again), parts, data)


def _answer(found: Answer, words: Words, norms: Words) -> str:
    rows = "".join(
        f'<li class="{outcome}"><span class="badge word-{html.escape(word)}">'
        f"{html.escape(words[word]['short'])}</span> <p>{html.escape(text)}</p></li>"
        for word, outcome, text in found.found
    )
    title, sizes = html.escape(found.title), html.escape(found.sizes)
    spec = f' <small class="spec">{html.escape(found.spec)}</small>' if found.spec else ""
    return (
        f'<section class="answer"><h3>{title}</h3><p class="sizes">{sizes}{spec}</p>'
        f'<div class="columns"><ul class="found">{rows}</ul>{_contrast(found, words, norms)}</div></section>'
    )


def _contrast(found: Answer, words: Words, norms: Words) -> str:
    """The table of norms over margin; empty where no run reached the minimal loss."""
    if not found.contrast:
        return ""
    lines = ""
    for row in found.contrast:
        word = row.word
        cells = "".join(
            f'<td class="{"own" if row.predicted == norm else ""}">{number(value, 6)}</td>'
            for norm, value in zip(found.columns, row.values, strict=True)
        )
        short = html.escape(words[word]["short"] + row.how)
        lines += f'<tr><th scope="row" class="badge word-{html.escape(word)}">{short}</th>{cells}</tr>'
    heads = "".join(f'<th scope="col">{html.escape(norms[norm]["label"])}</th>' for norm in found.columns)
    least = "".join(f"<td>{number(value, 6)}</td>" for value in found.certified)
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="Table: norms over margin">'
        '<table class="contrast"><caption>Norm over margin where training ended; '
        "bold: the norm predicted to be least</caption>"
        f'<thead><tr><th scope="col">weights</th>{heads}</tr></thead><tbody>{lines}</tbody>'
        f'<tfoot><tr><th scope="row">certified SVM</th>{least}</tr></tfoot></table></div>'
    )


def _limits(answers: Sequence[Answer]) -> str:
    where: dict[str, list[str]] = {}
    for found in answers:
        for text in found.limits:
            where.setdefault(text, []).append(found.title)
    special = [
        text if len(titles) == len(answers) else f"{' and '.join(titles)}: {text}" for text, titles in where.items()
    ]
    return bullets([*special, *LIMITS])


def _summary(runs: Sequence[Mapping[str, Any]], answers: Sequence[Answer]) -> str:
    counts = Counter(run["status"] for run in runs)
    said = {
        "minimal_loss": "reached the minimal loss",
        "trapped": "trapped above it",
        "undecided": "undecided",
    }
    parts = [f"{counts[name]} {text}" for name, text in said.items() if counts[name]]
    cut = sum(run["interrupted"] for run in runs)
    parts += [f"{cut} interrupted before the end"] if cut else []
    return f"{plural(len(runs), 'run')} on {plural(len(answers), 'problem')}: {', '.join(parts)}."


def _runs(runs: Sequence[Mapping[str, Any]], answers: Sequence[Answer], norms: Words) -> str:
    body = "".join(_row(run, answers[run["problem"]].title, norms) for run in runs)
    own = dict.fromkeys(run["final"]["whose"] for run in runs if run["final"]["own_selection"])
    note = f"<caption>{OWN_SELECTION.format(' or '.join(own))}</caption>" if own else ""
    return f'<table class="runs stack">{note}{head(_HEADS)}<tbody>{body}</tbody></table>'


_HEADS: Final = ("run", "problem", "verdict", "log₁₀ t", "least margin", "norm", "norm ⁄ margin", "R − 1")


def _row(run: Mapping[str, Any], problem: str, norms: Words) -> str:
    end, place = run["final"], run["index"]
    excess = None if end["ratio"] is None else end["ratio"] - 1.0
    star = "*" if end["own_selection"] else ""
    numbers = [
        number(None if end["log_time"] is None else end["log_time"] / math.log(10.0)),
        number(end["margin"]),
        html.escape(norms[run["norm"]]["label"]),
        number(end["norm_over_margin"], 7) + star,
        number(excess, 3) + star,
    ]
    return (
        f'<tr data-run="{place}"><th scope="row"><button type="button" data-run="{place}">'
        f'{html.escape(run["label"])}</button></th><td data-label="problem">{html.escape(problem)}</td>'
        f'<td data-label="verdict" class="{run["status"]}">{html.escape(run["word_of_status"])}</td>'
        + "".join(f'<td data-label="{name}">{text}</td>' for name, text in zip(_HEADS[3:], numbers, strict=True))
        + "</tr>"
    )
