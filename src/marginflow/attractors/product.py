"""The ends of several heads: every combination of an end of each (docs/attractors.md, Several heads)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.attractors.attractors import (
    Attractor,
    Attractors,
    least_loss,
    loss_near_zero,
    loss_of_equal_shares,
    mean_gain,
)
from marginflow.attractors.end import below, entry
from marginflow.attractors.shares import Share, over_all
from marginflow.losses import AbstractLoss
from marginflow.model.registry import AbstractParameterization
from marginflow.norms import combined_down, combined_up, parse_norm
from marginflow.problem.problem import Problem
from marginflow.svm.heads import exponent
from marginflow.svm.proof.certificate import Certificate


@dataclass(frozen=True, eq=False)
class JointEnd:
    """One end of the whole model: an end of every head.

    Attributes:
        parts: the end of each head.
        selected: (n,) the token of each row of the whole problem.
        excess: its loss above the minimal one.
        norm: the norm whose SVM the heads solve.
        shares: of the sampled starts, one for each scale; () when none were run.
    """

    parts: tuple[Attractor, ...]
    selected: Ints
    excess: float
    norm: str
    shares: tuple[Share, ...] = ()

    @property
    def optimal(self) -> bool:
        """Whether it is the minimal loss."""
        return all(part.optimal for part in self.parts)

    @property
    def value(self) -> float:
        """The norm of the block-diagonal W of all heads' SVM solutions or KKT points."""
        return combined_up([part.value for part in self.parts], exponent(parse_norm(self.norm)))

    @property
    def gap(self) -> float:
        """The certified relative gap of `value`; nan where a head is at a KKT point, for which there is none."""
        solutions = [part.decision.solution for part in self.parts]
        if any(part.decision.point is not None for part in self.parts) or None in solutions:
            return math.nan
        each = [s.certificate for s in solutions if s is not None]
        p = exponent(parse_norm(self.norm))
        return Certificate(combined_down([c.lower for c in each], p), combined_up([c.upper for c in each], p)).gap

    @property
    def stability(self) -> float:
        """The least better-token margin of any head; above 1, and inf for the minimal loss."""
        return min(part.stability for part in self.parts)

    @property
    def stability_lower(self) -> float:
        """What `stability` is at least, certified."""
        return min(part.stability_lower for part in self.parts)

    @property
    def share(self) -> float | None:
        """The share of all sampled starts that ended here."""
        return over_all(self.shares)

    def to_dict(self) -> dict[str, Any]:
        """The entry of `marginflow attractors --json`."""
        return entry(self)


@dataclass(frozen=True, eq=False)
class EndsOfHeads:
    """The ends of a problem with several heads, or with outputs of several rows.

    The tokens that a head selects in the limit depend on no other head: the ends are the product of the heads' lists.
    Their losses are not: what a head's wrong token costs depends on the tokens of the others.

    Attributes:
        problem, parameterization, loss: what was asked.
        heads: the list of each head, that of `problem.of_head(h)`; losses in it are those of the head by itself. Its
            shares, where runs were sampled, count what this head did in the runs of the whole model.
        met: of joint ends, by the place of each head's end in its list, how many runs from each scale ended there.
        scales: of the sampled starts.
        elsewhere: how many sampled runs ended in no attractor.
        missing: with sampled runs, a 95 % bound of the share of starts whose end they did not show.
    """

    problem: Problem
    parameterization: AbstractParameterization
    loss: AbstractLoss
    heads: tuple[Attractors, ...]
    met: dict[tuple[int, ...], dict[float, int]]
    total: int
    scales: tuple[float, ...] = ()
    elsewhere: int = 0
    missing: float | None = None

    @cached_property
    def count(self) -> int:
        """How many joint ends there are: the product of the lengths of the heads' lists."""
        return math.prod(len(own) for own in self.heads)

    @property
    def listed(self) -> bool:
        """Whether `attractors` has them all; else only the minimal loss and what runs met."""
        return self.count <= LISTED

    @property
    def complete(self) -> bool:
        """The list of every head is complete."""
        return all(own.complete for own in self.heads)

    @property
    def incomplete_because(self) -> tuple[str, ...]:
        """Why it is not complete, head by head; () when it is."""
        return tuple(f"head {h}: {why}" for h, own in enumerate(self.heads) for why in own.incomplete_because)

    @property
    def separable(self) -> bool | None:
        """Whether weights of every head exist that select every optimal token; None for undecided."""
        each = [own.separable for own in self.heads]
        return False if False in each else None if None in each else True

    @property
    def infinite(self) -> bool:
        """Every run must go to infinity in every head (`Attractors.infinite`)."""
        return all(own.infinite for own in self.heads)

    @property
    def visited(self) -> int:
        """Selections and partial selections looked at, of all heads."""
        return sum(own.visited for own in self.heads)

    @cached_property
    def attractors(self) -> tuple[JointEnd, ...]:
        """Joint ends by excess: all of them up to `LISTED`, else the minimal loss and those that runs met."""
        if self.listed:
            places: Iterator[tuple[int, ...]] = product(*(range(len(own)) for own in self.heads))
        else:
            best = [next((k for k, end in enumerate(own.attractors) if end.optimal), None) for own in self.heads]
            optimal = {tuple(k for k in best if k is not None)} if None not in best else set()
            places = iter(sorted({*self.met, *optimal}))
        return tuple(sorted(map(self._end, places), key=lambda end: (end.excess, end.value)))

    @property
    def only_minimal_loss(self) -> bool:
        """Proved: no selection but the optimal one is an attracting end, in any head."""
        return all(own.only_minimal_loss for own in self.heads)

    @property
    def zero_loss(self) -> float:
        """The loss at W = 0, where small starts begin."""
        return loss_of_equal_shares(self.problem, self.loss)

    def below(self, loss: float) -> tuple[JointEnd, ...]:
        """Of `attractors`, those below `loss`: a run that starts there can meet no other, for loss only falls."""
        return below(self.attractors, least_loss(self.problem, self.loss), loss)

    def find(self, selected: Any) -> JointEnd | None:
        """The end that `selected` (n,) belongs to, up to tokens of equal score; None if some head has none."""
        tokens = self.problem.selection(selected)
        found = [own.find(tokens[self.problem.head == h]) for h, own in enumerate(self.heads)]
        if None in found:
            return None
        return self._end(tuple(own.attractors.index(e) for own, e in zip(self.heads, found, strict=True) if e))

    @property
    def sentence(self) -> str:
        """What the lists say about training, no more than was proved."""
        ways = " x ".join(str(len(own)) for own in self.heads)
        if self.only_minimal_loss:
            return "the minimal loss is the only attracting selection of tokens, in every head" + (
                "" if self.infinite else "; ends at finite weights are not excluded"
            )
        if not self.complete:
            return (
                f"{self.count} selections of tokens found that training can end on ({ways} by head); the list may be "
                "incomplete: " + "; ".join(self.incomplete_because)
            )
        if self.count == 0:
            empty = next(h for h, own in enumerate(self.heads) if not len(own))
            return f"no selection of tokens is an attracting end: head {empty} has none"
        said = f"training can end on {self.count} selections of tokens ({ways}: every combination of the heads' ends)"
        if not self.listed:
            return said
        reach = self.below(loss_near_zero(self.problem, self.loss))
        if len(reach) == 1 and reach[0].optimal and self.infinite:
            return f"{said}; a start near zero can meet only the minimal loss"
        return f"{said}; a start near zero can meet {'each' if len(reach) == self.count else f'{len(reach)} of them'}"

    def to_dict(self) -> dict[str, Any]:
        """The object of `marginflow attractors --json`."""
        return {
            "complete": self.complete,
            "count": self.count,
            "listed": self.listed,
            "attractors": [end.to_dict() for end in self.attractors],
            "heads": [own.to_dict() for own in self.heads],
            "separable": self.separable,
            "incomplete_because": self.incomplete_because,
            "infinite": self.infinite,
            "below_zero_loss": len(self.below(self.zero_loss)) if self.listed else None,
            "elsewhere": self.elsewhere,
            "missing": self.missing,
            "visited": self.visited,
            "problem": self.problem.name,
            "parameterization": self.parameterization.word,
            "norm": self.parameterization.flow_norm,
            "sentence": self.sentence,
        }

    def _end(self, place: tuple[int, ...]) -> JointEnd:
        """The end whose part in head h is the one at `place[h]` of its list."""
        parts = tuple(own.attractors[k] for own, k in zip(self.heads, place, strict=True))
        selected = np.empty(self.problem.n, dtype=np.intp)
        for h, part in enumerate(parts):
            selected[self.problem.head == h] = part.selected
        lost = sum(costs[k] for costs, k in zip(self._costs, place, strict=True))
        met = self.met.get(place, {})
        shares = tuple(Share(scale, met.get(scale, 0), self.total) for scale in self.scales)
        gain = mean_gain(self.problem.best_outputs, np.asarray(lost), self.loss)
        return JointEnd(parts, selected, gain, self.parameterization.flow_norm, shares)

    @cached_property
    def _costs(self) -> tuple[list[Floats], ...]:
        """By head and end, (O,) what it takes from every output."""
        out = []
        for h, own in enumerate(self.heads):
            rows, problem = np.flatnonzero(self.problem.head == h), own.problem
            best = problem.scores[np.arange(problem.n), problem.optimal]
            costs = []
            for end in own.attractors:
                lost = np.zeros(len(self.problem.best_outputs))
                np.add.at(lost, self.problem.output[rows], best - problem.scores[np.arange(problem.n), end.selected])
                costs.append(lost)
            out.append(costs)
        return tuple(out)


LISTED: Final = 10_000
"""Joint ends that are written out; more are counted."""
