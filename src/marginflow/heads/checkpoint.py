"""The door of the room: a model's folder in, its attention heads out, one layer at a time."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.heads.config import Shape, has_alibi, read_config, scale_of, shape_of, slopes_of, unsupported
from marginflow.heads.head import Gains, Head
from marginflow.heads.layouts import LAYOUTS, Layout, layout_of
from marginflow.heads.rope_config import angles_of
from marginflow.heads.rows import Part, key_parts, query_parts
from marginflow.heads.tensors import Files, Reader, find_files


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model on disk.

    Attributes:
        path: what was opened.
        layout: its row in the table.
        shape: head counts.
        config: config.json.
        files: which file holds which tensor.
        prefix: what stands before the layout's names.
    """

    path: Path
    layout: Layout
    shape: Shape
    config: Mapping[str, Any]
    files: Files
    prefix: str

    @property
    def family(self) -> str:
        """The layout's word."""
        return self.layout.family

    def layer(self, layer: int) -> Iterator[Head]:
        """The query heads of one layer, in order; keys shared by a group are read once.

        Raises:
            InputError: no such layer, or weights that are missing, damaged or of another shape.
        """
        shape = self.shape
        if not 0 <= layer < shape.layers:
            raise InputError(f"layer: got {layer}; expected 0 to {shape.layers - 1}")
        group = shape.heads // shape.key_heads
        alibi = slopes_of(self.config, self.layout, self._config_path, shape.heads)
        with Reader(self.files) as reader:
            gains = self._gains(reader, layer)
            for key_head in range(shape.key_heads):
                K = self._rows(reader, layer, key_parts(self.layout, shape, key_head))
                heads = range(key_head * group, (key_head + 1) * group)
                Qs = [self._rows(reader, layer, query_parts(self.layout, shape, h)) for h in heads]
                shared = None if group == 1 else np.asarray(sum(Q @ Q.T for Q in Qs))
                for h, Q in zip(heads, Qs, strict=True):
                    yield self._head(layer, h, _same_width(K, Q), _same_width(Q, K), gains, shared, alibi[h])

    def head(self, layer: int, head: int) -> Head:
        """One query head.

        Raises:
            InputError: no such head, or as for `layer`.
        """
        if not 0 <= head < self.shape.heads:
            raise InputError(f"head: got {head}; expected 0 to {self.shape.heads - 1}")
        return next(found for found in self.layer(layer) if found.head == head)

    def _head(
        self, layer: int, head: int, K: Floats, Q: Floats, gains: Gains | None, shared: Floats | None, slope: float
    ) -> Head:
        rotary = self.layout.rotary
        if self.layout.alibi == "config" and has_alibi(self.config, self.layout):
            rotary = None
        width = self.shape.width
        return Head(
            K,
            Q,
            scale_of(self.config, self.layout, self._config_path, width, layer),
            rotary=None if rotary is None else angles_of(self.config, self.layout, self._config_path, width, layer),
            pairing=rotary or "halves",
            gains=gains,
            eps=0.0 if gains is None else self.shape.eps,
            cap=self.shape.cap,
            slope=float(slope),
            shared=shared,
            group=self.shape.heads // self.shape.key_heads,
            layer=layer,
            head=head,
        )

    @property
    def _config_path(self) -> Path:
        return self.files.folder / "config.json"

    def _rows(self, reader: Reader, layer: int, part: Part) -> Floats:
        """(m, D) rows of one head, the bias as last column where the model has one."""
        name = self._name(part.weight, layer)
        columns = self.layout.columns
        size = reader.shape(name + ".weight")
        expected = (self.shape.hidden, part.total) if columns else (part.total, self.shape.hidden)
        if size != expected:
            raise InputError(
                f"{self.path}: tensor {name}.weight has shape {size}; config.json asks for {expected}; "
                "do weights and config belong together?"
            )
        if columns:
            weight = reader.read(name + ".weight", columns=part.rows).T
        else:
            weight = reader.read(name + ".weight", rows=part.rows)
        if name + ".bias" not in self.files.home:
            return weight
        if reader.shape(name + ".bias") != (part.total,):
            raise InputError(
                f"{self.path}: {name}.bias has shape {reader.shape(name + '.bias')}; expected {part.total}"
            )
        return np.column_stack([weight, reader.read(name + ".bias", rows=part.rows)])

    def _gains(self, reader: Reader, layer: int) -> Gains | None:
        if self.layout.norms is None:
            return None
        query, key = (reader.read(self._name(n, layer) + ".weight") for n in self.layout.norms)
        if query.shape != (self.shape.width,) or key.shape != (self.shape.width,):
            raise InputError(f"{self.path}: QK-norm gains have shapes {query.shape}, {key.shape}; expected one a row")
        lift = 1.0 if self.layout.unit_gains else 0.0
        return key + lift, query + lift

    def _name(self, template: str, layer: int) -> str:
        return self.prefix + filled(template, layer, self.config)


def open_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read the names and counts of a model: a folder, or a .safetensors file beside its config.json.

    No weight is read yet, nothing is executed, and pickled files are refused.

    Raises:
        InputError: everything that keeps the heads from being read right, in one sentence.
    """
    where = Path(path)
    files = find_files(where)
    config_path = files.folder / "config.json"
    config = read_config(config_path)
    layout = _layout(config, files, config_path)
    config = {**layout.defaults, **{k: v for k, v in config.items() if v is not None}}
    reason = layout.refused or unsupported(config, layout)
    if reason:
        raise InputError(f"{where}: {layout.family} cannot be read head by head: {reason}")
    shape = shape_of(config, layout, config_path)
    prefix = _prefix(layout, config, files, where)
    return Checkpoint(where, layout, shape, config, files, prefix)


def filled(template: str, layer: int, config: Mapping[str, Any]) -> str:
    """A layout's name for one layer; ALBERT's distinct layers are counted through its groups."""
    inner = int(config.get("inner_group_num", 1))
    return template.format(i=layer, group=layer // inner, inner=layer % inner)


def _layout(config: Mapping[str, Any], files: Files, path: Path) -> Layout:
    word = config.get("model_type")
    if isinstance(word, str) and word:
        found = layout_of(word)
        if found is None:
            raise _unknown(f"model_type {word[:40]!r}", files, path)
        return found
    # Names alone do not tell every family (BLOOM and Falcon share theirs), so they decide only when one fits.
    fitting = [row for row in LAYOUTS if _prefixes(row, config, files)]
    if len(fitting) != 1:
        raise _unknown("no model_type", files, path)
    return fitting[0]


def _unknown(what: str, files: Files, path: Path) -> InputError:
    families = ", ".join(row.family for row in LAYOUTS if not row.refused)
    return InputError(
        f"{path}: got {what} and tensors such as {', '.join(n[:60] for n in files.names[:3])}; expected one of "
        f"{families}; for another model build heads by hand: marginflow.heads.head.Head(K, Q, scale)"
    )


def _prefixes(layout: Layout, config: Mapping[str, Any], files: Files) -> list[str]:
    wanted = filled(layout.key, 0, config) + ".weight"
    return [n.removesuffix(wanted) for n in files.names if re.search(r"(^|\.)" + re.escape(wanted) + "$", n)]


def _prefix(layout: Layout, config: Mapping[str, Any], files: Files, path: Path) -> str:
    found = _prefixes(layout, config, files)
    text = [p for p in found if "language_model" in p or "text" in p]
    chosen = found if len(found) == 1 else text
    if len(chosen) != 1:
        names = ", ".join(name[:60] for name in files.names[:3])
        raise InputError(
            f"{path}: has {len(found)} tensors called ...{filled(layout.key, 0, config)}.weight, as {layout.family} "
            f"has one (tensors such as {names}); is it a {layout.family} checkpoint, or quantised?"
        )
    return chosen[0]


def _same_width(own: Floats, other: Floats) -> Floats:
    """`own` with a bias of zero where only the other side has one."""
    return own if own.shape[1] >= other.shape[1] else np.column_stack([own, np.zeros(len(own))])
