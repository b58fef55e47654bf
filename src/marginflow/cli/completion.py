"""What the shells complete: the words that arguments and options take, asked of the tables that parse them.

`marginflow --install-completion` sets it up for bash, zsh and fish. Nothing is imported before a shell asks.
"""

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from textwrap import shorten
from typing import Any, Final


ASKED: Final = "_MARGINFLOW_COMPLETE"
"""The variable in which a shell says that it wants words, set by the script of `--show-completion`."""


def data(incomplete: str) -> list[str]:
    """Named problems with their parameters, and .npz files."""
    from marginflow.problem.named import FAMILIES, parameters

    defaults = {name: {k: v for k, (_, v) in parameters(make).items()} for name, make in FAMILIES.items()}
    files = sorted(glob.glob(f"{glob.escape(incomplete)}*.npz"))
    return [*_with_options(incomplete, defaults), *files]


def norms(incomplete: str) -> list[str]:
    """Norms by name; exponents by an example."""
    from marginflow.norms.registry import names

    return _starting([*names(), "lp:1.75", "entry-lp:3"], incomplete)


def parameterizations(incomplete: str) -> list[str]:
    """Words of parameterisations."""
    from marginflow.model.registry import PARAMETERIZATIONS

    return _starting(PARAMETERIZATIONS, incomplete)


def losses(incomplete: str) -> list[str]:
    """Words of all losses."""
    from marginflow.losses.registry import LOSSES

    return _starting([*LOSSES, "cross-entropy:smoothing=0.1"], incomplete)


def optimisers(incomplete: str) -> list[str]:
    """Words of optimisers with their options."""
    from marginflow.optim.registry import options

    return _with_options(incomplete, options())


def rates(incomplete: str) -> list[str]:
    """Rates by an example of each kind."""
    return _starting(["0.01", "power:0.1,0.5", "speed:0.03"], incomplete)


def decays(incomplete: str) -> list[str]:
    """Decays by an example of each kind."""
    return _starting(["l2:0.001", "decoupled:0.001"], incomplete)


def claims(incomplete: str) -> list[tuple[str, str]]:
    """Names of claims with the beginning of what they state, as much as shells show in one line."""
    from marginflow.claims.registry import listing

    return [(claim.name, shorten(claim.statement, 70)) for claim in listing() if claim.name.startswith(incomplete)]


def gallery(incomplete: str) -> list[tuple[str, str]]:
    """Rows of the gallery with the beginning of what they are about."""
    from marginflow.gallery.registry import listing

    return [(row.name, shorten(row.statement, 70)) for row in listing() if row.name.startswith(incomplete)]


def figures(incomplete: str) -> list[str]:
    """Kinds of figures."""
    from marginflow.figures.runs import KINDS

    return _starting(KINDS, incomplete)


def engines(incomplete: str) -> list[str]:
    """Engines of studies."""
    from marginflow.study.engines.choose import ENGINES

    return _starting(ENGINES, incomplete)


@contextmanager
def answered() -> Iterator[None]:
    """Inside, bash is answered about words with : and =, at which it breaks them apart.

    Bash asks for the last piece of trap:fi and replaces only that, so the pieces are joined before the command line
    looks at them, and the answers lose what stands before the last break.
    """
    pieces = os.environ.get("COMP_WORDS", "").split("\n")
    place = os.environ.get("COMP_CWORD", "")
    if os.environ.get(ASKED) != "complete_bash" or not place.isdigit():
        yield
        return
    words = _joined(pieces[: int(place) + 1])
    os.environ["COMP_WORDS"], os.environ["COMP_CWORD"] = "\n".join(words), str(len(words) - 1)
    typed = words[-1].partition("=")[2] if words[-1].startswith("--") else words[-1]
    known = 1 + max(typed.rfind(mark) for mark in _BREAKS)
    said = StringIO()
    try:
        with redirect_stdout(said):
            yield
    finally:
        for line in said.getvalue().splitlines():
            print(line[known:])


def _joined(pieces: Iterable[str]) -> list[str]:
    """The words that were typed, of the pieces that bash makes of them."""
    words: list[str] = []
    for piece in pieces:
        glued = piece.startswith(_BREAKS) or (words[-1:] != [] and words[-1].endswith(_BREAKS) and piece[:1] != "-")
        if glued and len(words) > 1:
            words[-1] += piece
        else:
            words.append(piece)
    return words


_BREAKS: Final = (":", "=")


def _with_options(incomplete: str, options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The words, or after one of them and a colon each option with its default that is not there yet."""
    names = _starting(options, incomplete)
    for word, defaults in options.items():
        if incomplete.startswith(f"{word}:"):
            head, comma, _ = incomplete.removeprefix(f"{word}:").rpartition(",")
            given = {item.partition("=")[0] for item in head.split(",")}
            stem = f"{word}:{head}{comma}"
            names += [f"{stem}{key}={_value(default)}" for key, default in defaults.items() if key not in given]
    return _starting(names, incomplete)


def _value(default: Any) -> str:
    return str(default).lower() if isinstance(default, bool) else "" if default is None else str(default)


def _starting(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
