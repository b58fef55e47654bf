"""What a cell of steps adds to a cell of the flow: an optimiser, its rate, decay and samples a step."""

import shlex
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from marginflow.errors import InputError
from marginflow.optim.decay import parse_decay
from marginflow.optim.rate import parse_rate
from marginflow.optim.registry import command_of, parse_optimiser
from marginflow.study.plan.schema import Section, is_number, is_whole, whole_numbers


LARGEST_STEPS: Final = 10_000_000
STEP_KEYS: Final = ("optimizer", "rate", "decay", "samples")


@dataclass(frozen=True)
class Steps:
    """How a descent steps, as the command line writes it.

    Attributes:
        optimizer, rate: such as sign:momentum=0.9 and power:0.5,0.5.
        decay: l2:LAM or decoupled:LAM; "" for none.
        samples: drawn for each step; 0 for all.
    """

    optimizer: str
    rate: str
    decay: str = ""
    samples: int = 0

    @property
    def label(self) -> str:
        """For people, on one line."""
        decay = f", decay {self.decay}" if self.decay else ""
        samples = f", {self.samples} sample{'s' * (self.samples > 1)} a step" if self.samples else ""
        return f"{self.optimizer} rate {self.rate}{decay}{samples}"

    def words(self, iterations: int) -> str:
        """The options of `marginflow descend`."""
        words = ["--optimizer", self.optimizer, "--rate", self.rate, "--iterations", str(iterations)]
        words += ["--decay", self.decay] if self.decay else []
        words += ["--batch", str(self.samples)] if self.samples else []
        return shlex.join(words)


def read_steps(section: Section) -> tuple[Steps | None, ...]:
    """Every combination of the lists optimizer, rate, decay and samples of a [[model]]; (None,) for the flow.

    Raises:
        InputError: a word that is none, twice the same, or a rate without an optimiser.
    """
    if not section.has("optimizer"):
        for key in STEP_KEYS[1:]:
            if section.has(key):
                raise section.error(key, section.values[key], "an optimizer beside it; the flow has none of these")
        return (None,)
    optimizers = section.several(
        "optimizer", None, lambda v: isinstance(v, str), "an optimiser such as sign:momentum=0.9"
    )
    rates = section.several(
        "rate", ("speed:0.03",), lambda v: isinstance(v, str) or is_number(v, 0.0, 1e300), "a rate such as 0.01"
    )
    decays = section.several("decay", ("none",), lambda v: isinstance(v, str), "none, l2:LAM or decoupled:LAM")
    samples = section.several(
        "samples", ("all",), lambda v: v == "all" or is_whole(v, 1, 10**6), whole_numbers(1, 10**6) + ', or "all"'
    )
    read: dict[str, list[Any]] = {
        "optimizer": [_read(section, "optimizer", v, lambda v: command_of(parse_optimiser(v))) for v in optimizers],
        "rate": [_read(section, "rate", v, lambda v: parse_rate(v).command) for v in rates],
        "decay": [_read(section, "decay", v, _decay) for v in decays],
        "samples": [0 if v == "all" else v for v in samples],
    }
    return tuple(dict.fromkeys(Steps(*values) for values in product(*read.values())))


def _decay(word: str) -> str:
    found = None if word == "none" else parse_decay(word)
    return "" if found is None else found.command


def _read(section: Section, key: str, value: Any, parse: Any) -> str:
    try:
        return str(parse(value))
    except InputError as error:
        raise InputError(f"{section.where(key)}: {error}") from None
