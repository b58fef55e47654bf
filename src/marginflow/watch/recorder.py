"""The recorder: heads and logits of a training run in, one file that is whole after every record out."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, as_floats
from marginflow.errors import InputError
from marginflow.heads.head import Head
from marginflow.heads.law import Law
from marginflow.heads.triangles import Triangles, triangles
from marginflow.watch.clock import PER_DECADE, Clock
from marginflow.watch.figures import ON_PROBE, Grams, on_probe, on_weights
from marginflow.watch.record import LAST_STEP, Record, one_line


LARGEST_CORES: Final = 64 * 2**20
"""Bytes of cores that a file may hold; beyond, it holds none."""

Shape = tuple[tuple[int, ...], tuple[int, ...], str]
"""Of K and of Q, and the word of the law: what a head keeps from record to record."""

Named = tuple[str, Any, Any] | tuple[str, Head]
"""(name, K, Q) with K (m, D) and Q (m, D_z), whose logits are (K x).(Q z), or (name, Head) for all the rest."""


class Recorder:
    """Keeps the figures of every head at every record and rewrites its file, so that a killed run loses nothing.

    Nothing here knows the framework that trains: anything with weights that NumPy can read can be recorded.
    """

    def __init__(
        self, to: str | os.PathLike[str] | None = None, *, per_decade: int = PER_DECADE, model: str = "", note: str = ""
    ) -> None:
        """Start an empty record.

        Args:
            to: the .npz file, replaced at the first record and rewritten whole at each; None keeps all in memory.
            per_decade: records between step k and step 10 k, for `due`.
            model: what is recorded, for people.
            note: what the record leaves out, for people.

        Raises:
            InputError: a folder that does not exist, a clock that is no positive integer, or words that are not one
                line of text.
        """
        self.to = None if to is None else _file(to)
        self._clock = Clock(per_decade)
        self._model, self._note = (one_line(*pair) for pair in (("model", model), ("note", note)))
        self._steps: list[int] = []
        self._losses: list[float] = []
        self._values: list[Floats] = []
        self._singular: list[Floats] = []
        self._cores: list[Any] | None = []
        self._first: dict[str, Grams] = {}
        self._shapes: dict[str, Shape] = {}
        self._names: tuple[str, ...] = ()
        self._laws: tuple[Law, ...] = ()
        self._components: list[int] = []

    def due(self, step: int) -> bool:
        """Whether the clock asks for a record after `step` updates: 0, then 12 a decade.

        Raises:
            InputError: no whole number.
        """
        return self._clock.due(step)

    def record(self, step: int, loss: Any, heads: Iterable[Named], logits: Mapping[str, Any] | None = None) -> None:
        """Measure `heads` now, keep the figures and rewrite the file.

        Args:
            step: updates made so far; larger at every record.
            loss: to be kept beside it, a number or a tensor of one entry; None for none.
            heads: every head, the same ones in the same order at every record; taken one at a time.
            logits: name -> (..., S, T), S queries by T tokens, on a probe that stays the same: as they go into the
                softmax, with scale, positions, mask and all. Heads without are recorded by their weights.

        Raises:
            InputError: steps that do not rise, other heads than before, or of another shape or law, a loss that is no
                number, shapes or numbers that cannot be used. Nothing of such a record is kept.
        """
        self._check_step(step)
        number = _number(loss)
        given = logits or {}
        names: list[str] = []
        laws: list[Law] = []
        values, singular, first, reduced, shapes = [], [], dict(self._first), [], dict(self._shapes)
        if not isinstance(heads, Iterable):
            raise InputError(f"heads: got {type(heads).__name__}; expected (name, K, Q) or (name, Head) for each")
        for item in heads:
            name, head = _named(item)
            shape = head.K.shape, head.Q.shape, head.law.word
            if shapes.setdefault(name, shape) != shape:
                raise InputError(f"head {name}: got {_shown(shape)} after {_shown(shapes[name])}; expected the same")
            parts = triangles(head)
            weights, now = on_weights(head, parts, first.get(name))
            first.setdefault(name, now)
            probe = on_probe(name, given[name]) if name in given else np.full(len(ON_PROBE), np.nan)
            values.append(np.concatenate([weights, probe]))
            singular.append(head.scale * parts.singular)
            names.append(name)
            laws.append(head.law)
            reduced.append(parts)
        _check_names(names, self._names, given)
        # Only now, when nothing can fail any more: a record is kept whole or not at all.
        self._steps.append(int(step))
        self._losses.append(number)
        self._values.append(np.array(values))
        self._singular.append(_padded(singular))
        self._first, self._shapes, self._names, self._laws = first, shapes, tuple(names), tuple(laws)
        self._components = [len(row) for row in singular]
        self._keep_cores(reduced)
        if self.to is not None:
            self.result.save(self.to)

    def amend(self, loss: Any) -> None:
        """Give the last record a loss, if it has none: that of the start is known with the first update only.

        Raises:
            InputError: no number.
        """
        number = _number(loss)
        if self._losses and math.isnan(self._losses[-1]):
            self._losses[-1] = number

    @property
    def result(self) -> Record:
        """What was recorded until now.

        Raises:
            InputError: nothing was.
        """
        if not self._steps:
            raise InputError("result: nothing was recorded yet; call record(step, loss, heads)")
        note = self._note if self._cores is not None else f"{self._note} Cores are left out: above 64 MB.".strip()
        return Record(
            step=np.array(self._steps, dtype=np.intp),
            loss=np.array(self._losses),
            names=self._names,
            laws=tuple(law.word for law in self._laws),
            formulas=tuple(law.formula for law in self._laws),
            values=np.array(self._values),
            singular=np.array(self._singular),
            components=np.array(self._components, dtype=np.intp),
            cores=None if self._cores is None else np.array(self._cores),
            model=self._model,
            note=note,
        )

    def _check_step(self, step: int) -> None:
        if isinstance(step, bool) or not isinstance(step, int | np.integer) or not 0 <= step <= LAST_STEP:
            raise InputError(f"step: got {step!r}; expected how many updates were made, an integer from 0 to 2^63 - 1")
        if self._steps and step <= self._steps[-1]:
            raise InputError(f"step: got {step} after {self._steps[-1]}; expected a later one")

    def _keep_cores(self, reduced: Sequence[Triangles]) -> None:
        if self._cores is None:
            return
        rows = max(max(len(p.keys), len(p.queries)) for p in reduced)
        width = max(p.keys.shape[1] for p in reduced)
        if (len(self._cores) + 1) * len(reduced) * 2 * rows * width * 4 > LARGEST_CORES:
            self._cores = None
            return
        found = np.zeros((len(reduced), 2, rows, width), dtype=np.float32)
        for h, parts in enumerate(reduced):
            for side, triangle in enumerate((parts.keys, parts.queries)):
                found[h, side, : triangle.shape[0], : triangle.shape[1]] = triangle
        self._cores.append(found)


def _file(to: str | os.PathLike[str]) -> str:
    if not isinstance(to, str | os.PathLike):
        raise InputError(f"to: got {type(to).__name__}; expected the name of a file")
    file = os.fspath(to)
    if not file or os.path.isdir(file) or not os.path.isdir(os.path.dirname(file) or "."):
        raise InputError(f"to: got {file!r}; expected the name of a file in a folder that exists")
    return file


def _number(loss: Any) -> float:
    """A loss as a number: of a tensor its one entry, nan for None."""
    if loss is None:
        return math.nan
    try:
        return float(loss.detach() if hasattr(loss, "detach") else loss)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise InputError(f"loss: got {type(loss).__name__}; expected a number or a tensor of one entry") from None


def _shown(shape: Shape) -> str:
    return f"K {shape[0]}, Q {shape[1]}, law {shape[2]}"


def _named(item: Named) -> tuple[str, Head]:
    if not isinstance(item, tuple | list):
        raise InputError(f"heads: got {type(item).__name__}; expected (name, K, Q) or (name, Head) for each")
    if len(item) == 2 and isinstance(item[1], Head):
        return item[0], item[1]
    if len(item) == 3:
        name, K, Q = item
        return name, Head(as_floats(f"K of {name}", K, 2), as_floats(f"Q of {name}", Q, 2), 1.0)
    raise InputError("heads: expected (name, K, Q) or (name, Head) for each")


def _check_names(names: Sequence[str], before: Sequence[str], logits: Mapping[str, Any]) -> None:
    good = all(isinstance(name, str) and name and name.isprintable() for name in names)
    if not names or not good or len(set(names)) != len(names):
        raise InputError(f"heads: got names {list(names[:4])}; expected at least one head, each with a name of its own")
    if before and tuple(names) != tuple(before):
        raise InputError(f"heads: got {list(names[:4])} after {list(before[:4])}; expected the same ones in one order")
    unknown = [name for name in logits if name not in names]
    if unknown:
        raise InputError(f"logits: got {unknown[:3]}; expected names of heads: {', '.join(names[:4])}")


def _padded(rows: Sequence[Floats]) -> Floats:
    found = np.zeros((len(rows), max(map(len, rows))))
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    return found
