"""The parameterisations there are, by their words; your own join with `register` (docs/parameterization.md)."""

import sys
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import isabstract, isclass
from typing import Any, TypeVar

import numpy as np

from marginflow.errors import InputError
from marginflow.model.combined import Combined as Combined, Diagonal as Diagonal
from marginflow.model.diagonal_key_query import DiagonalKeyQuery as DiagonalKeyQuery
from marginflow.model.key_query import KeyQuery as KeyQuery
from marginflow.model.parameterization import AbstractParameterization as AbstractParameterization


Kind = TypeVar("Kind", bound=type[AbstractParameterization])

PARAMETERIZATIONS: dict[str, type[AbstractParameterization]] = {
    "kq": KeyQuery,
    "w": Combined,
    "diag-kq": DiagonalKeyQuery,
    "diag": Diagonal,
}
"""By the word the command line uses; `register` adds to them."""

_OURS = frozenset(PARAMETERIZATIONS.values())


def register(kind: Kind) -> Kind:
    """Make a parameterisation of your own known to `load`, reports, studies and the command line; a decorator too.

    Args:
        kind: a class derived from `AbstractParameterization`, a frozen dataclass whose `word` is its default. Its
            other fields are numbers or words, which files keep to make it again.

    Returns:
        The class itself.

    Raises:
        InputError: not such a class, or its word is that of another parameterisation.
    """
    if not isclass(kind) or not issubclass(kind, AbstractParameterization) or isabstract(kind):
        raise InputError(f"register: got {kind!r}; expected a class with every method of AbstractParameterization")
    word = getattr(kind, "word", None)
    if not is_dataclass(kind) or not isinstance(word, str) or not word or not word.isprintable() or ":" in word:
        raise InputError(
            f"register: got {kind.__name__} with word {word!r}; expected a frozen dataclass with "
            'word: str = field(default="...", init=False)'
        )
    there = PARAMETERIZATIONS.get(word)
    # A notebook that runs a cell again makes the same class anew.
    if there is not None and (there in _OURS or _address(there) != _address(kind)) and there is not kind:
        raise InputError(f"register: got the word {word!r}, which is that of {_address(there)}; choose another word")
    PARAMETERIZATIONS[word] = kind
    return kind


def parse_parameterization(
    given: str | AbstractParameterization, width: int | None = None, **options: Any
) -> AbstractParameterization:
    """The parameterisation meant by a word, or by itself: the one way from a word to a parameterisation.

    Args:
        given: kq, w, diag-kq, diag, the word of a registered class, or module:Class of one that is not imported yet.
        width: columns of K and Q; by default as many as tokens or queries have dimensions, whichever are fewer.
        options: further fields of a registered class.

    Raises:
        InputError: an unknown word, or a width for what has none.
    """
    if isinstance(given, AbstractParameterization):
        if width is not None or options:
            raise InputError(f"width: got {width} beside {given!r}, which says its own; give one of them")
        return given
    if not isinstance(given, str):
        hint = f"; write {given.__name__}(...)" if isclass(given) else ""
        raise InputError(f"parameterization: got {given!r}; expected one of {_listed()}, or such as KeyQuery(3){hint}")
    kind: type[AbstractParameterization] | None = PARAMETERIZATIONS.get(given)
    if ":" in given:
        kind = register(imported("parameterization", given, "module:Class of your own"))
    if kind is None:
        raise InputError(f"parameterization: got {given!r}; expected one of {_listed()}, or module:Class of your own")
    if width is not None:
        if "width" not in {f.name for f in fields(kind) if f.init}:  # type: ignore[arg-type]
            raise InputError(f"width: got {width} with parameterization {given}; it has no width")
        options["width"] = width
    try:
        return kind(**options)
    except TypeError as error:
        needs = [f.name for f in fields(kind) if f.init]  # type: ignore[arg-type]
        raise InputError(f"parameterization {given}: {error}; expected the fields {needs}") from None


def options_of(model: AbstractParameterization) -> dict[str, Any]:
    """The fields that make `model` again with its word, for a file.

    Raises:
        InputError: a class that is not registered under its word, or a field that is no number or word.
    """
    if PARAMETERIZATIONS.get(model.word) is not type(model):
        raise InputError(
            f"parameterization {model.word!r}: {type(model).__name__} is not registered, so that no file of it could "
            f"be read; call marginflow.register({type(model).__name__}) first"
        )
    out = {f.name: getattr(model, f.name) for f in fields(model) if f.init}  # type: ignore[arg-type]
    for name, value in out.items():
        if isinstance(value, np.generic):
            out[name] = value = value.item()
        if not isinstance(value, bool | int | float | str | None):
            raise InputError(
                f"parameterization {model.word!r}: field {name} is {value!r}; expected a number or a word to save"
            )
    return out


def imported(what: str, given: str, expected: str) -> Any:
    """The class that `given`, module:Class, names; modules in the current folder are found, as by `python -m`.

    Raises:
        InputError: no such module or class; `what` was given and what was `expected` are said.
    """
    module, _, name = given.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(f"{what}: got {given!r} ({error}); expected {expected}") from None


def _listed() -> str:
    return ", ".join(PARAMETERIZATIONS)


def _address(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
