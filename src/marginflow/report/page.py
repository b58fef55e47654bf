"""The HTML file: template, style, scripts and data in one, with nothing to load from anywhere."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

from marginflow.report.answer import Answer
from marginflow.report.wording import WORDS, number


SCRIPTS: Final = (
    "data.js",
    "format.js",
    "scale.js",
    "panel.js",
    "card.js",
    "figures/time.js",
    "figures/norms.js",
    "figures/ratio.js",
    "figures/spectrum.js",
    "figures/attention.js",
    "figures/support.js",
    "figures/plane.js",
    "figures/balance.js",
    "page.js",
)
"""In the order in which they need each other."""


def render(
    answers: Sequence[Answer],
    runs: Sequence[Mapping[str, Any]],
    commands: Sequence[str],
    versions: str,
    data: Mapping[str, Any],
) -> str:
    """The whole page."""
    script = "\n".join(_asset(name) for name in SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts = {
        "script_hash": digest,
        "style": _asset("page.css"),
        "answers": "".join(_answer(found) for found in answers),
        "runs": _runs(runs),
        "commands": html.escape("\n".join(commands)),
        "versions": html.escape(versions),
        "data": embed(data),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


def embed(data: Mapping[str, Any]) -> str:
    """JSON for the inside of a script element: no text in it can close the element or open a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (files("marginflow.report") / "assets").joinpath(*name.split("/")).read_text(encoding="utf-8")


def _answer(found: Answer) -> str:
    rows = "".join(
        f'<li class="{outcome}"><span class="badge word-{word}">{html.escape(WORDS[word]["short"])}</span> '
        f"<p>{html.escape(text)}</p></li>"
        for word, outcome, text in found.found
    )
    contrast = f'<p class="contrast">{html.escape(found.contrast)}</p>' if found.contrast else ""
    limits = "".join(f"<li>{html.escape(text)}</li>" for text in found.limits)
    return (
        f'<section class="answer"><h2>{html.escape(found.title)}</h2><ul class="found">{rows}</ul>{contrast}'
        f"<h3>What this does not show</h3><ul class='limits'>{limits}</ul></section>"
    )


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = "".join(
        f'<tr data-run="{run["index"]}"><th scope="row"><button type="button" data-run="{run["index"]}">'
        f"{html.escape(run['label'])}</button></th><td>{html.escape(run['problem'])}</td>"
        f'<td class="{run["status"]}">{html.escape(run["status"].replace("_", " "))}</td>'
        f"<td>{number(run['log10_time'])}</td><td>{number(run['margin'])}</td><td>{html.escape(run['norm'])}</td>"
        f"<td>{number(run['value'], 7)}</td><td>{number(run['gap'], 3)}</td></tr>"
        for run in runs
    )
    heads = ["run", "problem", "verdict", "log₁₀ t", "least margin", "norm", "norm ⁄ margin", "R − 1"]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
