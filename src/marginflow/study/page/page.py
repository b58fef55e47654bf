"""The report of a study: one HTML file with nothing outside it."""

import json
from html import escape
from importlib.resources import files
from typing import Any, Final

from marginflow import rounding
from marginflow.diagnostics.late_law import POWER_SENTENCE
from marginflow.study.outcome.outcome import CellOutcome, Outcome
from marginflow.study.outcome.shares import Quantiles
from marginflow.study.page.curves import curves, gap_curves
from marginflow.study.page.diagram import by_problem, interval, phase_diagrams, separability


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

LONGEST: Final = 500
"""Failures listed; the rest are counted."""


def page(found: Outcome) -> str:
    """The whole page. The same outcome gives the same text."""
    plan = found.plan
    runs = sum(c.runs for c in found.cells)
    cost = f"{found.cpu_seconds:.1f} CPU seconds" if found.costed else "cost unknown"
    title = escape(f"Study {plan.name}")
    data = json.dumps([_cell(c) for c in found.cells], separators=(",", ":")).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<style>{_asset("page.css")}</style></head><body><main>
<h1>{title}</h1>
<p>{runs} of {plan.runs} runs, {found.done} of {len(plan.units)} batches, {cost}, code {escape(plan.version)}.
Brackets are 95 % Wilson intervals of the probability behind a share, over the seeds of a cell; failed runs
are in no share. A click on a field lists its seeds; a click on a seed copies the command that reruns it.</p>
<h2>How often is the minimal loss reached?</h2>
{phase_diagrams(found.cells)}
<h2>Constraints over dimensions, separable or not</h2>
{separability(found.cells)}
<h2>How fast do R and the gap fall?</h2>
<p>R ≥ 1 bounds how far weights are from the SVM solution of a norm. {POWER_SENTENCE}</p>
{_ratios(found)}
<h2>Ends and costs</h2>
{_costs(found)}
<h2>Failures</h2>
{_failures(found)}
<h2>Plan</h2>
<details><summary>plan.toml</summary><pre><code>{escape(plan.text)}</code></pre></details>
<section id="rerun" aria-label="Rerun a seed" hidden></section>
</main><script type="application/json" id="cells">{data}</script>
<script>{_asset("page.js")}</script></body></html>
"""


def _asset(name: str) -> str:
    return (files("marginflow.study") / "assets" / name).read_text(encoding="utf-8")


def _cell(c: CellOutcome) -> dict[str, Any]:
    # The seed stands twice where the problem follows it: a seed that cannot occur marks the places.
    mark = 987654321987
    return {
        "label": c.cell.label,
        "command": c.cell.command(mark).replace(str(mark), "{seed}"),
        "seeds": [seed for seed, _ in c.ends],
        "ends": "".join(status[0] for _, status in c.ends),
    }


def _ratios(found: Outcome) -> str:
    norms = list(dict.fromkeys(m.norm for c in found.cells for m in c.marks))
    out = []
    for name, group in by_problem(found.cells).items():
        members = [c for _, c in group]
        figures = "".join(curves(members, norm) + gap_curves(members, norm) for norm in norms)
        rows = "".join(_ratio_rows(c) for _, c in group)
        if rows:
            out.append(
                f"<h3>{escape(name)}</h3>{figures}<details><summary>numbers</summary>"
                '<div class="scroll"><table><caption>Median [10 %, 90 %] over runs. Norm over margin is '
                "relative to the certified SVM value of each run's own problem. "
                "The power is that from the mark before; marks of an optimiser are steps.</caption><thead><tr>"
                "<th>cell</th><th>norm</th><th>margin or step</th><th>runs</th><th>R − 1</th>"
                "<th>norm/margin over SVM</th><th>measured power</th><th>predicted power</th></tr></thead>"
                f"<tbody>{rows}</tbody></table></div></details>"
            )
    return "\n".join(out) or "<p>No run reached a margin of the plan.</p>"


def _ratio_rows(c: CellOutcome) -> str:
    rows = ""
    for m in c.marks:
        if m.ratio.total:
            excess = Quantiles(m.ratio.total, m.ratio.low - 1, m.ratio.median - 1, m.ratio.high - 1)
            fields = [_spread(q) for q in (excess, m.norm_over_margin, m.power, m.predicted)]
            rows += (
                f'<tr><td class="text">{escape(c.cell.label)}</td><td>{escape(m.norm)}</td>'
                f"<td>{m.target:g}</td><td>{m.ratio.total}</td>"
                f"{''.join(f'<td>{f}</td>' for f in fields)}</tr>"
            )
    return rows


def _spread(q: Quantiles) -> str:
    return "–" if q.total == 0 else f"{q.median:.4g} {rounding.interval(q.low, q.high, 3)}"


def _costs(found: Outcome) -> str:
    body = ""
    for c in found.cells:
        shares = "".join(f"<td>{interval(share)}</td>" for share in c.shares.values())
        body += (
            f'<tr><td class="text">{escape(c.cell.label)}</td><td>{c.runs}</td>{shares}<td>{c.failed}</td>'
            f"<td>{_spread(c.evaluations)}</td><td>{_spread(c.log_time)}</td></tr>"
        )
    return (
        '<div class="scroll"><table><thead><tr><th>cell</th><th>runs</th><th>minimal loss</th>'
        "<th>trapped</th><th>undecided</th><th>failed</th><th>evaluations</th>"
        "<th>log t at the end</th></tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _failures(found: Outcome) -> str:
    if not found.failures:
        return "<p>None: no run raised an error.</p>"
    items = "".join(
        f"<li>{escape(cell.label)}, seed {seed}: {escape(reason)}<br><code>{escape(cell.command(seed))}</code></li>"
        for cell, seed, reason in found.failures[:LONGEST]
    )
    rest = len(found.failures) - LONGEST
    return f"<ol>{items}</ol>" + (f"<p>and {rest} more, see `study export`.</p>" if rest > 0 else "")
