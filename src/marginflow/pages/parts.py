"""Pieces of HTML that pages share. What is called text is escaped here; what is called HTML is not."""

from collections.abc import Sequence
from html import escape


def bullets(texts: Sequence[str]) -> str:
    """A list of sentences."""
    return "".join(f"<li>{escape(text)}</li>" for text in texts)


def scrolling(table: str, name: str, *, free: bool = False) -> str:
    """A table (HTML) in a box that scrolls, and that the keyboard and screen readers find by its name.

    Args:
        table: the HTML.
        name: what the table is of, as text.
        free: whether it is shown in its whole height.
    """
    return (
        f'<div class="scroll{" free" if free else ""}" tabindex="0" role="region" '
        f'aria-label="Table: {escape(name, quote=True)}">{table}</div>'
    )


def head(names: Sequence[str]) -> str:
    """The head of a table with these columns, as text."""
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    return f"<thead><tr>{cells}</tr></thead>"


def table(names: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "", look: str = "") -> str:
    """A table with named columns (text) and rows of cells (HTML), the first of each its heading.

    On a narrow screen a table of the look "stack" becomes blocks in which every cell names its column.
    """
    body = ""
    for first, *rest in rows:
        cells = "".join(
            f'<td data-label="{escape(name, quote=True)}">{cell}</td>'
            for name, cell in zip(names[1:], rest, strict=True)
        )
        body += f'<tr><th scope="row">{first}</th>{cells}</tr>'
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f'<table class="{look}">{said}{head(names)}<tbody>{body}</tbody></table>'


def badge(text: str, word: str) -> str:
    """A name (text) in the colour of its parameterisation."""
    return f'<span class="badge word-{escape(word, quote=True)}">{escape(text)}</span>'
