"""Numbers and names as the page writes them, the same in sentences, tables and figures."""

from marginflow.trajectory.trajectory import Trajectory
from marginflow.wording import (
    ROUNDING as ROUNDING,
    above as above,
    listing as listing,
    number as number,
    plural as plural,
)


def how(path: Trajectory) -> str:
    """The words ", Adam, rate 0.01" for a run of steps; nothing for the flow, of which a page speaks otherwise."""
    return "" if path.method.is_flow else f", {path.method.label}"
