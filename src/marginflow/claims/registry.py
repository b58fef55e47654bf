"""The door: which claims there are, and running them."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from typing import Final

from marginflow.claims.claim import Claim, ClaimResult
from marginflow.claims.one_by_one import run_each
from marginflow.errors import InputError


_FILES: Final = (
    "matrices",
    "diagonal",
    "aligned",
    "invariants",
    "architecture",
    "late",
    "starts",
    "traps",
    "contrast",
    "ends",
    "geometries",
    "memory",
    "muon",
    "decay",
    "heads",
    "faces",
)
"""One line per file of claims; each has a tuple CLAIMS."""


def listing(names: Sequence[str] | None = None) -> tuple[Claim, ...]:
    """The claims called `names`, in that order; all of them when None. Nothing is run.

    Raises:
        InputError: an unknown name.
    """
    known = _known()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InputError(f"claims: got {unknown[0]!r}; expected some of {', '.join(known)}")
    return tuple(known[name] for name in names) if names else tuple(known.values())


def run(
    names: Sequence[str] | None = None,
    *,
    progress: Callable[[str], None] | None = None,
    finished: Callable[[ClaimResult], None] | None = None,
) -> list[ClaimResult]:
    """Run claims one after another; runs that several of them read are made once.

    Args:
        names: which; all when None.
        progress: called with a line before each claim.
        finished: called with each result; Ctrl-C raises KeyboardInterrupt, and these are then all there are.

    Raises:
        InputError: an unknown name. A claim that cannot be evaluated is a result that does not hold.
    """
    return run_each(listing(names), progress, finished)


@cache
def _known() -> dict[str, Claim]:
    found: dict[str, Claim] = {}
    for file in _FILES:
        for claim in import_module(f"marginflow.claims.{file}").CLAIMS:
            found[claim.name] = claim
    return found
