"""Norms by the names that a user writes."""

import math
from typing import Final

from marginflow.errors import InputError
from marginflow.norms.abstract import AbstractNorm
from marginflow.norms.cut import Cut
from marginflow.norms.matrices import Frobenius, Nuclear, Operator
from marginflow.norms.powers import EntryLp, Lp


def parse_norm(norm: str | AbstractNorm) -> AbstractNorm:
    """The norm called `norm`: nuclear, frobenius, operator, entry-linf, entry-l1 or entry-lp:P of a full W; l1, l2,
    linf or lp:P of W = diag(beta), P > 1. entry-lp:2 is frobenius.

    Raises:
        InputError: an unknown name, or an exponent that is no number above 1.
    """
    if isinstance(norm, AbstractNorm):
        return norm
    known = str(norm).strip().lower()
    if known in _NAMED:
        return _NAMED[known]
    for prefix, kind in _POWERS.items():
        if known.startswith(f"{prefix}lp:"):
            p = _exponent(known[len(prefix) + 3 :])
            if 1.0 < p < math.inf:
                return Frobenius() if kind is EntryLp and p == 2.0 else kind(p)
            hint = {1.0: f"; write {prefix}l1", math.inf: f"; write {prefix}linf"}.get(p, "")
            raise InputError(
                f"norm: got {norm!r}; expected {prefix}lp:P with a number P > 1, such as {prefix}lp:1.75{hint}"
            )
    hint = "; the l2 norm of all entries is frobenius" if known == "entry-l2" else ""
    raise InputError(
        f"norm: got {norm!r}; expected one of {', '.join(names())}, entry-lp:P or lp:P, such as lp:1.75{hint}"
    )


def names() -> tuple[str, ...]:
    """The norms that have a name, those of users among them; lp:P and entry-lp:P come on top."""
    return tuple(_NAMED)


_NAMED: Final[dict[str, AbstractNorm]] = {
    "nuclear": Nuclear(),
    "frobenius": Frobenius(),
    "operator": Operator(),
    "l1": Lp(1.0),
    "l2": Lp(2.0),
    "linf": Lp(math.inf),
    "entry-l1": EntryLp(1.0),
    "entry-linf": EntryLp(math.inf),
    "cut": Cut(),
}

_POWERS: Final[dict[str, type[Lp | EntryLp]]] = {"": Lp, "entry-": EntryLp}
"""The norms that take an exponent, by what their names start with before lp:P."""

_OURS: Final = frozenset(_NAMED)

_TAKEN: Final = tuple(f"{prefix}lp:" for prefix in _POWERS)


def register_norm(norm: AbstractNorm) -> None:
    """Let `norm` be found by its name.

    Raises:
        InputError: its name is none, or that of a norm of this library.
    """
    name = norm.name
    if not name.isprintable() or name != name.strip().lower() or not name or name in _OURS or name.startswith(_TAKEN):
        raise InputError(
            f"register: got a norm with the name {name!r}; expected small letters, not those of {', '.join(_OURS)}"
        )
    _NAMED[name] = norm


def _exponent(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
