"""What `audit` returns: every head measured, and the checkpoint to look again."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from marginflow.audit.measured import MeasuredHead
from marginflow.audit.summary import Comparison, compare, sentences
from marginflow.frames import row_frame
from marginflow.heads.figures import FIGURES
from marginflow.heads.head import Head
from marginflow.notebook import grid


if TYPE_CHECKING:
    from marginflow.audit.on_data import HeadOnData


@dataclass(frozen=True, eq=False)
class Audit:
    """The heads of one checkpoint, each beside its controls.

    Attributes:
        source: the path that was read.
        family: the layout's word, such as "llama".
        law: what gradient flow conserves here: plain, gqa, rope, rope+gqa or qk-norm (theory 3.10).
        formula: the conserved quantity, for people.
        heads: every head measured, by layer and head.
        offsets: at which W of rotary heads was measured.
        controls, seed: draws of each control, and their seed.
        on_data: the same heads on the inputs given; empty without inputs.
        inputs: the file of the inputs, "" without.
        interrupted: Ctrl-C ended the audit; the heads measured until then are here.
    """

    source: str
    family: str
    law: str
    formula: str
    heads: tuple[MeasuredHead, ...]
    offsets: tuple[float, ...]
    controls: int
    seed: int
    on_data: tuple["HeadOnData", ...] = ()
    inputs: str = ""
    interrupted: bool = False

    def __len__(self) -> int:
        return len(self.heads)

    def __iter__(self) -> Iterator[MeasuredHead]:
        return iter(self.heads)

    def head(self, layer: int, head: int) -> Head:
        """The factors of one head, read again from the checkpoint: K, Q, scale, rotary angles, gains.

        Raises:
            InputError: no such head, or the checkpoint is no longer there.
        """
        from marginflow.heads.checkpoint import open_checkpoint

        return open_checkpoint(self.source).head(layer, head)

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every figure against every control, with intervals over heads."""
        return compare(self.heads, self.seed)

    @cached_property
    def summary(self) -> tuple[str, ...]:
        """What the figures say, in sentences; only where an interval excludes chance."""
        return sentences(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file that `Audit.load`, `marginflow report` and `marginflow audit` read.

        Raises:
            InputError: the file cannot be written.
        """
        from marginflow.audit.files import save_audit

        save_audit(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Audit":
        """Read what `save` wrote.

        Raises:
            InputError: not such a file, or one whose arrays do not fit each other.
        """
        from marginflow.audit.files import load_audit

        return load_audit(path)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        data = {(d.layer, d.head): d.to_dict() for d in self.on_data}
        heads = []
        for measured in self.heads:
            found = measured.to_dict(self.offsets)
            own = data.get((measured.layer, measured.head))
            heads.append(found if own is None else found | {"on_data": own})
        return {
            "source": self.source,
            "family": self.family,
            "law": self.law,
            "conserved": self.formula,
            "controls": self.controls,
            "seed": self.seed,
            "inputs": self.inputs,
            "summary": list(self.summary),
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "heads": heads,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each head as a flat dictionary: figures, then figure_control for the means of the draws, then data."""
        data = {(d.layer, d.head): d for d in self.on_data}
        for h in self.heads:
            row: dict[str, Any] = {"layer": h.layer, "head": h.head}
            row |= {name: h[name] for name in FIGURES} | {"balance_by_law": h.balance_by_law}
            for control in ("rotation", "iid"):
                draws = h.draws(control)
                means = draws.mean(axis=0) if len(draws) else [float("nan")] * len(FIGURES)
                row |= {f"{name}_{control}": float(value) for name, value in zip(FIGURES, means, strict=True)}
            own = data.get((h.layer, h.head))
            yield row if own is None else row | own.row()

    def to_dataframe(self) -> Any:
        """The rows as a data frame.

        Raises:
            InputError: neither pandas nor polars is installed.
        """
        return row_frame(self.rows())

    def __repr__(self) -> str:
        return f"Audit({self.family}, {self.law}, {len(self)} heads, {self.controls} draws of each control)"

    def _repr_html_(self) -> str:
        shown = self.heads[:_SHOWN]
        rows = [[h.name, *(f"{h[name]:.4g}" for name in FIGURES)] for h in shown]
        more = [] if len(shown) == len(self) else [f"... and {len(self) - len(shown)} more heads: to_dataframe()"]
        title = f"Audit of {self.family}: {len(self)} heads, law {self.law}"
        return grid(title, ["head", *(name.replace("_", " ") for name in FIGURES)], rows, notes=[*more, *self.summary])


_SHOWN = 12
