"""Reading a TOML table key by key: every mistake names the key's path, what was got and what is allowed."""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from marginflow.errors import InputError


LARGEST_PLAN: Final = 1_000_000
"""Characters of a plan; a longer text is not a plan."""


def parse(text: str, source: str) -> dict[str, Any]:
    """The TOML document `text`.

    Raises:
        InputError: not TOML, or far too long to be a plan.
    """
    if len(text) > LARGEST_PLAN:
        raise InputError(f"{source}: got {len(text):,} characters; expected a plan of at most {LARGEST_PLAN:,}")
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{source}: not a TOML file ({error}); `marginflow study example` prints a plan") from None


@dataclass(frozen=True)
class Section:
    """One table of a plan, taken apart key by key; `done` refuses what was never asked for.

    Attributes:
        source: the file, for messages.
        path: where the table stands ("flow", "problem[0]"), "" for the top.
        values: its keys.
    """

    source: str
    path: str
    values: Mapping[str, Any]
    asked: set[str] = field(default_factory=set)

    def where(self, key: str) -> str:
        """The path of `key` from the top of the plan, with the file's name before it."""
        return f"{self.source}: {self.path}.{key}" if self.path else f"{self.source}: {key}"

    def error(self, key: str, got: Any, expected: str) -> InputError:
        """The one form of every complaint about a plan."""
        return InputError(f"{self.where(key)}: got {_shown(got)}; expected {expected}")

    def has(self, key: str) -> bool:
        """Whether the plan gives `key`."""
        self.asked.add(key)
        return key in self.values

    def table(self, key: str) -> "Section":
        """The table `key`, empty when absent."""
        self.asked.add(key)
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, value, f"a table, [{key}]")
        return Section(self.source, f"{self.path}.{key}" if self.path else key, value)

    def tables(self, key: str) -> list["Section"]:
        """The tables [[key]], at least one."""
        self.asked.add(key)
        value = self.values.get(key)
        if not isinstance(value, list) or not value or not all(isinstance(v, dict) for v in value):
            raise self.error(key, value, f"at least one table [[{key}]]")
        return [Section(self.source, f"{key}[{i}]", v) for i, v in enumerate(value)]

    def whole(self, key: str, default: int | None, least: int, most: int) -> int:
        """A whole number in least..most; required when `default` is None."""
        good = self._one(key, default, lambda v: is_whole(v, least, most), whole_numbers(least, most))
        return int(good)

    def number(self, key: str, default: float | None, least: float, most: float) -> float:
        """A number in [least, most]."""
        return float(self._one(key, default, lambda v: is_number(v, least, most), f"a number in {least:g}..{most:g}"))

    def word(self, key: str, default: str | None, allowed: Sequence[str]) -> str:
        """One of the words `allowed`."""
        return str(self._one(key, default, lambda v: v in allowed, "one of " + ", ".join(allowed)))

    def text(self, key: str, default: str | None, good: Callable[[str], bool], expected: str) -> str:
        """A text that `good` accepts."""
        return str(self._one(key, default, lambda v: isinstance(v, str) and good(v), expected))

    def several(
        self, key: str, default: Sequence[Any] | None, good: Callable[[Any], bool], expected: str
    ) -> tuple[Any, ...]:
        """A value or a list of values that `good` accepts, each once; never empty."""
        value = self.values.get(key, default)
        self.asked.add(key)
        if value is None:
            raise InputError(f"{self.where(key)}: is missing; expected {expected}, or a list of such")
        found = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not found:
            raise self.error(key, [], f"at least one value: {expected}")
        for item in found:
            if isinstance(item, dict | list) or not good(item):
                raise self.error(key, item, expected)
        if len(set(found)) != len(found):
            twice = next(item for item in found if found.count(item) > 1)
            raise self.error(key, twice, "each value once")
        return found

    def done(self) -> None:
        """Refuse keys that nothing asked for.

        Raises:
            InputError: names the first unknown key and the keys that exist.
        """
        unknown = sorted(set(self.values) - self.asked)
        if unknown:
            keys = ", ".join(sorted(self.asked))
            raise InputError(f"{self.where(unknown[0])}: unknown key; expected one of: {keys}")

    def _one(self, key: str, default: Any, good: Callable[[Any], bool], expected: str) -> Any:
        self.asked.add(key)
        value = self.values.get(key, default)
        if value is None:
            raise InputError(f"{self.where(key)}: is missing; expected {expected}")
        if isinstance(value, dict | list) or not good(value):
            raise self.error(key, value, expected)
        return value


def is_whole(value: Any, least: int, most: int) -> bool:
    """Whether `value` is an integer (true and false are none) in least..most."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any, least: float, most: float) -> bool:
    """Whether `value` is a finite number (true and false are none) in [least, most]."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and least <= value <= most
    )


def whole_numbers(least: int, most: int) -> str:
    """How a message names the range of a whole number."""
    return f"a whole number in {least}..{most}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
