"""R(t): how far weights are from a norm's SVM, proved by the force's own weights (docs/theory.md 3.4)."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.norms import AbstractNorm, combined_up, parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Against
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import certify, evaluate, margins_down


if TYPE_CHECKING:
    from marginflow.trajectory.trajectory import Trajectory


@dataclass(frozen=True)
class Ratio:
    """R and the two factors it is the product of.

    Attributes:
        value: an upper bound of N(W) N_d(G) / (m_min sum r), G = sum_c r_c A_c, that holds in exact
            arithmetic: >= 1, and W / m_min is within this factor of optimal. nan where it would be no bound.
        duality: N(W) N_d(G) / <W, G> >= 1, equal to 1 where G supports the norm's ball at W; to rounding.
        slack: <r, m> / (m_min sum r) >= 1, equal to 1 where only constraints of least margin pull; to
            rounding.
        reason: why `value` is nan, or "".
    """

    value: float
    duality: float
    slack: float
    reason: str = ""


def certify_weights(W: Floats, dual: Floats, constraints: Constraints, norm: str | AbstractNorm) -> Ratio:
    """Compare `W` with the best of its margin, from a dual candidate and nothing else.

    Weak duality: N(W)/m_min >= N* >= sum(r)/N_d(G) for every W of positive margins and every r >= 0
    (derivation: docs/theory.md 3.4).

    Args:
        W: (d, d_z), or (d,) for diagonal norms (a diagonal matrix is accepted there too); of several heads (H, d, d_z).
        dual: (C,) weights of the force, in the constraints' order; any positive multiple. On equalities of any sign:
            multipliers that are free (theory 10).
        constraints: `C` constraints of the tokens compared with.
        norm: a norm or its name.

    Raises:
        InputError: shapes that do not fit.
    """
    norm = parse_norm(norm)
    W, dual = _shaped(W, dual, constraints, norm)
    if len(constraints) == 0:
        return _none("no constraint: every W is optimal")
    if not (np.isfinite(W).all() and np.isfinite(dual).all()):
        return _none("weights or dual candidate are not finite")
    leads = constraints.level > 0.0
    margins, pulls = constraints.margins(W)[leads], dual[leads]
    wrong, negative = int((margins <= 0).sum()), int((dual[~constraints.equal] < 0).sum())
    if wrong:
        return _none(f"{wrong} of {len(margins)} margins are not positive: W does not separate yet")
    if negative:
        return _none(f"{negative} of {len(margins)} force weights are negative: not a dual candidate")
    if not pulls.any():
        return _none("every force weight is zero")
    lower, upper = _bounds(W, dual, constraints, norm)
    if not (lower > 0 and math.isfinite(upper)):
        return _none("rounding errors are as large as the bound")
    # Powers of two keep the products in range at margins of 1e300 and leave every ratio as it is.
    W, margins, pulls = _unit(W), _unit(margins), _unit(pulls)
    dual = _unit(dual)
    G = pulled(constraints, dual, norm)
    return Ratio(
        value=math.nextafter(upper / lower, math.inf),
        duality=norm.value(W) * norm.dual_value(G) / float((W * G).sum()),
        slack=float(pulls @ margins) / (float(margins.min()) * float(pulls.sum())),
    )


def pulled(constraints: Constraints, dual: Floats, norm: AbstractNorm) -> Floats:
    """sum_c dual_c A_c, shaped as the weights that `norm` reads, one per head where there are several."""
    if not norm.diagonal:
        return constraints.adjoint(dual)
    each = [own.diagonal.T @ dual[rows] for rows, own in constraints.per_head]
    return np.stack(each) if constraints.heads > 1 else np.asarray(each[0])


def _bounds(W: Floats, dual: Floats, constraints: Constraints, norm: AbstractNorm) -> tuple[float, float]:
    """(D, N) with D <= sum r / N_d(G) and N >= N(W) / m_min in exact arithmetic.

    Of several heads N is the norm of the block-diagonal W, N_d its dual: both are made of the heads' own bounds.
    """
    if constraints.heads == 1:
        certificate = certify(Svm(constraints, norm), W, dual).certificate
        return certificate.lower, certificate.upper
    p = norm.across
    if p is None:
        return 0.0, math.inf
    q = math.inf if p == 1.0 else 1.0 if p == math.inf else p / (p - 1.0)
    W, duals, sizes, least = _unit(W), [], [], math.inf
    for (rows, own), w in zip(constraints.per_head, W, strict=True):
        svm = Svm(own, norm)
        size, margin = _size_and_margin(svm, w, dual[rows])
        sizes.append(size)
        least = min(least, margin)
        # A head that no force pulls adds nothing to the dual matrix; its size counts all the same.
        if dual[rows].any():
            lower = certify(svm, w, dual[rows]).certificate.lower
            if not lower > 0.0:
                return 0.0, math.inf
            duals.append(rounding.up(float(dual[rows][svm.leads].sum()) / lower, len(rows) + 2))
    if not least > 0.0:
        return 0.0, math.inf
    whole = combined_up(sizes, p)
    lower = rounding.down(rounding.sum_down(dual[constraints.level > 0.0]) / combined_up(duals, q), 2)
    return lower, rounding.up(whole / least, 2)


def _size_and_margin(svm: Svm, W: Floats, dual: Floats) -> tuple[float, float]:
    """At least the norm, and at most the least margin, of weights of one head that keep its equalities: near W."""
    if not svm.constraints.equal.any() or not svm.leads.any():
        margins = margins_down(svm, W)[svm.leads]
        return svm.norm.value_upper(W), float(margins.min(initial=math.inf))
    found = evaluate(svm, W, dual)
    if not found.margin > 0.0:
        return math.inf, 0.0
    return rounding.up(found.upper * found.margin, 2), found.margin


def ratio(W: Floats, dual: Floats, constraints: Constraints, norm: str | AbstractNorm) -> float:
    """R alone: `certify_weights(...).value`, nan where it would be no bound."""
    return certify_weights(W, dual, constraints, norm).value


@dataclass(frozen=True, eq=False)
class Comparison:
    """The SVM that the end of a run stands beside, and what the run itself says about its distance.

    A run that is trapped goes to the SVM of the tokens on which it is trapped, against their worse tokens (theory 9),
    one on other faces than those of the least loss to that of the faces that it is on; every other run is compared with
    the SVM of its goal, the optimal tokens or faces.

    Attributes:
        selection: (n,) the tokens.
        own: whether they, or the faces, are the run's own, and not those of the least loss.
        constraints: `C` of them.
        dual: (C,) >= 0, the force's weights there, up to a positive factor; of any sign on equalities.
        W: (d, d_z) the weights at the last snapshot, less `finite`.
        finite: (d, d_z) or () the part of W that stays finite, as beside equalities; 0 for tokens.
        whose: what the tokens or faces are to the run, in words.
    """

    selection: Ints
    own: bool
    constraints: Constraints
    dual: Floats
    W: Floats
    finite: Floats
    whose: str

    def growing(self, W: Floats) -> Floats:
        """`W` of any snapshot less the finite part: what margins and norms are taken of."""
        return W - self.finite

    @property
    def against(self) -> Against:
        """Which tokens constrain: as `Problem.constraints` takes it."""
        return "worse" if self.own else "all"

    @property
    def lead(self) -> float:
        """The least margin of W over these constraints; inf without any."""
        return least_margin(self.constraints, self.W)

    def norm_over_lead(self, norm: str | AbstractNorm) -> float:
        """N(W) over the lead: never below the certified value of the SVM. nan where the lead is not positive."""
        return over_margin(parse_norm(norm), self.W, self.lead)

    def ratio(self, norm: str | AbstractNorm) -> float:
        """R, nan where it would be no bound."""
        return ratio(self.W, self.dual, self.constraints, norm)


def comparison(path: "Trajectory") -> Comparison:
    """What the last snapshot of `path` is compared with."""
    problem, seen, held = path.problem, path.at(-1), path.held
    goal, diagonal = seen.goal, path.parameterization.diagonal
    if path.status.name == "trapped":
        rows, whose = problem.constraints(seen.selected, against="worse"), "the tokens it is trapped on"
        return Comparison(seen.selected, True, rows, pulls(seen.f, rows), seen.W, np.zeros(()), whose)
    if held is not None and len(held.better):
        rows, finite = held.held_back, held.finite(diagonal)
        return Comparison(
            held.reference, True, rows, pulls(seen.f, rows), seen.W - finite, finite, "the faces it is on"
        )
    return Comparison(
        goal.reference, False, seen.constraints, seen.dual, seen.separating, goal.finite(diagonal), goal.words
    )


def pulls(f: Floats, rows: Constraints) -> Floats:
    """(C,) what the force `f` (n, T) pulls with on each of `rows`: at least 0 but on equalities."""
    pulled = -f[rows.sample, rows.token]
    return np.where(rows.equal, pulled, np.maximum(pulled, 0.0))


def final_ratio(path: "Trajectory") -> float:
    """R of the last snapshot in the norm that the path's parameterisation is expected to minimise.

    Of a trapped run it is that of its own selection (`Comparison`).
    """
    return comparison(path).ratio(path.norm)


def least_margin(constraints: Constraints, W: Floats) -> float:
    """The least margin over the constraints of level 1; inf without any."""
    return float(constraints.margins(W)[constraints.level > 0.0].min(initial=math.inf))


def over_margin(norm: AbstractNorm, W: Floats, margin: float) -> float:
    """N(W) over the margin; nan where that is not positive, or nothing constrains it."""
    return norm.value(weights_in(norm, W)) / margin if 0.0 < margin < math.inf else math.nan


def weights_in(norm: AbstractNorm, W: Floats) -> Floats:
    """`W` (d, d_z), or (H, d, d_z), in the shape that `norm` reads: the diagonals for norms of diagonal models."""
    if norm.diagonal:
        return np.ascontiguousarray(np.diagonal(W, axis1=-2, axis2=-1)) if W.ndim >= 2 else W
    return np.diag(W) if W.ndim == 1 else W


MATRIX_NORMS: Final = ("nuclear", "frobenius", "operator")
DIAGONAL_NORMS: Final = ("l1", "l2", "linf")
FLOW_NORMS: Final = {False: MATRIX_NORMS[:2], True: DIAGONAL_NORMS[:2]}
"""Norms of full weights, of diagonal ones, and among them, by `diagonal`, those that the library's flows minimise."""


def _shaped(W: Floats, dual: Floats, constraints: Constraints, norm: AbstractNorm) -> tuple[Floats, Floats]:
    dual, W = np.asarray(dual, dtype=np.float64), np.asarray(W, dtype=np.float64)
    expected: tuple[int, ...] = constraints.shape[:1] if norm.diagonal else constraints.shape
    expected = expected if constraints.heads == 1 else (constraints.heads, *expected)
    # Diagonals of several heads (H, d) are no matrix to take a diagonal of.
    W = W if W.shape == expected else weights_in(norm, W)
    if W.shape != expected:
        raise InputError(f"W: got shape {W.shape}; expected {expected} for the {norm.name} norm")
    if dual.shape != (len(constraints),):
        raise InputError(f"dual: got shape {dual.shape}; expected ({len(constraints)},), one per constraint")
    return W, dual


def _unit(x: Floats) -> Floats:
    return np.ldexp(x, -math.frexp(float(np.abs(x).max()))[1])


def _none(reason: str) -> Ratio:
    return Ratio(math.nan, math.nan, math.nan, reason)
