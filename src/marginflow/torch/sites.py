"""Where the heads of a model are: which rows of which parameters make the two sides of each dot product."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.heads.head import Head
from marginflow.torch.mha import MultiHead
from marginflow.torch.seen import Attended, Projection
from marginflow.watch.recognise import LOW_TOLERANCE, TOLERANCE, Between, best_blocks, recognise


_PLACES = 512
"""Queries or tokens looked at to recognise a head; of samples, as many as hold so many."""


_CHECKED = 64
"""As many at every record."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows of a parameter: one side of one head.

    Attributes:
        weight, bias: the parameters; bias None without.
        columns: the weight is (D, N).
        first: the first of its rows in the weight.
        shift: the first of its entries in the bias.
        width: how many.
        between: what stands between them and the dot product.
    """

    weight: Any
    bias: Any
    columns: bool
    first: int
    shift: int
    width: int
    between: Between

    @property
    def key(self) -> tuple[int, int]:
        """What tells these rows from others."""
        return id(self.weight), self.first

    def read(self) -> Floats:
        """(m, D) float64, the bias as last column where there is one."""
        chosen = slice(self.first, self.first + self.width)
        part = self.weight.detach()
        found = _numpy(part[:, chosen].T if self.columns else part[chosen])
        if self.bias is None:
            return found
        return np.column_stack([found, _numpy(self.bias.detach()[self.shift : self.shift + self.width])])


@dataclass(frozen=True, eq=False)
class Site:
    """The heads of one dot product.

    Attributes:
        module: where it is.
        keys, queries: the rows of each head.
        scale: what the product of the two is multiplied by; None until it is measured, of models that do so themselves.
    """

    module: str
    keys: tuple[Rows, ...]
    queries: tuple[Rows, ...]
    scale: float | None

    @property
    def names(self) -> list[str]:
        """module.head, from 0."""
        return [f"{self.module or 'attention'}.{h}" for h in range(len(self.keys))]

    def heads(self) -> Iterator[Head]:
        """The heads as they are now."""
        served: dict[tuple[int, int], list[int]] = {}
        for h, rows in enumerate(self.keys):
            served.setdefault(rows.key, []).append(h)
        for key, query in zip(self.keys, self.queries, strict=True):
            group = {self.queries[g].key: self.queries[g] for g in served[key.key]}
            Q = query.read()
            shared = None
            if len(group) > 1:
                grams = (rows.read() for rows in group.values())
                shared = np.asarray(sum(own @ own.T for own in grams))
            scale = 1.0 if self.scale is None else self.scale
            yield _head(key.read(), Q, key.between, query.between, scale, shared, len(group))


def find_site(event: Attended) -> Site:
    """Recognise the heads of a dot product whose projections were replaced by random numbers.

    Raises:
        InputError: a side is not one of the projections before it, turned by pairs or normalised, or the two sides
            are not of one kind, or are the same weights.
    """
    if event.heads is not None:
        return _multi_head(event.module, event.heads)
    if event.queries is None or not event.given:
        raise _unseen(event.module, "no projection by a parameter comes before its dot product")
    queries = _side(event, event.queries, "queries")
    keys = _side(event, event.keys, "keys")
    if len(keys) != len(queries):
        raise _unseen(event.module, f"it has {len(queries)} heads of queries and {len(keys)} of keys")
    for key, query in zip(keys, queries, strict=True):
        if not key.between.alike(query.between):
            raise _unseen(event.module, "keys and queries are not of one kind (positions or norms on one side only)")
        if key.key == query.key:
            raise _unseen(event.module, "keys and queries are the same weights, of which no law here speaks")
    pairs = {(query.key, key.key) for key, query in zip(keys, queries, strict=True)}
    if len(pairs) > len({query for query, _ in pairs}):
        raise _unseen(event.module, "queries serve several keys, of which no law here speaks")
    return Site(event.module, keys, queries, event.scale)


def check_site(site: Site, event: Attended) -> None:
    """The dot product receives what it did when it was recognised, now that projections are the model's own.

    Raises:
        InputError: it does not.
    """
    if site.module != event.module or (event.heads is None) != (event.queries is not None):
        raise _unseen(event.module, "the model took another path than before")
    if event.heads is not None:
        return
    for rows, used, word in ((site.queries, event.queries, "queries"), (site.keys, event.keys, "keys")):
        for h, own in enumerate(rows):
            source = next((p for p in event.given if p.weight is own.weight), None)
            shaped = None if source is None else _shaped(source, used, _CHECKED)
            if shaped is None:
                raise _unseen(event.module, "the model took another path than before")
            given, sides = shaped
            part = given[..., own.first : own.first + own.width]
            if source is None or not own.between.fits(part, sides[h], _tolerance(source.output)):
                raise _unseen(
                    event.module,
                    f"what its dot product receives as {word} is no longer what {own.width} rows of a projection give "
                    "(an adapter beside it, or numbers that are clipped?)",
                )


def scale_between(site: Site, one: Attended, two: Attended) -> float:
    """What the product is multiplied by before the softmax: from two events whose projections differ.

    Biases by position and masks are the same in both and go out of the difference.

    Raises:
        InputError: logits that are no multiple of the product plus what does not depend on it.
    """
    products = [(e.queries.double() @ e.keys.double().transpose(-1, -2)).reshape(e.logits.shape) for e in (one, two)]
    there = (one.logits > _LEAST) & (two.logits > _LEAST)
    dp = torch.where(there, products[1] - products[0], 0.0)
    dl = torch.where(there, two.logits.double() - one.logits.double(), 0.0)
    scale = float((dp * dl).sum() / (dp * dp).sum())
    off = float((dl - scale * dp).norm() / dl.norm())
    if not scale > 0.0 or not off < LOW_TOLERANCE:
        raise _unseen(site.module, "its logits are no multiple of a product of keys and queries")
    return scale


_LEAST = -1e3
"""Masked logits are below; those of small random projections are not."""


def _side(event: Attended, used: Any, word: str) -> tuple[Rows, ...]:
    m = used.shape[-1]
    candidates, blocks = [], []
    sides: Floats | None = None
    for projection in event.given:
        shaped = _shaped(projection, used, _PLACES) if projection.output.shape[-1] % m == 0 else None
        if shaped is not None:
            given, sides = shaped
            for first in range(0, given.shape[-1], m):
                candidates.append((projection, first, given))
                blocks.append(given[..., first : first + m].reshape(-1, m))
    if sides is None:
        raise _unseen(event.module, f"no projection before its dot product has the shape of its {word}")
    found = []
    best = best_blocks(sides.reshape(len(sides), -1, m), np.array(blocks))
    for h, own in enumerate(sides):
        between = None
        for place in best[h]:
            projection, first, given = candidates[place]
            between = recognise(given[..., first : first + m], own, given, _tolerance(projection.output))
            if between is not None:
                break
        if between is None or between.refused:
            why = f"its {word} are no rows of a projection, turned by pairs or normalised"
            raise _unseen(event.module, why if between is None else between.refused)
        found.append(Rows(projection.weight, projection.bias, projection.columns, first, first, m, between))
    return tuple(found)


def _shaped(projection: Projection, used: Any, places: int) -> tuple[Floats, Floats] | None:
    """(n, T, N) of the projection and (H, n, T, m) of what the dot product receives, of the first samples."""
    T, m = used.shape[-2:]
    out = projection.output.detach()
    if out.numel() % (out.shape[-1] * T):
        return None
    n = out.numel() // (out.shape[-1] * T)
    if out.ndim == 3 and out.shape[0] == T and out.shape[1] == n != T:
        out = out.transpose(0, 1)
    if used.numel() % (n * T * m):
        return None
    kept = max(1, min(n, places // T))
    given = out.reshape(n, T, out.shape[-1])[:kept]
    sides = used.detach().reshape(n, -1, T, m)[:kept]
    return _numpy(given), _numpy(sides.transpose(0, 1))


def _head(K: Floats, Q: Floats, key: Between, query: Between, scale: float, shared: Any, group: int) -> Head:
    factor = key.factor * query.factor
    rotation = key.rotation
    gains = None if key.gains is None or query.gains is None else (key.gains, query.gains)
    return Head(
        K if factor > 0.0 else -K,
        Q,
        _snapped(scale * abs(factor), len(K)),
        rotary=None if rotation is None else rotation.angles,
        pairing="halves" if rotation is None else rotation.pairing,
        gains=gains,
        shared=shared,
        group=group,
    )


def _snapped(scale: float, m: int) -> float:
    """The number that a scale measured in single precision stands for, where it is one of those in use."""
    return next((usual for usual in (m**-0.5, 1.0 / m, 1.0) if abs(scale / usual - 1.0) < _ROUNDING), scale)


_ROUNDING = 3e-5
"""Of a scale measured between logits in single precision, biases by position in them."""


def _multi_head(module: str, found: MultiHead) -> Site:
    keys, queries = (
        tuple(
            Rows(weight, bias, False, first + k, shift + k, found.width, Between())
            for k in range(0, found.count * found.width, found.width)
        )
        for weight, bias, first, shift in (found.key, found.query)
    )
    return Site(module, keys, queries, found.scale)


def _tolerance(used: Any) -> float:
    return TOLERANCE if used.dtype.itemsize >= 4 else LOW_TOLERANCE


def _numpy(tensor: Any) -> Floats:
    return np.asarray(tensor.to("cpu", torch.float64).numpy())


def _unseen(module: str, why: str) -> InputError:
    return InputError(
        f"watch: {module or 'the model'} cannot be watched: {why}; name the layers to watch with modules=[...], or "
        "read keys and queries yourself with read="
    )
