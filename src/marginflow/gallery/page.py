"""The gallery as a folder: a table page in Markdown, and a figure for each row beside it."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from marginflow import rounding
from marginflow.atomic_file import whole_file
from marginflow.errors import InputError
from marginflow.figures.style import PLAIN, drawing, figure_of
from marginflow.gallery.row import RowResult


PAGE: Final = "gallery.md"
FIGURES: Final = "gallery"

CPU: Final = "CPU s"
"""Of the row, and among the numbers of the paper of its rule and solver."""

INTRODUCTION: Final = """# Gallery

Figures of papers on this subject, made again on their data, with what is proved beside what is found. Regenerate this
page with `marginflow gallery --out docs`.

"Paper" is what its program gives: stored outputs of its notebooks, or its rule and its solver run again by
`benchmarks/gallery.py`. "Proof" is what the proof leaves open: the certified relative gap of a least norm, or R - 1,
which bounds how far weights are from their SVM without any solver; where it is empty, the number is measured and has no
bound. "Holds" says that the row's checks do on these data and starts, with tolerances of which some are choices
(`--json` gives each with its reason). The minimal loss of a flow is proved, that of mirror descent's steps is observed.

Curves show norm / (margin x least norm) - 1, which is 0 at the SVM; dotted lines are where the paper's rule ended. The
cosine that the papers draw is a poor axis for keys and queries: it can be .92 where the norm is within a few
thousandths of the least.
"""


def prepare(folder: Path) -> None:
    """Make the folder, before any work.

    Raises:
        InputError: it is a file, or there is no matplotlib.
    """
    with figure_of(1.0, 1.0, PLAIN, "svg"):
        pass
    for place in (folder, folder / FIGURES):
        if place.exists() and not place.is_dir():
            raise InputError(f"--out: {place} is a file; expected a folder, which is made if missing")
        place.mkdir(parents=True, exist_ok=True)


def write(results: Sequence[RowResult], folder: Path, *, progress: Callable[[str], None] | None = None) -> Path:
    """Write `gallery.md` and `gallery/NAME.svg` of every row that could be made; the page is written last.

    Raises:
        InputError: something cannot be written.
    """
    for result in results:
        if result.found is not None:
            if progress is not None:
                progress(f"figure {result.row.name}")
            path = folder / FIGURES / f"{result.row.name}.svg"
            with drawing(path, 4.6, 2.8, title=f"marginflow gallery: {result.row.name}") as figure:
                result.found.draw(figure)
    with whole_file(folder / PAGE) as draft:
        draft.write_text(page(results), encoding="utf-8")
    return folder / PAGE


def page(results: Sequence[RowResult]) -> str:
    """The Markdown text."""
    seconds = sum(result.cpu for result in results)
    summary = ["", "| row | statement | holds | CPU s |", "|---|---|---|---|"]
    for r in results:
        name = f"[{r.row.name}](#{r.row.name.replace('.', '').lower()})"
        summary.append(f"| {name} | {_cell(r.row.statement)} | {_word(r)} | {r.cpu:.2g} |")
    summary.append(f"| all | {sum(r.holds for r in results)} of {len(results)} hold | | {seconds:.3g} |")
    return INTRODUCTION + "\n".join(summary) + "\n" + "".join(map(_section, results))


def _section(r: RowResult) -> str:
    name = r.row.name
    lines = ["", f"## {name}", "", f"{r.row.statement[0].upper()}{r.row.statement[1:]}: {_verdict(r)}", ""]
    if r.found is not None:
        lines += [f"![Figure of the row {name}]({FIGURES}/{name}.svg)", ""]
    lines += [f"*Source:* {r.row.source}. *Data:* {r.row.data}.", ""]
    lines += ["| quantity | paper | here | proof |", "|---|---|---|---|"]
    lines += ["| " + " | ".join(map(_cell, line)) + " |" for line in cells(r)]
    return "\n".join(lines) + "\n"


def _cell(words: str) -> str:
    """`words` in a cell of a table, which a bar would end."""
    return words.replace("|", "\\|")


def _verdict(r: RowResult) -> str:
    return "holds." if r.holds else f"does NOT hold. {'; '.join(r.reasons)}."


def _word(r: RowResult) -> str:
    return "yes" if r.holds else "NO"


def cells(r: RowResult) -> list[list[str]]:
    """Each quantity of a row, what the paper's program gives, what is found here, what the proof leaves open."""
    ours, proof = (r.found.ours, r.found.certificate) if r.found else ({}, {})
    ours = ours | {CPU: float(f"{r.cpu:.2g}")}
    return [
        [what, text(r.peer.get(what)), text(ours.get(what)), text(proof.get(what), write=rounding.text_up)]
        for what in dict.fromkeys([*ours, *proof, *r.peer])
    ]


def _nearest(value: float, digits: int) -> str:
    return f"{value:.{digits}g}"


def text(value: Any, digits: int = 7, *, write: Callable[[float, int], str] = _nearest) -> str:
    """A value of a row for people; what a proof leaves open is written rounded upwards."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        if len(value) > 1 and len(set(value)) == 1 and isinstance(value[0], str):
            return f"{value[0]}, all {len(value)}"
        return ", ".join(map(partial(text, digits=min(digits, 4), write=write), value))
    if isinstance(value, float):
        return write(value, 2 if abs(value) < 1e-3 else digits)
    return str(value)
