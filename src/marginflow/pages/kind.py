"""A kind of page, and the HTML file made of it: frame, style, scripts and data in one, with nothing to load."""

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from importlib.resources import files
from typing import Any, Final

from marginflow.pages.versions import versions


STYLES: Final = (
    "colours.css",
    "layout.css",
    "tables.css",
    "charts.css",
    "attention.css",
    "heads.css",
    "study.css",
    "narrow.css",
    "paper.css",
)
"""The stylesheet of all pages, by subject; what holds on narrow screens and on paper comes last."""

SHARED: Final = ("format.js", "controls.js", "theme.js", "data.js", "scale.js", "panel.js")
"""The scripts of all pages, in the order in which they need each other."""

_HERE: Final = "pages/assets"


@dataclass(frozen=True)
class Again:
    """How to make a page again: the commands, and what they do not make."""

    commands: Sequence[str]
    note: str = ""


@dataclass(frozen=True)
class Said:
    """The text that every kind of page has.

    Attributes:
        headline: the answer, in one sentence.
        summary: what the page is about, in small print below it.
        again: how it is made.
    """

    headline: str
    summary: str
    again: Again


@dataclass(frozen=True)
class Kind:
    """A kind of page.

    Attributes:
        word: its name, after "marginflow".
        room: the folder of its own template and scripts, below the package.
        template: what stands between the answer and the commands.
        own: its own scripts, in the order in which they need each other.
        target, target_words: where the first link of the page leads.
    """

    word: str
    room: str
    template: str
    own: tuple[str, ...]
    target: str
    target_words: str

    @property
    def scripts(self) -> tuple[str, ...]:
        """All scripts of the page, as files below the package."""
        return (*(f"{_HERE}/{name}" for name in SHARED), *(f"{self.room}/{name}" for name in self.own))

    @cached_property
    def script(self) -> str:
        """All scripts in one: a name that two of them declare is an error."""
        return "\n".join(map(asset, self.scripts))

    def page(self, said: Said, parts: Mapping[str, str], data: Any) -> str:
        """The whole file.

        Args:
            said: its answer, and how it is made.
            parts: HTML for the places of its template, whose names stand there in double braces.
            data: what its scripts read, for JSON.
        """
        shared = {
            "word": self.word,
            "title": escape(f"marginflow {self.word}: {said.headline}"),
            "target": self.target,
            "target_words": self.target_words,
            "headline": escape(said.headline),
            "summary": escape(said.summary),
            "versions": escape(versions()),
            "commands": escape("\n".join(said.again.commands)),
            "commands_note": escape(said.again.note),
            "style": "".join(asset(f"{_HERE}/{name}") for name in STYLES),
            "script": self.script,
            "script_hash": base64.b64encode(hashlib.sha256(self.script.encode()).digest()).decode(),
            "data": embed(data),
        }
        assert not parts.keys() & shared.keys(), "a place of the template has the name of one of the frame's"
        whole = {**shared, **parts}
        frame = asset(f"{_HERE}/frame.html").replace("{{main}}", asset(f"{self.room}/{self.template}"))
        return re.sub(r"\{\{(\w+)\}\}", lambda match: whole[match[1]], frame)


def embed(data: Any) -> str:
    """JSON for the inside of a script element: no text in it can close the element or open a comment."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def asset(name: str) -> str:
    """A file of a page, below the package, as text."""
    return files("marginflow").joinpath(*name.split("/")).read_text(encoding="utf-8")
