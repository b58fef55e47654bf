"""Numbers as sentences write them, the same in tables, pages and figures."""

import math
from collections.abc import Sequence
from typing import Final

from marginflow import rounding


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

ROUNDING: Final = 1e-12
"""The norm of W and the margin carry rounding errors of their own: smaller relative differences mean nothing."""


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


def within(excess: float) -> str:
    """ "within 0.01 % of", rounded up; "equal up to rounding to" where the difference is that."""
    if excess <= ROUNDING:
        return "equal up to rounding to"
    return f"within {_percent(excess, up=True)} of"


def above(excess: float) -> str:
    """ "31 % above it", rounded down."""
    return "equal to it up to rounding" if excess <= ROUNDING else f"{_percent(excess, up=False)} above"


def _percent(excess: float, *, up: bool) -> str:
    text = rounding.text_up if up else rounding.text_down
    if excess >= 1e-5:
        return f"{float(text(100.0 * excess, 2)):.6g} %"
    return number(float(text(excess, 2)), 2)
