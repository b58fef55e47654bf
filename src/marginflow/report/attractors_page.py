"""Where training can end, as one self-contained page: the answer, a map of ends by samples, shares, every number."""

import html
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from marginflow import rounding
from marginflow.atomic_file import whole_file
from marginflow.attractors.attractors import Attractor, Attractors
from marginflow.attractors.product import EndsOfHeads, JointEnd
from marginflow.norms import parse_norm
from marginflow.pages.kind import Again, Kind, Said
from marginflow.pages.parts import bullets, scrolling, table
from marginflow.problem.headings import heading
from marginflow.report.heads import names_of_rows
from marginflow.report.packing import plain
from marginflow.report.wording import number, plural


KIND: Final = Kind("attractors", "report/assets", "attractors.html", ("attractors.js",), "ends", "the ends")

MOST: Final = 200
"""Ends on the page, those of least excess; the rest are counted, and `--json` lists all."""

Ends = Attractors | EndsOfHeads
"""Of one head, or of several, whose ends are the product of the heads' lists."""

LIMITS: Final = (
    "An end is a selection of tokens that an open set of starts keeps for good; which starts, the list does not say.",
    "The statement is of the gradient flow of this parameterisation on these data.",
)


def build_attractors_report(found: Attractors | EndsOfHeads, output: Path, command: str) -> int:
    """Write the page about `found` to `output` and return its size in bytes.

    Args:
        found: the list.
        output: the HTML file; replaced if it exists.
        command: what makes the list and the page again.

    Raises:
        InputError: a file that cannot be written.
    """
    data = render(found, command).encode("utf-8")
    with whole_file(output) as draft:
        draft.write_bytes(data)
    return len(data)


def render(found: Ends, command: str) -> str:
    """The whole page."""
    parts = {
        "problem": html.escape(heading(found.problem)),
        "heads": _heads(found) if isinstance(found, EndsOfHeads) and len(found.heads) > 1 else "",
        "table": _table(found),
        "limits": bullets([*_limits(found), *LIMITS]),
    }
    return KIND.page(Said(headline(found), _summary(found), Again([command])), parts, _data(found))


def headline(found: Ends) -> str:
    """Where training can end, and how often sampled starts met the minimal loss."""
    said = found.sentence[:1].upper() + found.sentence[1:]
    best = next((end for end in found.attractors if end.optimal), None)
    if not found.scales or best is None:
        return f"{said}."
    total, count = sum(s.total for s in best.shares), sum(s.count for s in best.shares)
    return f"{said}. Of {plural(total, 'sampled start')} {count} met the minimal loss."


def _summary(found: Ends) -> str:
    whole = "the list is complete" if found.complete else "the list may be incomplete"
    looked = f"{plural(_count(found), 'end')} among {found.visited} selections and partial selections looked at"
    return f"{heading(found.problem)}; {found.parameterization.label} trained from any start. {looked}; {whole}."


def _limits(found: Ends) -> list[str]:
    said = [f"The list may be incomplete: {why}." for why in found.incomplete_because]
    if not found.infinite:
        said.append("Ends at finite weights, or with attention shared among tokens, are not excluded and not listed.")
    each = found.heads if isinstance(found, EndsOfHeads) else (found,)
    undecided = sum(len(own.undecided) for own in each)
    if undecided:
        said.append(f"{plural(undecided, 'selection')} could not be decided by any bound.")
    elsewhere = found.elsewhere if isinstance(found, EndsOfHeads) else len(found.elsewhere)
    if elsewhere:
        said.append(f"{plural(elsewhere, 'sampled run')} ended in none of the ends listed.")
    if found.missing is not None:
        share = rounding.text_up(100.0 * found.missing, 2)
        said.append(f"At most {share} % of the starts end in ways that the sampled runs did not show (95 %).")
    shown = min(len(found.attractors), MOST)
    if isinstance(found, EndsOfHeads) and not found.listed:
        said.append(
            f"There are {found.count} ends, every combination of the heads' ends: counted, not written out. The page "
            f"shows {shown} of them, the minimal loss and what sampled runs met."
        )
    elif shown < _count(found):
        said.append(f"The page shows {shown} of {_count(found)} ends, those of least loss; --json lists all.")
    return said


def _count(found: Ends) -> int:
    return found.count if isinstance(found, EndsOfHeads) else len(found)


def _heads(found: EndsOfHeads) -> str:
    """The list of each head by itself: what the ends are the product of."""
    label = parse_norm(found.parameterization.flow_norm).label
    columns = ["head", "tokens of its rows", "end", f"least {label} norm", "certified gap", "least better margin"]
    rows = []
    for h, own in enumerate(found.heads):
        for end in own.attractors[:MOST]:
            tokens = ",".join(map(str, end.selected.tolist()))
            rows.append([f"head {h}", tokens, "best tokens" if end.optimal else "trap", *_numbers(end)])
    ways = " × ".join(str(len(own)) for own in found.heads)
    caption = (
        f"The tokens that a head ends on depend on no other head: {ways} = {found.count} ends. What a wrong token "
        "costs does depend on the others, and is told of whole ends only."
    )
    section = scrolling(table(columns, rows, caption=caption, look="stack ends"), "the ends of each head")
    return f'<section class="card wide" id="by-head"><h2>The ends of each head</h2>{section}</section>'


def _numbers(end: Attractor | JointEnd) -> list[str]:
    """Least norm, certified gap, and the least margin of a better token."""
    gap = "KKT point" if math.isnan(end.gap) else rounding.text_up(end.gap, 2)
    return [number(end.value, 7), gap, "no better token" if end.optimal else number(end.stability)]


def names(ends: Sequence[Attractor | JointEnd]) -> list[str]:
    """What ends are called on the page: the minimal loss, and traps by their place."""
    traps = 0
    out = []
    for end in ends:
        traps += not end.optimal
        out.append("minimal loss" if end.optimal else f"trap {traps}")
    return out


def _table(found: Ends) -> str:
    label = parse_norm(found.parameterization.flow_norm).label
    columns = ["end", "loss above the least", f"least {label} norm", "certified gap", "least better margin"]
    columns += [f"share from scale {scale:g}" for scale in found.scales]
    ends: Sequence[Attractor | JointEnd] = found.attractors[:MOST]
    rows = []
    for place, (name, end) in enumerate(zip(names(ends), ends, strict=True)):
        rows.append(
            [
                f'<button type="button" data-end="{place}">{name}</button>',
                number(end.excess),
                *_numbers(end),
                *(f"{share.value:.0%} {rounding.percent(*share.interval)}" for share in end.shares),
            ]
        )
    caption = (
        "A trap holds where the least margin of its better tokens is above 1; late weights are the margin times the "
        "least norm long."
    )
    return scrolling(table(columns, rows, caption=caption, look="stack ends"), "every end")


def _data(found: Ends) -> dict[str, Any]:
    problem = found.problem
    ends: Sequence[Attractor | JointEnd] = found.attractors[:MOST]
    words = None if problem.token_names is None else problem.token_names.tolist()
    called = names_of_rows(problem)
    several = problem.counts[1] > 1
    norm = found.parameterization.flow_norm
    data = shlex.quote(problem.name or "DATA.npz")
    return {
        "optimal": problem.optimal.tolist(),
        "words": words,
        "called": called,
        "heads": problem.head.tolist() if several else None,
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
