"""Where training can end, as one self-contained page: the answer, a map of ends by samples, shares, every number."""

import html
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from marginflow import rounding
from marginflow.atomic_file import whole_file
from marginflow.attractors.attractors import Attractor, Attractors
from marginflow.attractors.product import EndsOfHeads
from marginflow.errors import InputError
from marginflow.norms import parse_norm
from marginflow.pages.kind import Again, Kind, Said
from marginflow.pages.parts import bullets, scrolling, table
from marginflow.problem.headings import heading
from marginflow.problem.problem import Problem
from marginflow.report.packing import plain
from marginflow.report.wording import number, plural


KIND: Final = Kind("attractors", "report/assets", "attractors.html", ("attractors.js",), "ends", "the ends")

MOST: Final = 200
"""Ends on the page, those of least excess; the rest are counted, and `--json` lists all."""

LIMITS: Final = (
    "An end is a selection of tokens that an open set of starts keeps for good; which starts, the list does not say.",
    "The statement is of the gradient flow of this parameterisation on these data.",
)


def check_page(problem: Problem) -> None:
    """Refuse, before any work, a problem whose ends no page shows.

    Raises:
        InputError: several heads, or outputs of several rows.
    """
    if not problem.plain:
        raise InputError(
            "attractors: got --html for several heads, or outputs of several rows; expected one head and "
            "a row an output: ask without --html, or for the page of Problem.of_head(h)"
        )


def build_attractors_report(found: Attractors | EndsOfHeads, output: Path, command: str) -> int:
    """Write the page about `found` to `output` and return its size in bytes.

    Args:
        found: the list.
        output: the HTML file; replaced if it exists.
        command: what makes the list and the page again.

    Raises:
        InputError: as `check_page`, or a file that cannot be written.
    """
    check_page(found.problem)
    assert isinstance(found, Attractors)
    data = render(found, command).encode("utf-8")
    with whole_file(output) as draft:
        draft.write_bytes(data)
    return len(data)


def render(found: Attractors, command: str) -> str:
    """The whole page."""
    parts = {
        "problem": html.escape(heading(found.problem)),
        "table": _table(found),
        "limits": bullets([*_limits(found), *LIMITS]),
    }
    return KIND.page(Said(headline(found), _summary(found), Again([command])), parts, _data(found))


def headline(found: Attractors) -> str:
    """Where training can end, and how often sampled starts met the minimal loss."""
    said = found.sentence[:1].upper() + found.sentence[1:]
    best = next((end for end in found.attractors if end.optimal), None)
    if not found.scales or best is None:
        return f"{said}."
    total, count = sum(s.total for s in best.shares), sum(s.count for s in best.shares)
    return f"{said}. Of {plural(total, 'sampled start')} {count} met the minimal loss."


def _summary(found: Attractors) -> str:
    whole = "the list is complete" if found.complete else "the list may be incomplete"
    looked = f"{plural(len(found), 'end')} among {found.visited} selections and partial selections looked at"
    return f"{heading(found.problem)}; {found.parameterization.label} trained from any start. {looked}; {whole}."


def _limits(found: Attractors) -> list[str]:
    said = [f"The list may be incomplete: {why}." for why in found.incomplete_because]
    if not found.infinite:
        said.append("Ends at finite weights, or with attention shared among tokens, are not excluded and not listed.")
    if found.undecided:
        said.append(f"{plural(len(found.undecided), 'selection')} could not be decided by any bound.")
    if found.elsewhere:
        said.append(f"{plural(len(found.elsewhere), 'sampled run')} ended in none of the ends listed.")
    if found.missing is not None:
        share = rounding.text_up(100.0 * found.missing, 2)
        said.append(f"At most {share} % of the starts end in ways that the sampled runs did not show (95 %).")
    if len(found) > MOST:
        said.append(f"The page shows {MOST} of {len(found)} ends, those of least loss; --json lists all.")
    return said


def names(ends: Sequence[Attractor]) -> list[str]:
    """What ends are called on the page: the minimal loss, and traps by their place."""
    traps = 0
    out = []
    for end in ends:
        traps += not end.optimal
        out.append("minimal loss" if end.optimal else f"trap {traps}")
    return out


def _table(found: Attractors) -> str:
    label = parse_norm(found.parameterization.flow_norm).label
    columns = ["end", "loss above the least", f"least {label} norm", "certified gap", "least better margin"]
    columns += [f"share from scale {scale:g}" for scale in found.scales]
    ends = found.attractors[:MOST]
    rows = []
    for place, (name, end) in enumerate(zip(names(ends), ends, strict=True)):
        point = end.decision.point is not None
        rows.append(
            [
                f'<button type="button" data-end="{place}">{name}</button>',
                number(end.excess),
                number(end.value, 7),
                "KKT point" if point else rounding.text_up(end.gap, 2),
                "no better token" if end.optimal else number(end.stability),
                *(f"{share.value:.0%} {rounding.percent(*share.interval)}" for share in end.shares),
            ]
        )
    caption = (
        "A trap holds where the least margin of its better tokens is above 1; late weights are the margin times the "
        "least norm long."
    )
    return scrolling(table(columns, rows, caption=caption, look="stack ends"), "every end")


def _data(found: Attractors) -> dict[str, Any]:
    problem, ends = found.problem, found.attractors[:MOST]
    words = None if problem.token_names is None else problem.token_names.tolist()
    called = None if problem.sample_names is None else problem.sample_names.tolist()
    norm = found.parameterization.flow_norm
    data = shlex.quote(problem.name or "DATA.npz")
    return {
        "optimal": problem.optimal.tolist(),
        "words": words,
        "called": called,
        "scales": list(found.scales),
        "ends": [
            {
                "name": name,
                "optimal": end.optimal,
                "selected": end.selected.tolist(),
                "excess": plain(end.excess),
                "shares": [[share.value, *share.interval] for share in end.shares],
                "command": f"marginflow svm {data} --norm {norm}"
                + ("" if end.optimal else f" --select {','.join(map(str, end.selected.tolist()))}"),
            }
            for name, end in zip(names(ends), ends, strict=True)
        ],
    }
