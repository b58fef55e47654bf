"""Objects as small HTML tables for notebooks: all text escaped, no colour of their own, nothing to load."""

import html
from collections.abc import Sequence
from typing import Final


_LINE: Final = "1px solid rgba(128,128,128,.4)"
# A notebook stripes tables in its own theme's colours; text and background stay those of the page, light or dark.
_TABLE: Final = f"border-collapse:collapse;color:inherit;background:none;border:0;border-top:{_LINE};margin:4px 0"
_ROW: Final = "background:none"
_EDGE: Final = f"padding:2px 10px;border:0;border-bottom:{_LINE};vertical-align:top"
_NAME: Final = f"{_EDGE};text-align:left;white-space:nowrap"
_TEXT: Final = f"{_EDGE};text-align:left;white-space:normal;overflow-wrap:anywhere"
_NUMBER: Final = f"{_EDGE};text-align:right"


def card(title: str, rows: Sequence[tuple[str, str]], *, body: str = "") -> str:
    """A title and one line per pair of words, as HTML.

    Args:
        title, rows: plain text, escaped here.
        body: HTML that follows, made by a function of this module.
    """
    lines = "".join(
        f'<tr style="{_ROW}"><th scope="row" style="{_NAME}">{html.escape(name)}</th>'
        f'<td style="{_TEXT}">{html.escape(text)}</td></tr>'
        for name, text in rows
    )
    return (
        f'<div><strong>{html.escape(title)}</strong><table style="{_TABLE}"><tbody>{lines}</tbody></table>{body}</div>'
    )


def grid(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], *, notes: Sequence[str] = ()) -> str:
    """A table with a heading per column, the first cell of a row naming it, as HTML; all text is escaped here."""
    styles = [_NAME, *([_NUMBER] * (len(head) - 1))]
    top = "".join(
        f'<th scope="col" style="{style}">{html.escape(name)}</th>' for style, name in zip(styles, head, strict=True)
    )
    lines = ""
    for name, *cells in rows:
        lines += f'<tr style="{_ROW}"><th scope="row" style="{_NAME}">{html.escape(name)}</th>'
        lines += "".join(f'<td style="{_NUMBER}">{html.escape(cell)}</td>' for cell in cells) + "</tr>"
    below = "".join(f"<div>{html.escape(note)}</div>" for note in notes)
    return (
        f'<div><strong>{html.escape(title)}</strong><table style="{_TABLE}"><thead>'
        f'<tr style="{_ROW}">{top}</tr></thead><tbody>{lines}</tbody></table>{below}</div>'
    )


def sentence(words: Sequence[str], marked: int) -> str:
    """Words in a row, the one at place `marked` bold and framed, as HTML."""
    shown = []
    for place, word in enumerate(words):
        text = html.escape(word)
        frame = "border:1px solid currentColor;border-radius:3px;padding:0 3px"
        shown.append(f'<b style="{frame}">{text}</b>' if place == marked else text)
    return f"<div>{' '.join(shown)}</div>"


def number(value: float) -> str:
    """Six digits."""
    return f"{value:.6g}"
