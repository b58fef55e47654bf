"""Cells and problems of a study in words, for its page."""

from collections.abc import Sequence
from html import escape

from marginflow.model.registry import parse_parameterization
from marginflow.pages.parts import badge
from marginflow.problem.headings import heading_of
from marginflow.study.outcome.outcome import CellOutcome
from marginflow.study.plan.cell import Cell


def model_words(cell: Cell) -> str:
    """What is trained and how, without its start: "K, Q of width 2", "W, gd rate speed:0.03"."""
    width = ""
    if cell.parameterization == "kq":
        width = " of full width" if cell.width is None else f" of width {cell.width}"
    steps = "" if cell.steps is None else f", {cell.steps.label}"
    return parse_parameterization(cell.parameterization, cell.width).label + width + steps


def titles(cells: Sequence[Cell]) -> dict[str, str]:
    """A title for every problem, by `Cell.data_label`: words, and what tells it from those of equal words."""
    return {label: f"{words}, {said}" if said else words for label, (words, said) in _titles(cells).items()}


def brief_titles(cells: Sequence[Cell]) -> dict[str, str]:
    """What tells the problems apart, for a sentence: the parameters alone where all have the same words."""
    found = _titles(cells)
    alike = len({words for words, _ in found.values()}) == 1
    return {label: said if alike else f"{words}, {said}" if said else words for label, (words, said) in found.items()}


def _titles(cells: Sequence[Cell]) -> dict[str, tuple[str, str]]:
    first = {cell.data_label: cell for cell in reversed(cells)}
    words = {label: _heading(cell) for label, cell in first.items()}
    out = {}
    for label in dict.fromkeys(cell.data_label for cell in cells):
        alike = [dict(first[other].parameters) for other in first if words[other] == words[label]]
        own = dict(first[label].parameters)
        apart = [key for key, value in own.items() if any(other.get(key) != value for other in alike)]
        said = ", ".join(f"{key} = {own[key]}" for key in apart)
        out[label] = words[label], said
    return out


def cell_words(cell: Cell) -> str:
    """A cell among those of its problem."""
    return f"{model_words(cell)}, scale {cell.scale:g}"


def brief(cell: Cell) -> str:
    """The same beside a curve: "K, Q 2 · 0.1"; of steps the name of the rule."""
    if cell.steps is not None:
        return cell.steps.optimizer.partition(":")[0]
    width = "" if cell.width is None else f" {cell.width}"
    return f"{parse_parameterization(cell.parameterization, cell.width).label}{width} · {cell.scale:g}"


def cell_name(cell: Cell, beside: Sequence[CellOutcome], named: dict[str, str]) -> str:
    """The HTML of a cell's name in a table of all: its words in their colour, its problem in small print."""
    problem = f'<small class="spec">{escape(named[cell.data_label])}</small>' if len(named) > 1 else ""
    return badge(cell_words(cell), colour(cell, beside)) + problem


def colour(cell: Cell, beside: Sequence[CellOutcome]) -> str:
    """The word of a colour: the parameterisation's, as on every page, or the place of an optimiser among those beside.

    Args:
        cell: which.
        beside: cells, among them all of its problem.
    """
    if cell.steps is None:
        return cell.parameterization
    steps = [c.cell.steps for c in beside if c.cell.data_label == cell.data_label]
    rules = list(dict.fromkeys(one.optimizer for one in steps if one is not None))
    return f"rule-{rules.index(cell.steps.optimizer) % 8}"


def _heading(cell: Cell) -> str:
    return cell.data_label if cell.file is not None else heading_of(cell.source(0))
