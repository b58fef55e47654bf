"""Named problems in words, for the titles of pages."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from marginflow.errors import InputError
from marginflow.problem.fingerprint import fingerprint
from marginflow.problem.named import family_of, load
from marginflow.problem.problem import Problem


_HEADINGS: Final[Mapping[str, Callable[[Mapping[str, Any]], str]]] = {
    "digits": lambda p: f"{p['n']} images of handwritten digits, {p['a']} against {p['b']}",
    "sentences": lambda p: f"{p['n']} sentences, their words as tokens",
    "sphere": lambda p: f"{p['n']} samples of {p['T']} random tokens on the unit sphere",
    "gaussian": lambda p: f"{p['n']} samples of {p['T']} Gaussian tokens",
    "equal": lambda p: f"{p['n']} samples of {p['T']} random tokens, all but the best of equal score",
    "single": lambda p: "One sample of two tokens",
    "angle": lambda p: f"Two samples whose differences meet at cosine {p['c']:g}",
    "spiked": lambda p: f"{p['n']} differences with a shared direction of weight {p['c']:g}",
    "sign-orbit": lambda p: "Four samples alike up to signs, every answer in closed form",
    "hadamard": lambda p: f"{p['bases']} random pairs under four sign vectors",
    "orthogonal": lambda p: f"{p['n']} orthogonal samples",
    "rank-infeasible": lambda p: "Four samples that no matrix of rank one separates",
    "classes": lambda p: f"{p['n']} samples of {p['T']} random tokens, values in {p['k']} classes",
    "next-token": lambda p: f"Next-token sequences, data set {p['number']} of 2403.08081",
    "trap:finite": lambda p: "One sample on a line, with a trap at finite weights",
    "trap:infinity": lambda p: "Two samples of equal scores, with a trap at infinity",
    "nearly-infeasible": lambda p: "Two samples that hardly can be separated",
}


def heading_of(name: str) -> str:
    """A title for people of the problem that `name` makes: words where there are any, else the name.

    Raises:
        InputError: as `named.family_of`.
    """
    family, values = family_of(name)
    return _HEADINGS[family](values) if family in _HEADINGS else name


def heading(problem: Problem) -> str:
    """A title for people: words where the problem is the named one that it says it is, else its name, else its sizes.

    A file may call itself anything: the words are used only where the name makes the same numbers again.
    """
    plain = problem.name or f"Unnamed problem of {problem.n} samples"
    try:
        words = heading_of(problem.name)
        return words if words != problem.name and fingerprint(load(problem.name)) == fingerprint(problem) else plain
    except InputError:
        return plain
