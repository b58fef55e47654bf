"""What was recorded of a run: every head at every record, and what follows from it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.frames import row_frame
from marginflow.heads.triangles import Triangles
from marginflow.notebook import grid
from marginflow.watch.figures import WATCHED


OVER_LEAD: Final = ("nuclear_over_lead", "frobenius_over_lead")
"""Norms of W over the least lead on the probe: what an SVM of the head's own tokens bounds from below."""

LAST_STEP: Final = int(np.iinfo(np.int64).max)


def one_line(what: str, text: str) -> str:
    """`text` itself, if a terminal shows it as one line.

    Raises:
        InputError: not a string, or with line breaks or control characters, which a terminal would obey.
    """
    if not isinstance(text, str) or not text.isprintable():
        raise InputError(f"{what}: got {text!r:.80}; expected one line of plain text")
    return text


@dataclass(frozen=True, eq=False)
class Record:
    """A run, from its start to the last record; one row a record, record k being the state after `step[k]` updates.

    Attributes:
        step: (R,) updates made.
        loss: (R,) the loss handed in with each, nan where none was.
        names: of the heads, "layer.head".
        laws: of each head, the word of what gradient flow conserves of it: plain, gqa, rope, rope+gqa or qk-norm.
        formulas: the same, for people.
        values: (R, H, 19) the figures named by `marginflow.watch.figures.WATCHED`; nan where logits were not seen.
        singular: (R, H, r) singular values of W = scale K'Q, descending, 0 beyond what a head has.
        components: (H,) how many it has.
        cores: (R, H, 2, r, m) float32 triangles of K and Q; None above 64 MB.
        model: what was watched.
        note: what the record leaves out, and why; "" for nothing.
    """

    step: Ints
    loss: Floats
    names: tuple[str, ...]
    laws: tuple[str, ...]
    formulas: tuple[str, ...]
    values: Floats
    singular: Floats
    components: Ints
    cores: npt.NDArray[np.float32] | None = None
    model: str = ""
    note: str = ""

    def __len__(self) -> int:
        return len(self.step)

    @property
    def law(self) -> str:
        """The word of all heads; several, in their order, where heads differ."""
        return ", ".join(dict.fromkeys(self.laws))

    @cached_property
    def layers(self) -> Mapping[str, list[int]]:
        """Layer -> places of its heads: what stands before the last dot of their names."""
        found: dict[str, list[int]] = {}
        for place, name in enumerate(self.names):
            found.setdefault(name.rpartition(".")[0] or name, []).append(place)
        return found

    def figure(self, name: str) -> Floats:
        """(R, H) one figure, by its name in WATCHED or OVER_LEAD.

        Raises:
            InputError: no such figure.
        """
        if name in OVER_LEAD:
            lead = self.figure("least_lead")
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(lead > 0.0, self.figure(name.removesuffix("_over_lead")) / lead, np.nan)
        if name not in WATCHED:
            raise InputError(f"figure: got {name!r}; expected one of {', '.join(WATCHED + OVER_LEAD)}")
        return self.values[:, :, WATCHED.index(name)]

    def place(self, head: str) -> int:
        """The place of a head by its name.

        Raises:
            InputError: no such head.
        """
        if head not in self.names:
            raise InputError(f"head: got {head!r}; expected one of {', '.join(self.names[:8])}")
        return self.names.index(head)

    def core(self, head: str, record: int = -1) -> Triangles:
        """The triangles of a head at a record: all of K'Q but its singular vectors, to seven digits.

        Raises:
            InputError: no such head, or the file holds no cores.
        """
        if self.cores is None:
            raise InputError("core: this record holds no cores; they are left out above 64 MB")
        keys, queries = self.cores[record, self.place(head)].astype(np.float64)
        return Triangles(keys, queries)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """What happened, layer by layer: the first records at which figures pass their marks."""
        from marginflow.watch.sentences import sentences

        return sentences(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        from marginflow.watch.files import save_record

        save_record(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Record":
        """Read what `save`, a Recorder or a watch wrote, also while the run goes on.

        Raises:
            InputError: not such a file, or one whose arrays do not fit each other.
        """
        from marginflow.watch.files import load_record

        return load_record(path)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: a list over records for every figure of every head."""
        figures = {name: self.figure(name) for name in WATCHED + OVER_LEAD}
        heads = []
        for h, name in enumerate(self.names):
            own: dict[str, Any] = {"name": name, "law": self.laws[h], "conserved": self.formulas[h]}
            own |= {figure: array[:, h].tolist() for figure, array in figures.items()}
            own["singular"] = self.singular[:, h, : int(self.components[h])].tolist()
            heads.append(own)
        return {
            "model": self.model,
            "law": self.law,
            "steps": self.step.tolist(),
            "loss": self.loss.tolist(),
            "sentences": list(self.sentences),
            "note": self.note,
            "heads": heads,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Each head at each record as a flat dictionary."""
        figures = {name: self.figure(name) for name in WATCHED + OVER_LEAD}
        for k in range(len(self)):
            for h, name in enumerate(self.names):
                row = {"step": int(self.step[k]), "loss": float(self.loss[k]), "name": name}
                yield row | {figure: float(array[k, h]) for figure, array in figures.items()}

    def to_dataframe(self) -> Any:
        """The rows as a data frame.

        Raises:
            InputError: neither pandas nor polars is installed.
        """
        return row_frame(self.rows())

    def __repr__(self) -> str:
        last = int(self.step[-1]) if len(self) else 0
        return f"Record({len(self.names)} heads, law {self.law}, {len(self)} records to step {last})"

    def _repr_html_(self) -> str:
        shown = ("max_logit", "entropy", "effective_rank", "alignment", "balance", "drift")
        rows = []
        for layer, places in list(self.layers.items())[:_SHOWN]:
            means = [float(np.mean(self.figure(name)[-1, places])) for name in shown]
            rows.append([layer, *(f"{value:.4g}" for value in means)])
        title = f"Record to step {int(self.step[-1])}: {len(self.names)} heads, law {self.law}, last means by layer"
        return grid(title, ["layer", *(name.replace("_", " ") for name in shown)], rows, notes=self.sentences)


_SHOWN = 12
