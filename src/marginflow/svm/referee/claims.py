"""What a saved solution says, held against what its arrays show."""

import math
import os
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.svm import sentences
from marginflow.svm.referee.exact import text_down, text_up


@dataclass(frozen=True)
class Check:
    """One statement about the file, whether it holds, and the numbers behind it."""

    name: str
    holds: bool
    finding: str


@dataclass(frozen=True)
class Part:
    """What is known of one head: its bounds, what shows that nothing separates, what the bounds lose to rounding."""

    lower: float
    upper: float
    shown: str | None
    loss: float = 0.0


@dataclass(frozen=True)
class Claims:
    """The words and numbers of the file."""

    status: str
    reason: str
    value: float
    lower: float
    upper: float
    gap: float
    tol: float

    @staticmethod
    def of(path: str | os.PathLike[str], arrays: Mapping[str, npt.NDArray[Any]]) -> "Claims":
        """Read them.

        Raises:
            InputError: a number that is none, a word that no solution has.
        """
        numbers = {}
        for name in ("format", "value", "lower", "upper", "gap", "tol"):
            if arrays[name].shape != () or arrays[name].dtype.kind not in "fi":
                raise InputError(f"{path}: {name} is not one number; save the solution again")
            numbers[name] = float(arrays[name])
        if numbers.pop("format") not in (1.0, 2.0, 3.0, 4.0):
            raise InputError(f"{path}: its format is another; expected 1, 2, 3 or 4")
        status, reason = str(arrays["status"]), str(arrays["reason"])
        if status not in _STATUSES:
            raise InputError(f"{path}: got status {status!r}; expected one of {', '.join(_STATUSES)}")
        if not 0.0 < numbers["tol"] < 1.0:
            raise InputError(f"{path}: got tol {numbers['tol']:g}; expected a relative gap between 0 and 1")
        stages, steps = arrays["stages"], arrays["steps"]
        if stages.dtype.kind != "U" or steps.dtype.kind != "i" or stages.shape != steps.shape or (steps < 0).any():
            raise InputError(f"{path}: stages and steps are not names and counts; save the solution again")
        return Claims(status, reason, **numbers)

    def checks(
        self,
        lower: float,
        upper: float,
        gap: float,
        slack: float,
        shown: str | None,
        dual: Floats,
        heads: Sequence[tuple[float, float]],
    ) -> list[Check]:
        """Compare with bounds found anew.

        Args:
            lower, upper, gap: the bounds found, and their gap.
            slack: what the bounds found may lose to their own rounding.
            shown: what shows that nothing separates, None where nothing does.
            dual: (C,) the multipliers.
            heads: the lower bound and the gap found for each head.
        """
        return [
            Check(
                "upper bound",
                upper <= self.upper * (1.0 + slack),
                f"{text_up(upper, 15)} from W over every constraint, claimed {text_up(self.upper, 15)}",
            ),
            Check(
                "lower bound",
                0.0 <= self.lower < math.inf and lower >= self.lower * (1.0 - slack),
                f"{text_down(lower, 15)} from the multipliers, claimed {text_down(self.lower, 15)}",
            ),
            self._value(upper, slack),
            self._gap(),
            self._status(lower, gap, slack, shown),
            self._reason(shown, dual, heads),
        ]

    def _value(self, upper: float, slack: float) -> Check:
        if upper == math.inf:
            return Check("value", math.isnan(self.value), f"no weights separate, claimed {self.value:.15g}")
        inside = max(self.lower, upper * (1.0 - slack)) <= self.value <= self.upper
        return Check("value", inside, f"{text_up(upper, 15)} from W, claimed {self.value:.15g}")

    def _gap(self) -> Check:
        if self.upper == self.lower:
            mine = 0.0
        else:
            mine = (self.upper - self.lower) / self.lower if self.lower > 0.0 else math.inf
        right = self.gap == mine or (mine < math.inf and abs(self.gap - mine) <= 1e-9 * mine)
        return Check("gap", right, f"{text_up(mine, 3)} between the claimed bounds, claimed {text_up(self.gap, 3)}")

    def _status(self, lower: float, gap: float, slack: float, shown: str | None) -> Check:
        if self.status == "optimal":
            small = self.gap <= self.tol and gap <= self.tol * (1.0 + 1e-9) + slack
            return Check(
                "optimal", small, f"gap {text_up(gap, 3)} found, {text_up(self.gap, 3)} claimed, {self.tol:g} asked"
            )
        if self.status == "infeasible":
            only = f"only shown: no separating W has norm below {text_down(lower, 6)}"
            return Check("infeasible", shown is not None, shown or only)
        apart = self.gap > self.tol and shown is None
        return Check(
            "inaccurate", apart, f"bounds {text_up(self.gap, 3)} apart, {self.tol:g} asked; {shown or 'they hold'}"
        )

    def _reason(self, shown: str | None, dual: Floats, heads: Sequence[tuple[float, float]]) -> Check:
        """Whether it is a sentence of its status, and its numbers are those of the file, or of the head it names."""
        if self.status == "optimal":
            return Check("reason", not self.reason, self.reason or "none, as it should be")
        if self.status == "infeasible":
            many = re.fullmatch(_HEAD + _CONTRADICTION, self.reason)
            said = many["count"] == str(int((dual != 0.0).sum())) if many else self.reason == shown
            return Check("reason", said, self.reason)
        named = re.fullmatch(_HEAD + "(.*)", self.reason)
        own = self
        if len(heads) > 1:
            if named is None or named[1] is None or int(named[1]) >= len(heads):
                return Check("reason", False, f"no solution of several heads gives the reason {self.reason!r}")
            lower, gap = heads[int(named[1])]
            own = replace(self, lower=lower, gap=gap)
        for pattern in _REASONS:
            found = re.fullmatch(pattern, self.reason if len(heads) == 1 else named[2] if named else "")
            if found:
                return Check("reason", all(own._is(k, float(x)) for k, x in found.groupdict().items()), self.reason)
        return Check("reason", False, f"no solution gives the reason {self.reason!r}")

    def _is(self, kind: str, number: float) -> bool:
        if kind == "below":
            return 0.99 * self.lower <= number <= self.lower
        if kind == "plain":
            return 0.0 <= number <= max(self.tol, 1e-14) * 1.1
        return abs(number - {"gap": self.gap, "tol": self.tol}[kind]) <= 0.06 * number


_STATUSES: Final = ("optimal", "infeasible", "inaccurate")

_FLOAT: Final = r"[0-9.]+(?:e[+-]?[0-9]+)?"

_HEAD: Final = r"(?:head ([0-9]+): )?"


def _pattern(sentence: str, **fields: tuple[str, ...]) -> str:
    """A regular expression for `sentence` whose format fields are groups: a number, or one of the words given."""
    out = ""
    for text, field, _, _ in string.Formatter().parse(sentence):
        out += re.escape(text)
        if field:
            out += f"(?P<{field}>{'|'.join(map(re.escape, fields[field])) if field in fields else _FLOAT})"
    return out


_CONTRADICTION: Final = _pattern(
    sentences.CONTRADICTION,
    multiples=(sentences.POSITIVE, sentences.FREE_ON_EQUALITIES),
    how=(sentences.EXACTLY, sentences.NEARBY),
)

_REASONS: Final = tuple(map(_pattern, sentences.INACCURATE))
