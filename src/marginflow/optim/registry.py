"""The optimisers there are, by their words; your own join with `marginflow.register`."""

from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import partial
from inspect import isabstract, isclass
from typing import Any, TypeVar

import numpy as np

from marginflow.errors import InputError
from marginflow.model.registry import imported
from marginflow.optim.adam import Adam as Adam
from marginflow.optim.geometry import GEOMETRIES
from marginflow.optim.gradient_descent import GradientDescent as GradientDescent
from marginflow.optim.lion import Lion as Lion
from marginflow.optim.mirror import Mirror as Mirror
from marginflow.optim.muon import Muon as Muon
from marginflow.optim.optimiser import AbstractOptimiser as AbstractOptimiser
from marginflow.optim.shampoo import Shampoo as Shampoo
from marginflow.optim.steepest import Steepest as Steepest


Kind = TypeVar("Kind", bound=type[AbstractOptimiser])

OPTIMISERS: dict[str, Callable[..., AbstractOptimiser]] = {
    "gd": GradientDescent,
    **{g.command: partial(Steepest, g.word) for g in GEOMETRIES.values()},
    "adam": Adam,
    "muon": Muon,
    "lion": Lion,
    "shampoo": Shampoo,
    "mirror": Mirror,
}
"""By the word that the command line uses; a new one is one file and one line here."""

_OURS = frozenset(OPTIMISERS)


def register(kind: Kind) -> Kind:
    """Make an optimiser of your own known by its word; a decorator too.

    Raises:
        InputError: not a frozen dataclass derived from `AbstractOptimiser`, or its word is taken.
    """
    if not isclass(kind) or not issubclass(kind, AbstractOptimiser) or isabstract(kind):
        raise InputError(f"register: got {kind!r}; expected a class with every method of AbstractOptimiser")
    word = getattr(kind, "word", None)
    plain = isinstance(word, str) and word.isprintable() and word and not set(word) & set(":,= ")
    if not is_dataclass(kind) or not plain:
        raise InputError(
            f"register: got {kind.__name__} with word {word!r}; expected a frozen dataclass with "
            'word: str = field(default="...", init=False), without blanks or any of : , ='
        )
    if word in _OURS:
        raise InputError(
            f"register: got the word {word!r}, which is that of an optimiser of the library; choose another"
        )
    OPTIMISERS[str(word)] = kind
    return kind


def parse_optimiser(given: Any) -> AbstractOptimiser:
    """The optimiser meant by a word such as adam:b1=0.9,b2=0.95,eps=0, or by itself.

    Args:
        given: an object; a word with options; or module:Class of one that is not imported yet.

    Raises:
        InputError: an unknown word, option or value.
    """
    if isinstance(given, AbstractOptimiser):
        return given
    if not isinstance(given, str):
        hint = f"; write {given.__name__}(...)" if isclass(given) else ""
        raise InputError(f"optimizer: got {given!r}; expected one of {', '.join(OPTIMISERS)}, or such as Adam(){hint}")
    word, _, rest = given.partition(":")
    if word not in OPTIMISERS and rest and "=" not in rest:
        kind = imported("optimizer", given, f"one of {', '.join(OPTIMISERS)}, or module:Class of your own")
        word, rest = str(register(kind).word), ""
    if word not in OPTIMISERS:
        raise InputError(
            f"optimizer: got {given!r}; expected one of {', '.join(OPTIMISERS)}, with options as in "
            "adam:b1=0.9,b2=0.95,eps=0, or module:Class of your own"
        )
    make = OPTIMISERS[word]
    allowed = _options(make)
    out: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, equals, text = item.partition("=")
        if not equals or key not in allowed or key in out:
            said = ", ".join(f"{k}={_shown(v)}" for k, v in allowed.items()) or "none"
            raise InputError(f"optimizer {word}: got option {item!r}; expected some of: {said}, each once")
        out[key] = _value(f"optimizer {word}: {key}", text, allowed[key])
    if "b1" in out or "b2" in out:
        out["betas"] = (out.pop("b1", allowed["b1"]), out.pop("b2", allowed["b2"]))
    try:
        return make(**out)
    except TypeError as error:
        raise InputError(f"optimizer {word}: {error}") from None


def command_of(optimiser: AbstractOptimiser) -> str:
    """The word with its options, from which `parse_optimiser` makes it again.

    Raises:
        InputError: a class that is not registered, or a field that is no number or word.
    """
    word = optimiser.word
    make = OPTIMISERS.get(word)
    if make is None or (make.func if isinstance(make, partial) else make) is not type(optimiser):
        name = type(optimiser).__name__
        raise InputError(f"optimizer {word!r}: {name} is not registered; call marginflow.register({name}) first")
    options = []
    for f in _fields(make):
        value = getattr(optimiser, f.name)
        pairs = zip(("b1", "b2"), value, strict=True) if f.name == "betas" else [(f.name, value)]
        for key, one in pairs:
            if not isinstance(one, bool | int | float | str | np.generic):
                raise InputError(f"optimizer {word!r}: field {f.name} is {value!r}; expected numbers or words")
            default = _options(make).get(key)
            if one != default:
                options.append(f"{key}={_shown(one)}")
    return word + (":" + ",".join(options) if options else "")


def options() -> dict[str, dict[str, Any]]:
    """Every word with the options that may follow it and their defaults, None where there is none."""
    return {word: _options(make) for word, make in OPTIMISERS.items()}


def _fields(make: Callable[..., AbstractOptimiser]) -> list[Field[Any]]:
    kind, fixed = (make.func, len(make.args)) if isinstance(make, partial) else (make, 0)
    return [f for f in fields(kind) if f.init][fixed:]  # type: ignore[arg-type]


def _options(make: Callable[..., AbstractOptimiser]) -> dict[str, Any]:
    """Each option with its default, None where it has none."""
    out: dict[str, Any] = {}
    for f in _fields(make):
        default = None if f.default is MISSING else f.default
        out |= {"b1": default[0], "b2": default[1]} if f.name == "betas" and default else {f.name: default}
    return out


def _value(what: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise InputError(f"{what}: got {text!r}; expected true or false")
        return text.lower() == "true"
    if isinstance(default, str):
        return text
    try:
        return int(text) if isinstance(default, int) else float(text)
    except ValueError:
        raise InputError(f"{what}: got {text!r}; expected a number") from None


def _shown(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return str(value) if isinstance(value, str) else repr(value.item() if isinstance(value, np.generic) else value)
