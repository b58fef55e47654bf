"""Numbers and names as the page writes them, the same in sentences, tables and figures."""

import math
from collections.abc import Sequence

from marginflow.trajectory.trajectory import Trajectory


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 5) -> str:
    """1.96421, 4.3×10⁵, or a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(digits, 5) if abs(value) >= 1e3 else digits}g}".replace("-", "−")
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    power = "10" + str(int(exponent)).translate(_RAISED)
    return (power if mantissa == "1" else f"{mantissa}×{power}").replace("-", "−")


def plural(count: int, noun: str) -> str:
    """1 run, 2 runs."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def listing(items: Sequence[object], most: int = 8) -> str:
    """3, 5, 7 and 4 more."""
    shown = ", ".join(map(str, items[:most]))
    return shown + (f" and {len(items) - most} more" if len(items) > most else "")


def how(path: Trajectory) -> str:
    """The words ", Adam, rate 0.01" for a run of steps; nothing for the flow, of which a page speaks otherwise."""
    return "" if path.method.is_flow else f", {path.method.label}"
