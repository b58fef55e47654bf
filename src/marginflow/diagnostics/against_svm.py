"""How weights from anywhere stand to the SVMs of their tokens, beside random weights of the same spectrum."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints, as_floats, frozen
from marginflow.diagnostics.ratio import over_margin
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.problem.named import as_problem
from marginflow.problem.problem import Problem
from marginflow.svm.solution import Solution
from marginflow.svm.solve import solve


COINCIDE: Final = 1e-6
"""Solutions that attain each other's least norm to this, relatively, are one matrix for every comparison here."""


@dataclass(frozen=True, eq=False)
class Standing:
    """W beside the SVM of one norm.

    Attributes:
        solution: the SVM of the problem's optimal tokens.
        value: N(W) / margin; nan where W does not separate.
        controls: (k,) ascending, `ratio` of random matrices with the singular values of W, each over its own margin
            and beside the SVM of the tokens that it selects itself.
    """

    solution: Solution
    value: float
    controls: Floats

    @property
    def norm(self) -> AbstractNorm:
        """The norm."""
        return self.solution.norm

    @property
    def ratio(self) -> float:
        """value / certified lower bound of the least: at least 1 by weak duality; nan where W does not separate."""
        lower = self.solution.certificate.lower
        return self.value / lower if lower > 0.0 else math.nan

    @property
    def nearer_than(self) -> float:
        """The share of the controls with a larger ratio; nan without controls or ratio."""
        if not len(self.controls) or math.isnan(self.ratio):
            return math.nan
        return float((self.controls > self.ratio).mean())

    def __str__(self) -> str:
        if math.isnan(self.ratio):
            return f"{self.norm.label}: no ratio"
        text = f"{self.norm.label}: {self.value:.4g} over the margin, certified least "
        text += f"{rounding.text_down(self.solution.certificate.lower, 4)}, ratio {self.ratio:.4g}"
        if len(self.controls):
            low, middle, high = np.quantile(self.controls, [0.0, 0.5, 1.0])
            text += f"; random W of its spectrum {rounding.text_down(low, 4)} to {rounding.text_up(high, 4)}, "
            text += f"median {middle:.4g}"
        return text


@dataclass(frozen=True, eq=False)
class AgainstSvm:
    """What `against_svm` found.

    Attributes:
        margin: the least margin of W.
        wrong: (w,) samples in which W does not put the optimal token on top; with any, there are no ratios.
        standings: one per norm.
        coincide: the solutions are one matrix, so that no weights can be nearer to one of them than to another.
    """

    margin: float
    wrong: Ints
    standings: tuple[Standing, ...]
    coincide: bool

    def __getitem__(self, norm: str) -> Standing:
        for standing in self.standings:
            if standing.norm.name == norm:
                return standing
        known = ", ".join(standing.norm.name for standing in self.standings)
        raise InputError(f"norm: got {norm!r}; expected one of {known}")

    @property
    def reading(self) -> str:
        """What may be concluded, in a sentence."""
        if len(self.wrong):
            named = ", ".join(map(str, self.wrong[:8])) + (
                f" and {len(self.wrong) - 8} more" if len(self.wrong) > 8 else ""
            )
            noun = "sample" if len(self.wrong) == 1 else "samples"
            return f"W does not put the right token on top in {noun} {named}: there is no ratio to compare."
        if self.coincide:
            return "The SVMs are the same matrix on these data: no weights tell the norms apart."
        if any(not len(s.controls) for s in self.standings):
            return "Without controls the ratios cannot be read: random weights have different ones in each norm."
        near = [s.norm.label for s in self.standings if s.nearer_than == 1.0]
        if not near:
            return "W is no nearer to these SVMs than random matrices of its spectrum are to theirs."
        far = [s.norm.label for s in self.standings if s.nearer_than < 1.0]
        text = f"W is nearer to the {' and the '.join(near)} SVM than all {len(self.standings[0].controls)} controls"
        return text + (f", and not to the {' or the '.join(far)} SVM." if far else "; that does not tell them apart.")

    def __str__(self) -> str:
        return "\n".join([f"least margin {self.margin:.4g}", *map(str, self.standings), self.reading])


def against_svm(
    W: Floats,
    problem: Problem | str | Path,
    norms: Sequence[str] = ("nuclear", "frobenius"),
    *,
    controls: int = 8,
    seed: int = 0,
    tol: float = 1e-9,
) -> AgainstSvm:
    """Compare `W` (d, d_z) with the SVM of each norm, and with what random matrices reach.

    A ratio near 1 in one norm and not in another says nothing by itself: norms of one matrix differ by up to the root
    of its rank, so that a random W too has the smaller ratio under the Frobenius norm. Controls are U S V' with the
    singular values S of W and random rotations U, V (Haar), each compared with the SVM of the tokens that it selects
    on the same samples; so they answer "what would a matrix of this spectrum get?".

    Args:
        W: the weights, so that x'W z is the logit of token x for query z.
        problem: samples whose optimal tokens W should select, or what `load` takes.
        norms: names of matrix norms.
        controls: random matrices; each costs an SVM per norm.
        seed: of their draw.
        tol: certified relative gap of the SVMs.

    Raises:
        InputError: a shape that does not fit, numbers that are not finite, or a norm of diagonal weights.
    """
    problem = as_problem(problem)
    W = as_floats("W", W, 2)
    if W.shape != (problem.d, problem.d_z):
        raise InputError(f"W: got shape {W.shape}; expected {(problem.d, problem.d_z)}, x'W z for tokens and queries")
    if isinstance(controls, bool) or controls < 0:
        raise InputError(f"controls: got {controls!r}; expected a whole number of at least 0")
    parsed = [parse_norm(norm) for norm in norms]
    if not parsed or any(norm.diagonal for norm in parsed):
        raise InputError(f"norms: got {list(norms)}; expected norms of a full matrix, such as nuclear and frobenius")
    constraints = problem.constraints()
    margins = constraints.margins(W)
    wrong = np.unique(constraints.sample[margins <= 0.0])
    margin = float(margins.min(initial=math.inf))
    solutions = [solve(problem, norm, tol) for norm in parsed]
    drawn = [] if len(wrong) else _controls(W, problem, parsed, controls, seed, tol)
    standings = tuple(
        Standing(
            found, over_margin(found.norm, W, margin), frozen(np.sort(np.array([row[k] for row in drawn], dtype=float)))
        )
        for k, found in enumerate(solutions)
    )
    return AgainstSvm(margin, frozen(wrong), standings, _coincide(solutions))


def _controls(
    W: Floats, problem: Problem, norms: Sequence[AbstractNorm], count: int, seed: int, tol: float
) -> list[list[float]]:
    """The ratios of random matrices with the singular values of W, one list per matrix, one number per norm."""
    draw = np.random.default_rng(seed)
    s = np.linalg.svd(W, compute_uv=False)
    out = []
    for _ in range(count):
        left, right = (np.linalg.qr(draw.standard_normal((size, size)))[0] for size in W.shape)
        control = (left[:, : len(s)] * s) @ right[:, : len(s)].T
        chosen = _selected(control, problem)
        margin = float(chosen.constraints().margins(control).min(initial=math.inf))
        out.append([over_margin(n, control, margin) / solve(chosen, n, tol).certificate.lower for n in norms])
    return out


def _selected(W: Floats, problem: Problem) -> Problem:
    """The samples of `problem` with the tokens that W selects as the optimal ones, their copies among them."""
    logits = np.where(problem.mask, np.einsum("itd,id->it", problem.X, problem.z @ W.T), -np.inf)
    rows = np.arange(problem.n)
    top = problem.X[rows, logits.argmax(axis=1)]
    scores = (problem.X == top[:, None, :]).all(axis=2).astype(np.float64)
    return Problem(problem.X, problem.z, scores, mask=problem.mask)


def _coincide(solutions: Sequence[Solution]) -> bool:
    """Whether each solution attains the least norm of all the others."""
    if len(solutions) < 2 or any(found.status.name != "optimal" for found in solutions):
        return False
    return all(
        one.norm.value(other.W) <= one.certificate.lower * (1.0 + COINCIDE) for one in solutions for other in solutions
    )
