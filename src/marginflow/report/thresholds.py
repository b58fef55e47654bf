"""The thresholds of a run's optimiser, for the panel that draws gap against margin."""

from typing import Any

from marginflow.errors import InputError
from marginflow.optim.registry import parse_optimiser
from marginflow.trajectory.trajectory import Trajectory


def thresholds_of(path: Trajectory) -> list[dict[str, Any]]:
    """As the page's scripts read them; empty for a flow, and for an optimiser that is not registered here.

    What bounds a gap is derived for one matrix W only.
    """
    word = path.method.options.get("optimizer")
    if not isinstance(word, str):
        return []
    try:
        found = parse_optimiser(word).thresholds
    except InputError:
        return []
    own = path.parameterization.word == "w"
    return [
        {"kind": one.kind, "at": one.at, "words": one.words, "norm": one.norm}
        for one in found
        if own or one.kind != "gap"
    ]
