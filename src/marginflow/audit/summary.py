"""Sentences about all heads of a model: a figure against a control, only where its interval excludes chance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.audit.controls import CONTROLS, SENTENCES
from marginflow.audit.measured import MeasuredHead
from marginflow.heads.figures import FIGURES


if TYPE_CHECKING:
    from marginflow.audit.audit import Audit


COMPARED: Final = ("nuclear", "operator", "effective_rank", "rank90", "alignment", "commutator", "balance")
"""Figures that the controls change; the Frobenius norm of iid weights is set by theirs."""

LABELS: Final = {
    "nuclear": "nuclear norm",
    "frobenius": "Frobenius norm",
    "operator": "operator norm",
    "effective_rank": "effective rank",
    "rank90": "components for 90 %",
    "balance": "imbalance",
    "alignment": "alignment",
    "commutator": "commutator",
}
"""Figures in sentences and column heads; balance is 0 where keys and queries balance."""

FEWEST: Final = 6
"""Heads from which an interval over heads is given."""

_RESAMPLES: Final = 2000


@dataclass(frozen=True)
class Comparison:
    """One figure of all heads against one control.

    Attributes:
        figure, control: names.
        trained, expected: means over heads, of the model and of the control's draws.
        ratio: mean over heads of trained over the mean of the head's draws.
        low, high: 95 % interval of the ratio over heads (bootstrap, heads taken as independent); nan for few heads.
        below, above: heads outside the central 95 % of their own draws.
        share: of the heads on the ratio's side of the mean of their own draws.
        heads: how many.
    """

    figure: str
    control: str
    trained: float
    expected: float
    ratio: float
    low: float
    high: float
    below: int
    above: int
    share: float
    heads: int

    @property
    def off(self) -> bool:
        """Whether the interval excludes 1; False where there is none."""
        return bool(self.low > 1.0 or self.high < 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "off": self.off}


def compare(heads: Sequence[MeasuredHead], seed: int) -> tuple[Comparison, ...]:
    """Every figure that a control changes against it; nothing without heads or draws."""
    found = []
    for figure in COMPARED:
        column = FIGURES.index(figure)
        for control in CONTROLS:
            if heads and len(heads[0].draws(control)):
                draws = np.array([h.draws(control)[:, column] for h in heads])
                trained = np.array([h.values[column] for h in heads])
                found.append(comparison(figure, control, trained, draws, seed))
    return tuple(found)


def comparison(figure: str, control: str, trained: Floats, draws: Floats, seed: int) -> Comparison:
    """One figure (heads,) against its draws (heads, k)."""
    expected = draws.mean(axis=1)
    known = expected > 0.0
    ratios = trained[known] / expected[known]
    ratio = float(ratios.mean()) if len(ratios) else float("nan")
    low, high = bootstrap(ratios, seed)
    bounds = np.quantile(draws, [0.025, 0.975], axis=1)
    side = trained < expected if ratio < 1.0 else trained > expected
    return Comparison(
        figure=figure,
        control=control,
        trained=float(trained.mean()),
        expected=float(expected.mean()),
        ratio=ratio,
        low=low,
        high=high,
        below=int((trained < bounds[0]).sum()),
        above=int((trained > bounds[1]).sum()),
        share=float(side.mean()),
        heads=len(trained),
    )


def bootstrap(values: Floats, seed: int) -> tuple[float, float]:
    """95 % interval of the mean over (heads,) values, by resampling heads; nan for fewer than FEWEST.

    Resampling knows the spread of n values only as far as they show it: the interval is widened by
    sqrt(n / (n - 1)) t / z, which keeps 95 % at eight heads (`tests/audit/test_real_model.py`).
    """
    if len(values) < FEWEST:
        return float("nan"), float("nan")
    random = np.random.default_rng([seed, len(values)])
    means = values[random.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    centre, widen = float(values.mean()), _widen(len(values))
    return centre + widen * (float(low) - centre), centre + widen * (float(high) - centre)


def _widen(n: int) -> float:
    z, nu = 1.959964, n - 1
    # Cornish and Fisher's expansion of Student's quantile; within .5 % from five degrees of freedom on.
    t = z + (z**3 + z) / (4 * nu) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * nu**2)
    return float((n / nu) ** 0.5 * t / z)


def sentences(audit: "Audit") -> tuple[str, ...]:
    """What can be said of the model; the first sentences are about the weights, then on data, then the limits."""
    heads = audit.heads
    if not heads:
        return ("No head was measured.",)
    said = [_against(c, audit) for c in audit.comparisons if c.off and c.control == "rotation"]
    quiet = [LABELS[c.figure] for c in audit.comparisons if c.control == "rotation" and not c.off]
    if len(heads) < FEWEST:
        said.append(f"{len(heads)} heads are too few for an interval over heads: no average is compared.")
    elif quiet:
        said.append(f"No statement about {', '.join(quiet)}: the interval over heads includes the rotation's average.")
    if audit.on_data:
        from marginflow.audit.on_data import data_sentences

        said += data_sentences(audit.on_data, audit.seed)
    if audit.law == "qk-norm":
        said.append(
            "Keys and queries are normalised (QK-norm): the logits are not bilinear, so norms of W say nothing about "
            "them; the largest possible logit is given instead."
        )
    said.append(f"Gradient flow conserves {audit.formula} here (law {audit.law}).")
    return tuple(said)


def _against(c: Comparison, audit: "Audit") -> str:
    side = "below" if c.ratio < 1.0 else "above"
    beyond = _beyond_both(audit, FIGURES.index(c.figure), side)
    return (
        f"{LABELS[c.figure].capitalize()}: {beyond} of {c.heads} heads are {side} both controls; {c.trained:.4g} on "
        f"average against {c.expected:.4g} with {SENTENCES[c.control]}, ratio {c.ratio:.3f} "
        f"{rounding.interval(c.low, c.high, 3)} over heads, {side} in {c.share:.0%} of them."
    )


def _beyond_both(audit: "Audit", column: int, side: str) -> int:
    """Heads outside the central 95 % of their own draws of every control, on one side."""
    count = 0
    for h in audit.heads:
        bounds = [np.quantile(h.draws(c)[:, column], [0.025, 0.975]) for c in CONTROLS]
        low, high = min(b[0] for b in bounds), max(b[1] for b in bounds)
        count += bool(h.values[column] < low if side == "below" else h.values[column] > high)
    return count
