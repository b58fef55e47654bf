"""Which rows of a weight belong to a head: query, key and value rows follow each other in several orders."""

from dataclasses import dataclass

from marginflow.heads.config import Shape
from marginflow.heads.layouts import Layout


@dataclass(frozen=True)
class Part:
    """Rows of one tensor.

    Attributes:
        weight: the layout's name of the tensor, without ".weight".
        rows: the head's rows.
        total: how many rows the tensor must have.
    """

    weight: str
    rows: slice
    total: int


def query_parts(layout: Layout, shape: Shape, head: int) -> Part:
    """The query rows of query head `head`."""
    m, group = shape.width, shape.heads // shape.key_heads
    total = _total(layout, shape)
    order = _order(layout, shape)
    if order == "separate":
        return Part(layout.query, _block(head, m), shape.heads * m)
    if order == "q|k|v":
        return Part(layout.query, _block(head, m), total)
    if order == "head(q,k,v)":
        return Part(layout.query, _block(3 * head, m), total)
    return Part(layout.query, _block((head // group) * (group + 2) + head % group, m), total)


def key_parts(layout: Layout, shape: Shape, key_head: int) -> Part:
    """The key rows of key head `key_head`."""
    m, group = shape.width, shape.heads // shape.key_heads
    total = _total(layout, shape)
    order = _order(layout, shape)
    if order == "separate":
        return Part(layout.key, _block(key_head, m), shape.key_heads * m)
    if order == "q|k|v":
        return Part(layout.key, _block(shape.heads + key_head, m), total)
    if order == "head(q,k,v)":
        return Part(layout.key, _block(3 * key_head + 1, m), total)
    return Part(layout.key, _block(key_head * (group + 2) + group, m), total)


def _order(layout: Layout, shape: Shape) -> str:
    """Falcon's first models keep heads together, or all queries before the one shared key: the same two orders."""
    if layout.order != "falcon":
        return layout.order
    return "head(q,k,v)" if shape.key_heads == shape.heads else "group(q..q,k,v)"


def _total(layout: Layout, shape: Shape) -> int:
    return (shape.heads + 2 * shape.key_heads) * shape.width


def _block(number: int, m: int) -> slice:
    return slice(number * m, (number + 1) * m)
