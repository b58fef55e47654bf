"""Unit balls of parameters: the steepest direction in each, its dual norm, and the norm of W that goes with it.

A step of length eta along `direction` is the one that lowers the loss fastest, to first order, among all steps of
size eta in `size` (Tsilivis, Vardi and Kempe, arXiv 2410.22069). Which norm of W that leads to: docs/optimisers.md.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.documents import page
from marginflow.model.parameterization import AbstractParameterization, Arrays
from marginflow.optim.polar import polar
from marginflow.optim.prediction import Prediction
from marginflow.optim.scaled import inner, spread


class AbstractGeometry(ABC):
    """A norm of the trained arrays together.

    Attributes:
        word: as in `Steepest(word)`.
        command: the optimiser of this name on the command line.
        matrices: defined for matrices only.
        joint: all arrays share one length, so that each of two factors gets 1/sqrt(2) of a step.
    """

    word: str
    command: str
    joint: bool
    matrices: bool = False

    @abstractmethod
    def direction(self, pull: Arrays) -> Arrays:
        """The arrays of unit size that have the largest inner product with `pull`; 0 where that is 0."""

    @abstractmethod
    def size(self, step: Arrays) -> Floats:
        """(B,) the norm whose unit ball this is."""

    @abstractmethod
    def dual(self, pull: Arrays) -> Floats:
        """(B,) that largest inner product."""

    @abstractmethod
    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        """The norm of W that small steps are expected to minimise."""


@dataclass(frozen=True)
class Euclidean(AbstractGeometry):
    """All arrays as one vector: normalised gradient descent."""

    word: str = field(default="euclidean", init=False)
    command: str = field(default="ngd", init=False)
    joint: bool = field(default=True, init=False)

    def direction(self, pull: Arrays) -> Arrays:
        scale = _inverse(self.dual(pull))
        return {n: spread(scale, x) * x for n, x in pull.items()}

    def size(self, step: Arrays) -> Floats:
        return np.sqrt(inner(step, step))

    def dual(self, pull: Arrays) -> Floats:
        return self.size(pull)

    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        return Prediction(parameterization.flow_norm, "Euclidean steps follow the gradient flow")


@dataclass(frozen=True)
class Separate(AbstractGeometry):
    """Each array as a vector of its own, as TF-as-SVM normalises K and Q (arXiv 2308.16898)."""

    word: str = field(default="separate", init=False)
    command: str = field(default="ngd-separate", init=False)
    joint: bool = field(default=False, init=False)

    def direction(self, pull: Arrays) -> Arrays:
        return {n: spread(_inverse(size), x) * x for (n, x), size in zip(pull.items(), _lengths(pull), strict=True)}

    def size(self, step: Arrays) -> Floats:
        return np.asarray(np.max(_lengths(step), axis=0))

    def dual(self, pull: Arrays) -> Floats:
        return np.asarray(np.sum(_lengths(pull), axis=0))

    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        why = "the multipliers of the arrays are equal, so its ends are those of joint Euclidean steps"
        return Prediction(parameterization.flow_norm, why)


@dataclass(frozen=True)
class Sign(AbstractGeometry):
    """Every entry by itself: sign descent, with momentum Signum."""

    word: str = field(default="sign", init=False)
    command: str = field(default="sign", init=False)
    joint: bool = field(default=False, init=False)

    def direction(self, pull: Arrays) -> Arrays:
        return {n: np.sign(x) for n, x in pull.items()}

    def size(self, step: Arrays) -> Floats:
        return np.asarray(np.max([_flat(np.abs(x)).max(axis=1) for x in step.values()], axis=0))

    def dual(self, pull: Arrays) -> Floats:
        return np.asarray(sum(_flat(np.abs(x)).sum(axis=1) for x in pull.values()))

    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        if parameterization.degree == 1:
            return Prediction(_entries(parameterization, "entry-linf", "linf"), "steps of largest entry 1")
        return Prediction(
            None,
            "sign descent on factors has spurious end points: columns that are maxima in each coordinate only "
            f"({page('optimisers')}), so it minimises no norm of W",
        )


@dataclass(frozen=True)
class Spectral(AbstractGeometry):
    """The polar factor of every matrix: Muon with its orthogonalisation carried out exactly."""

    word: str = field(default="spectral", init=False)
    command: str = field(default="spectral", init=False)
    joint: bool = field(default=False, init=False)
    matrices: bool = field(default=True, init=False)

    def direction(self, pull: Arrays) -> Arrays:
        if len({x.shape for x in pull.values()}) > 1:
            return {n: polar(x) for n, x in pull.items()}
        together = polar(np.concatenate(list(pull.values())))
        return dict(zip(pull, np.split(together, len(pull)), strict=True))

    def size(self, step: Arrays) -> Floats:
        return np.asarray(np.max([_singular(x)[:, 0] for x in step.values()], axis=0))

    def dual(self, pull: Arrays) -> Floats:
        return np.asarray(sum(_singular(x).sum(axis=1) for x in pull.values()))

    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        if parameterization.word in ("w", "kq"):
            return Prediction(
                "operator", "steps of operator norm 1, on each factor as on W (Hoelder for Schatten norms)"
            )
        return _underived(parameterization)


@dataclass(frozen=True)
class NuclearPair(AbstractGeometry):
    """The top pair of singular vectors of each matrix (NucGD, arXiv 2603.22824)."""

    word: str = field(default="nuclear", init=False)
    command: str = field(default="nuclear", init=False)
    joint: bool = field(default=False, init=False)
    matrices: bool = field(default=True, init=False)

    def direction(self, pull: Arrays) -> Arrays:
        out = {}
        for n, x in pull.items():
            U, s, V = np.linalg.svd(x, full_matrices=False)
            out[n] = np.where(s[:, :1, None] > 0.0, U[:, :, :1] @ V[:, :1, :], 0.0)
        return out

    def size(self, step: Arrays) -> Floats:
        return np.asarray(np.max([_singular(x).sum(axis=1) for x in step.values()], axis=0))

    def dual(self, pull: Arrays) -> Floats:
        return np.asarray(sum(_singular(x)[:, 0] for x in pull.values()))

    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        if parameterization.word == "w":
            return Prediction("nuclear", "steps of nuclear norm 1")
        if parameterization.word == "kq":
            return Prediction(None, "top pairs on K and Q lead to Schatten-1/2, which is no norm and not convex")
        return _underived(parameterization)


@dataclass(frozen=True)
class Coordinate(AbstractGeometry):
    """The one entry of largest gradient in each array; the first of equals."""

    word: str = field(default="coordinate", init=False)
    command: str = field(default="coordinate", init=False)
    joint: bool = field(default=False, init=False)

    def direction(self, pull: Arrays) -> Arrays:
        out = {}
        for n, x in pull.items():
            flat = _flat(x)
            rows, best = np.arange(len(x)), np.abs(flat).argmax(axis=1)
            step = np.zeros_like(flat)
            step[rows, best] = np.sign(flat[rows, best])
            out[n] = step.reshape(x.shape)
        return out

    def size(self, step: Arrays) -> Floats:
        return np.asarray(np.max([_flat(np.abs(x)).sum(axis=1) for x in step.values()], axis=0))

    def dual(self, pull: Arrays) -> Floats:
        return np.asarray(sum(_flat(np.abs(x)).max(axis=1) for x in pull.values()))

    def norm(self, parameterization: AbstractParameterization) -> Prediction:
        if parameterization.degree == 1:
            return Prediction(_entries(parameterization, "entry-l1", "l1"), "steps with entries of sum 1")
        return Prediction(None, "single entries of factors lead to a concave function of W, which is no norm")


GEOMETRIES: Final = {g.word: g for g in (Euclidean(), Separate(), Sign(), Spectral(), NuclearPair(), Coordinate())}


def _entries(parameterization: AbstractParameterization, full: str, diagonal: str) -> str:
    return diagonal if parameterization.diagonal else full


def _underived(parameterization: AbstractParameterization) -> Prediction:
    return Prediction(None, f"no derivation for the parameterisation {parameterization.word}")


def _lengths(arrays: Arrays) -> list[Floats]:
    return [np.sqrt(np.vecdot(_flat(x), _flat(x))) for x in arrays.values()]


def _flat(x: Floats) -> Floats:
    return x.reshape(len(x), -1)


def _inverse(size: Floats) -> Floats:
    return np.divide(1.0, size, out=np.zeros_like(size), where=size > 0.0)


def _singular(x: Floats) -> Floats:
    return np.asarray(np.linalg.svd(x, compute_uv=False))
