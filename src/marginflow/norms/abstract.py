"""What a norm of the weights is: value, dual value, and bounds of both that hold in exact arithmetic (theory 3.4)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.norms.faces import AbstractFace


class AbstractNorm(ABC):
    """A norm N of the weights with its dual norm N_d(M) = max {<M, W>: N(W) <= 1}.

    Norms of full weights take W and M of shape (d, d_z); norms of diagonal models take their diagonals, (d,). Whether
    W is diagonal and whether N reads W as a list of numbers are two questions: `diagonal` and `entrywise`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What the user writes: "nuclear", "lp:1.75"."""

    @property
    def label(self) -> str:
        """The name in a sentence: "the nuclear norm", "the Frobenius norm"."""
        return self.name

    @property
    @abstractmethod
    def diagonal(self) -> bool:
        """True for norms of W = diag(beta)."""

    @property
    def entrywise(self) -> bool:
        """Whether N is a p-norm of the numbers in the weights, wherever they stand: its faces are coordinates."""
        return False

    @property
    @abstractmethod
    def strictly_convex(self) -> bool:
        """True when the problem of least norm has one solution whatever the data."""

    @property
    def euclidean(self) -> bool:
        """Whether N is the length of all entries, so that the optimum is a rational function of the data."""
        return False

    @property
    def sparse(self) -> bool:
        """Whether N is a sum over singular values or coordinates, so that optima have few of them."""
        return False

    @property
    def across(self) -> float | None:
        """The p of N(W) = (sum_h N(W_h)^p)^(1/p) for block-diagonal W, one block per head; None where there is none."""
        return None

    @abstractmethod
    def value(self, W: Floats) -> float:
        """N(W), to rounding error; of W (H, d, d_z), one per head, where `across` says how their norms combine."""

    @abstractmethod
    def dual_value(self, M: Floats) -> float:
        """N_d(M), to rounding error."""

    @abstractmethod
    def value_upper(self, W: Floats) -> float:
        """A number that N(W) does not exceed."""

    @abstractmethod
    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        """A number that N_d(M') does not exceed for any M' with |M' - M| <= error, entry by entry."""

    def stretch(self, shape: tuple[int, ...]) -> float:
        """A number that N(W) / |W|_F does not exceed for weights of this shape."""
        units = np.eye(math.prod(shape)).reshape(-1, *shape)
        return rounding.up(math.sqrt(rounding.sum_up(np.array([self.value_upper(unit) ** 2 for unit in units]), 1)), 2)

    def along(self, dual_matrix: Callable[[], Floats]) -> "AbstractNorm":
        """This norm, told a dual matrix on whose face the weights to be measured about lie: quicker where it helps."""
        return self

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace | None:
        """Where every optimal W lies that has the dual matrix `B`; None where it is a single one, or not derived.

        `flat` is the relative distance from the largest value, or from 0, that counts as none.
        """
        return None

    def dual_face(self, W: Floats, flat: float) -> AbstractFace | None:
        """Where every optimal dual matrix lies that has the optimum `W`; None for strictly convex norms."""
        return None
