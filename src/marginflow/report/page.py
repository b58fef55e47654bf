"""The HTML file: template, style, scripts and data in one, with nothing to load from anywhere."""

import base64
import hashlib
import html
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from marginflow.diagnostics.headline import headline
from marginflow.diagnostics.subject import Subject
from marginflow.report.answer import LIMITS, Answer
from marginflow.report.verdicts import after_a_trap, verdict_table
from marginflow.report.wording import number, plural


SCRIPTS: Final = (
    "data.js",
    "format.js",
    "theme.js",
    "scale.js",
    "panel.js",
    "card.js",
    "figures/time.js",
    "figures/norms.js",
    "figures/gap.js",
    "figures/ratio.js",
    "figures/spectrum.js",
    "figures/attention.js",
    "figures/support.js",
    "figures/plane.js",
    "figures/balance.js",
    "page.js",
)
"""In the order in which they need each other."""


Words = Mapping[str, Mapping[str, str]]
"""Names for people by the word or norm that they stand for: `payload.words_of`."""


OWN_SELECTION: Final = (
    "* Of a run that is trapped: norm over its lead, and R, of the SVM of the tokens it is trapped on."
)


def render(
    subjects: Sequence[Subject],
    answers: Sequence[Answer],
    runs: Sequence[Mapping[str, Any]],
    commands: Sequence[str],
    commands_note: str,
    versions: str,
    data: Mapping[str, Any],
) -> str:
    """The whole page."""
    parts = {
        "headline": html.escape(headline(subjects)),
        "verdicts": verdict_table(subjects) + after_a_trap(subjects),
        "answers": "".join(_answer(found, data["words"], data["norms"]) for found in answers),
        "limits": _limits(answers),
        "summary": html.escape(_summary(runs, answers)),
        "runs": _runs(runs, answers, data["norms"]),
        "commands": html.escape("\n".join(commands)),
        "commands_note": html.escape(commands_note),
        "versions": html.escape(versions),
        "data": embed(data),
    }
    return fill("page.html", ("page.css",), SCRIPTS, parts)


def fill(page: str, styles: Sequence[str], scripts: Sequence[str], parts: Mapping[str, str]) -> str:
    """The template `page` with its styles, scripts, the scripts' hash and `parts` in their places."""
    script = "\n".join(asset(name) for name in scripts)
    whole = {**parts, "script_hash": script_hash(script), "style": "".join(map(asset, styles)), "script": script}
    return re.sub(r"\{\{(\w+)\}\}", lambda match: whole[match[1]], asset(page))


def script_hash(script: str) -> str:
    """What the page's content policy allows to run: this script and no other."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def embed(data: Any) -> str:
    """JSON for the inside of a script element: no text in it can close the element or open a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def asset(name: str) -> str:
    """A file of the page, as text."""
    return (files("marginflow.report") / "assets").joinpath(*name.split("/")).read_text(encoding="utf-8")


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
    return "".join(f"<li>{html.escape(text)}</li>" for text in [*special, *LIMITS])


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
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEADS)
    body = "".join(_row(run, answers[run["problem"]].title, norms) for run in runs)
    own = any(run["final"]["own_selection"] for run in runs)
    note = f"<caption>{OWN_SELECTION}</caption>" if own else ""
    return f'<table class="runs stack">{note}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


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
