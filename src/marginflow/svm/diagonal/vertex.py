"""What the linear programs of l1 and linf share: a vertex to solve for, and HiGHS where all else fails."""

from abc import abstractmethod
from collections.abc import Callable

import numpy as np
from scipy.linalg import lstsq
from scipy.optimize import linprog

from marginflow.arrays import Bools, Floats
from marginflow.svm.diagonal.path_following import AbstractProgram, Iterate
from marginflow.svm.scaling.unit_rows import unit_columns


Pair = tuple[Floats, Floats]
"""Weights (d,) and multipliers (C,) of the SVM."""

Start = tuple["AbstractVertexProgram", Floats, Floats, Floats]
"""A program with a point (x, y, z) inside it."""


class AbstractVertexProgram(AbstractProgram):
    """A linear program of the SVM, with the way from its iterates to weights and multipliers."""

    def curvature(self, x: Floats) -> Floats:
        return np.zeros(len(x))

    @property
    def interior(self) -> bool:
        """Whether interior points take these constraints."""
        return True

    @abstractmethod
    def pair(self, point: Iterate) -> Pair:
        """The weights and the multipliers at an iterate."""

    @abstractmethod
    def value(self, beta: Floats) -> float:
        """The norm being minimised."""

    @abstractmethod
    def dual_value(self, pulled: Floats) -> float:
        """Its dual norm."""

    @abstractmethod
    def square(self, point: Iterate) -> bool:
        """Whether the iterate shows as many active rows as unknowns: the mark of a single vertex."""

    @abstractmethod
    def vertex(self, point: Iterate) -> Pair:
        """The equations of the face that the iterate points to, solved."""

    @abstractmethod
    def at(self, beta: Floats, y: Floats) -> Iterate:
        """The iterate of weights with margins >= h and multipliers of dual norm 1."""

    @abstractmethod
    def simplex(self) -> Pair:
        """The same program by HiGHS: slower, with a vertex where interior points stall."""


def highs(
    cost: Floats, G: Floats, h: Floats, weights: Callable[[Floats], Floats], *, equal: Bools, least: float = 0.0
) -> tuple[Floats, Floats]:
    """min cost'x subject to G x >= h, or = h where `equal`, x >= least: the weights and the multipliers, 0 if none."""
    units, some = unit_columns(G), ~equal
    scaled = G * units
    found = linprog(
        cost * units,
        A_ub=-scaled[some],
        b_ub=-h[some],
        A_eq=scaled[equal] if equal.any() else None,
        b_eq=h[equal] if equal.any() else None,
        bounds=(least, None),
        method="highs-ds",
    )
    multipliers = np.zeros(len(h))
    if found.x is None:
        return weights(np.zeros(len(cost))), multipliers
    multipliers[some] = -np.asarray(found.ineqlin.marginals)
    if equal.any():
        multipliers[equal] = np.asarray(found.eqlin.marginals)
    return weights(np.asarray(found.x) * units), multipliers


def least_squares(E: Floats, r: Floats) -> Floats:
    """The least correction x with E x = r as nearly as can be."""
    if E.size == 0:
        return np.zeros(E.shape[1])
    if E.shape[0] == E.shape[1]:
        try:
            x = np.linalg.solve(E, r)
        except np.linalg.LinAlgError:
            x = np.full(len(r), np.nan)
        if np.isfinite(x).all():
            return x + np.linalg.solve(E, r - E @ x)
    x, *_ = lstsq(E, r, check_finite=False, lapack_driver="gelsy")
    return np.asarray(x)
