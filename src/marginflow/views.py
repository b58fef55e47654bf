"""What an object of a low room shows with the help of a higher one, found on first use.

A room imports only rooms below it, yet `path.plot()` is asked of a trajectory and drawn five floors above it. The
method says which view it is, this table where that is made: the one place in which a low room names a higher one, and
nothing is imported before it is called (docs/architecture.md, Decisions).
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final


VIEWS: Final = {
    "frame": "marginflow.diagnostics.series:frame",
    "plot": "marginflow.figures.picture:plot",
    "compare": "marginflow.diagnostics.compare:compare",
    "from_weights": "marginflow.optim.recorded:from_weights",
}


def view(name: str) -> Callable[..., Any]:
    """The function that makes the view called `name`."""
    module, _, function = VIEWS[name].partition(":")
    return getattr(import_module(module), function)
