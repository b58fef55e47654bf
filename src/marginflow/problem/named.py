"""Problems by a short name, "sphere:n=6,T=8,d=10,seed=0" or "trap:finite", or by the path of an .npz file."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marginflow.errors import InputError
from marginflow.file_format import is_file_name
from marginflow.problem import next_token_sets, planted, random, real, sentences
from marginflow.problem.folders import holds_problem
from marginflow.problem.planted import Planted
from marginflow.problem.problem import Problem


FAMILIES: dict[str, Callable[..., Problem | Planted]] = {
    "digits": real.digits,
    "sentences": sentences.sentences,
    "next-token": next_token_sets.next_token_set,
    "sphere": random.sphere,
    "gaussian": random.gaussian,
    "equal": random.equal,
    "heads": random.heads,
    "classes": random.classes,
    "single": planted.single,
    "angle": planted.angle,
    "spiked": planted.spiked,
    "sign-orbit": planted.sign_orbit,
    "hadamard": planted.hadamard,
    "orthogonal": planted.orthogonal,
    "rank-infeasible": planted.rank_infeasible,
    "trap:finite": planted.trap_finite,
    "trap:infinity": planted.trap_infinity,
    "nearly-infeasible": planted.nearly_infeasible,
}
"""Every family by name; a new one is one function and one line here."""


def load(source: str | Path) -> Problem:
    """The problem called `source`.

    Args:
        source: a family with parameters, such as "digits:a=4,b=9,n=20,seed=5"; or an .npz file that holds a
            problem (see `files.py`), a saved run or a saved solution, of which the problem inside is taken; or a folder
            with X.npy, z.npy and scores.npy, of which X.npy stays on disk.

    Raises:
        InputError: no such family, parameter or file, or a file that is not a problem.
    """
    text = str(source)
    if text.endswith(".npz") or isinstance(source, Path) or Path(text).is_file() or holds_problem(Path(text)):
        from marginflow.problem.files import read_problem

        return read_problem(Path(text))
    if is_file_name(text):
        raise InputError(f"{text}: no such file; expected an .npz, or a name that `marginflow problems` lists")
    made = family(text)
    return made.problem if isinstance(made, Planted) else made


def as_problem(given: Any) -> Problem:
    """`given` itself, or what `load` makes of it.

    Raises:
        InputError: neither a problem nor what `load` takes.
    """
    if isinstance(given, Problem):
        return given
    if isinstance(given, str | Path):
        return load(given)
    raise InputError(f"problem: got {type(given).__name__}; expected a Problem, or what marginflow.load takes")


def family(spec: str) -> Problem | Planted:
    """Build a named family; planted ones come with their known answers.

    Raises:
        InputError: unknown family or parameter, or a value of the wrong type; the message lists what exists.
    """
    name, values = family_of(spec)
    return FAMILIES[name](**values)


def family_of(spec: str) -> tuple[str, dict[str, int | float]]:
    """The family that `spec` names and all its parameters, defaults among them.

    Raises:
        InputError: as `family`.
    """
    name, _, rest = spec.partition(":")
    if f"{name}:{rest.partition(',')[0]}" in FAMILIES:
        variant, _, rest = rest.partition(",")
        name = f"{name}:{variant}"
    if name not in FAMILIES:
        raise InputError(
            f"problem: got {spec!r}; expected a file ending in .npz or one of {', '.join(FAMILIES)} "
            "(parameters as in sphere:n=6,T=8,d=10,seed=0)"
        )
    make = FAMILIES[name]
    defaults = {key: default for key, (_, default) in parameters(make).items()}
    return name, {**defaults, **_arguments(name, rest, make)}


def parameters(make: Callable[..., Any]) -> dict[str, tuple[type, int | float]]:
    """The parameters of a family: their type and default."""
    return {
        key: (type(p.default), p.default)
        for key, p in inspect.signature(make).parameters.items()
        if p.kind is not p.KEYWORD_ONLY
    }


def _arguments(name: str, text: str, make: Callable[..., Any]) -> dict[str, int | float]:
    allowed = parameters(make)
    listing = ", ".join(f"{key}={default}" for key, (_, default) in allowed.items()) or "none"
    out: dict[str, int | float] = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals or key not in allowed:
            raise InputError(f"problem {name}: got parameter {item!r}; expected some of: {listing}")
        if key in out:
            raise InputError(f"problem {name}: parameter {key} is given twice; give it once")
        kind = allowed[key][0]
        try:
            out[key] = kind(value)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise InputError(f"problem {name}: got {key}={value!r}; expected {wanted}") from None
    return out
