"""How a run was made: what a reader of its result asks of the maker, as plain data that goes into the file."""

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from marginflow.losses import EXPONENTIAL, AbstractOutputLoss
from marginflow.model.parameterization import AbstractParameterization
from marginflow.problem.problem import Problem


@dataclass(frozen=True)
class Method:
    """What made a run; written by the maker, read by every table, page and figure.

    Attributes:
        verb: what the command line calls the maker: "flow", "descend", or "recorded" for runs of other programs.
        norm: the norm that the run is predicted to minimise among weights of its margin; None for no prediction.
        why: the statement that the prediction rests on, or why there is none, with the number that says so.
        label: in a few words, "gradient flow" or "Adam, rate 0.01".
        command: the command that repeats the run to the same bits; "" where there is none.
        options: what was asked for, as JSON holds it: seed, scale, rtol, until_margin, rate ...
    """

    verb: str
    norm: str | None
    why: str
    label: str
    command: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_flow(self) -> bool:
        """Whether it integrates the gradient flow, of which theory's laws in time speak."""
        return self.verb == "flow"

    def number(self, option: str) -> float:
        """The option called `option`, nan where this maker has none."""
        value = self.options.get(option)
        return math.nan if value is None else float(value)

    @property
    def seed(self) -> int:
        """Of the start that was drawn; -1 for a given one."""
        return int(self.options.get("seed", -1))


def command_words(
    verb: str, problem: Problem, parameterization: AbstractParameterization, options: Mapping[str, Any]
) -> list[str]:
    """The words that every run's command begins with: verb, data, parameterisation, start, margin asked for."""
    words = ["marginflow", verb, problem.name or "DATA.npz", "--parameterization", parameterization.word]
    width = getattr(parameterization, "width", None)
    if width is not None and width != min(problem.d, problem.d_z):
        words += ["--width", str(width)]
    seed = options["seed"]
    words += ["--seed", str(seed), "--scale", repr(options["scale"])] if seed >= 0 else ["--init", "START.npz"]
    until = options.get("until_margin")
    if until is not None and math.isfinite(until):
        words += ["--until-margin", f"{until:g}" if float(f"{until:g}") == until else repr(until)]
    return words


def flow_method(
    problem: Problem,
    parameterization: AbstractParameterization,
    loss: AbstractOutputLoss,
    *,
    seed: int,
    scale: float,
    rtol: float,
    until_margin: float,
    until: str,
) -> Method:
    """The method of a gradient flow; here and not with the integrator, since files of 0.1 need it to be read."""
    options = {"seed": seed, "scale": float(scale), "rtol": float(rtol), "until_margin": float(until_margin)}
    words = command_words("flow", problem, parameterization, options)
    words += ["--until", "verdict"] if until == "verdict" else []
    words += ["--loss", loss.word] if loss != EXPONENTIAL else []
    words += ["--rtol", repr(rtol)] if rtol != 1e-6 else []
    why = f"gradient flow of {parameterization.label}, once the loss goes to its minimum (theory 3.4, 3.8)"
    return Method(
        "flow", parameterization.flow_norm, why, "gradient flow", shlex.join(words), {**options, "until": until}
    )
