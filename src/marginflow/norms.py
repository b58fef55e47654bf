"""Norms of the weights: value, dual value, and bounds of both that hold in exact arithmetic (theory 3.4)."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.norm_faces import AbstractFace, AlignedCoordinates, AlignedMatrices, PinnedCoordinates, PinnedMatrices


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


@dataclass(frozen=True)
class Nuclear(AbstractNorm):
    """The sum of singular values; its dual is the largest."""

    name: str = field(default="nuclear", init=False)
    diagonal: bool = field(default=False, init=False)
    strictly_convex: bool = field(default=False, init=False)
    sparse: bool = field(default=True, init=False)
    across: float = field(default=1.0, init=False)

    def value(self, W: Floats) -> float:
        return float(_singular_values(W).sum())

    def dual_value(self, M: Floats) -> float:
        return float(_singular_values(M).max(initial=0.0))

    def stretch(self, shape: tuple[int, ...]) -> float:
        return rounding.up(math.sqrt(min(shape)))

    def value_upper(self, W: Floats) -> float:
        scale, W = _scaled(W)
        return _at_scale(rounding.spectral_up(W)[1], scale)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        scale, M, E = _scaled_pair(M, error)
        return _at_scale(rounding.up(rounding.spectral_up(M)[0] + _operator_of_error(E)), scale)

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace:
        return AlignedMatrices.of(B, flat)

    def dual_face(self, W: Floats, flat: float) -> AbstractFace:
        return PinnedMatrices.of(W, flat)


@dataclass(frozen=True)
class Operator(AbstractNorm):
    """The largest singular value; its dual is their sum."""

    name: str = field(default="operator", init=False)
    diagonal: bool = field(default=False, init=False)
    strictly_convex: bool = field(default=False, init=False)
    across: float = field(default=math.inf, init=False)

    def value(self, W: Floats) -> float:
        return float(_singular_values(W).max(initial=0.0))

    def dual_value(self, M: Floats) -> float:
        return float(_singular_values(M).sum())

    def stretch(self, shape: tuple[int, ...]) -> float:
        return 1.0

    def value_upper(self, W: Floats) -> float:
        scale, W = _scaled(W)
        return _at_scale(rounding.spectral_up(W)[0], scale)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        scale, M, E = _scaled_pair(M, error)
        # |E|_* <= sqrt(rank) |E|_F
        spread = math.sqrt(min(M.shape)) * rounding.frobenius_up(E)
        return _at_scale(rounding.up(rounding.spectral_up(M)[1] + spread, 4), scale)

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace:
        return PinnedMatrices.of(B, flat)

    def dual_face(self, W: Floats, flat: float) -> AbstractFace:
        return AlignedMatrices.of(W, flat)


@dataclass(frozen=True)
class Frobenius(AbstractNorm):
    """The Euclidean norm of the entries; its own dual."""

    name: str = field(default="frobenius", init=False)
    label: str = field(default="Frobenius", init=False)
    diagonal: bool = field(default=False, init=False)
    entrywise: bool = field(default=True, init=False)
    strictly_convex: bool = field(default=True, init=False)
    euclidean: bool = field(default=True, init=False)
    across: float = field(default=2.0, init=False)

    def value(self, W: Floats) -> float:
        scale, W = _scaled(W)
        return float(np.linalg.norm(W)) * scale

    def dual_value(self, M: Floats) -> float:
        return self.value(M)

    def stretch(self, shape: tuple[int, ...]) -> float:
        return 1.0

    def value_upper(self, W: Floats) -> float:
        return self.dual_upper(W)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        scale, M, E = _scaled_pair(M, error)
        return _at_scale(rounding.up(rounding.frobenius_up(M) + rounding.frobenius_up(E)), scale)


@dataclass(frozen=True)
class AbstractPowers(AbstractNorm):
    """(sum_j |w_j|^p)^(1/p) over all weights w_j, 1 <= p <= inf; its dual has 1/p + 1/q = 1."""

    p: float

    def __post_init__(self) -> None:
        if not self.p >= 1.0:
            raise InputError(f"norm: got p = {self.p:g}; expected 1 <= p <= inf, or it is not a norm")

    @property
    def entrywise(self) -> bool:
        return True

    @property
    def across(self) -> float:
        return self.p

    @property
    def strictly_convex(self) -> bool:
        return 1.0 < self.p < math.inf

    @property
    def euclidean(self) -> bool:
        return self.p == 2.0

    @property
    def sparse(self) -> bool:
        return self.p == 1.0

    @cached_property
    def q(self) -> float:
        """The exponent of the dual norm."""
        if self.p == 1.0:
            return math.inf
        return 1.0 if self.p == math.inf else self.p / (self.p - 1.0)

    def value(self, W: Floats) -> float:
        return _vector_norm(W, self.p)

    def dual_value(self, M: Floats) -> float:
        return _vector_norm(M, self.q)

    def stretch(self, shape: tuple[int, ...]) -> float:
        # |x|_p <= D^(1/p - 1/2) |x|_2 for p < 2
        return 1.0 if self.p >= 2.0 else rounding.up(math.pow(math.prod(shape), 1.0 / self.p - 0.5), _POWER_ULPS + 8)

    def value_upper(self, W: Floats) -> float:
        return _vector_norm_up(np.abs(W), self.p)

    def dual_upper(self, M: Floats, error: Floats | None = None) -> float:
        size = np.abs(M) if error is None else (np.abs(M) + error) * (1.0 + 4 * rounding.U)
        # The q-norm falls as q grows, so a q rounded down gives an upper bound.
        q = self.q if self.q in (1.0, 2.0, math.inf) else max(1.0, self.q * (1.0 - 8 * rounding.U))
        return _vector_norm_up(size, q)

    def optimal_face(self, B: Floats, flat: float) -> AbstractFace | None:
        if self.p == 1.0:
            return AlignedCoordinates.of(B, flat)
        return PinnedCoordinates.of(B, flat) if self.p == math.inf else None

    def dual_face(self, W: Floats, flat: float) -> AbstractFace | None:
        if self.p == 1.0:
            return PinnedCoordinates.of(W, flat)
        return AlignedCoordinates.of(W, flat) if self.p == math.inf else None


@dataclass(frozen=True)
class Lp(AbstractPowers):
    """The p-norm of beta, W = diag(beta)."""

    @property
    def name(self) -> str:
        return {2.0: "l2"}.get(self.p) or _with_exponent(self.p)

    @property
    def diagonal(self) -> bool:
        return True


@dataclass(frozen=True)
class EntryLp(AbstractPowers):
    """The p-norm of all entries of a full W (d, d_z); p = 2 is `Frobenius`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.p == 2.0:
            raise InputError("norm: got the p-norm of all entries with p = 2; expected Frobenius(), which is this norm")

    @property
    def name(self) -> str:
        return f"entry-{_with_exponent(self.p)}"

    @property
    def diagonal(self) -> bool:
        return False


def parse_norm(norm: str | AbstractNorm) -> AbstractNorm:
    """The norm called `norm`: nuclear, frobenius, operator, entry-linf, entry-l1 or entry-lp:P of a full W; l1, l2,
    linf or lp:P of W = diag(beta), P > 1. entry-lp:2 is frobenius.

    Raises:
        InputError: an unknown name, or an exponent that is no number above 1.
    """
    if isinstance(norm, AbstractNorm):
        return norm
    known = str(norm).strip().lower()
    if known in _ELSEWHERE:
        made: AbstractNorm = getattr(import_module(_ELSEWHERE[known][0]), _ELSEWHERE[known][1])()
        return made
    if known in _NAMED:
        return _NAMED[known]
    for prefix, kind in _POWERS.items():
        if known.startswith(f"{prefix}lp:"):
            p = _exponent(known[len(prefix) + 3 :])
            if 1.0 < p < math.inf:
                return Frobenius() if kind is EntryLp and p == 2.0 else kind(p)
            hint = {1.0: f"; write {prefix}l1", math.inf: f"; write {prefix}linf"}.get(p, "")
            raise InputError(
                f"norm: got {norm!r}; expected {prefix}lp:P with a number P > 1, such as {prefix}lp:1.75{hint}"
            )
    hint = "; the l2 norm of all entries is frobenius" if known == "entry-l2" else ""
    listed = ", ".join(names())
    raise InputError(f"norm: got {norm!r}; expected one of {listed}, entry-lp:P or lp:P, such as lp:1.75{hint}")


def names() -> tuple[str, ...]:
    """The norms that have a name, those of users among them; lp:P and entry-lp:P come on top."""
    return (*_NAMED, *_ELSEWHERE)


_NAMED: Final[dict[str, AbstractNorm]] = {
    "nuclear": Nuclear(),
    "frobenius": Frobenius(),
    "operator": Operator(),
    "l1": Lp(1.0),
    "l2": Lp(2.0),
    "linf": Lp(math.inf),
    "entry-l1": EntryLp(1.0),
    "entry-linf": EntryLp(math.inf),
}

_POWERS: Final[dict[str, type[Lp | EntryLp]]] = {"": Lp, "entry-": EntryLp}
"""The norms that take an exponent, by what their names start with before lp:P."""

_ELSEWHERE: Final = {"cut": ("marginflow.cut_norm", "Cut")}
"""Norms in a file of their own: module and class."""

_OURS: Final = frozenset([*_NAMED, *_ELSEWHERE])


def register_norm(norm: AbstractNorm) -> None:
    """Let `norm` be found by its name.

    Raises:
        InputError: its name is none, or that of a norm of this library.
    """
    name = norm.name
    if not name.isprintable() or name != name.strip().lower() or not name or name in _OURS or name.startswith(_TAKEN):
        raise InputError(
            f"register: got a norm with the name {name!r}; expected small letters, not those of {', '.join(_OURS)}"
        )
    _NAMED[name] = norm


def combined_up(values: Sequence[float], p: float) -> float:
    """A number that the p-norm of nonnegative `values` does not exceed; inf where one of them is."""
    if not all(math.isfinite(x) for x in values):
        return math.inf
    return values[0] if len(values) == 1 else _vector_norm_up(np.array(values), p)


def combined_down(values: Sequence[float], p: float) -> float:
    """A number that the p-norm of nonnegative `values` is not below."""
    largest = max(values)
    if p == math.inf or largest == 0.0 or len(values) == 1:
        return largest
    if p == 1.0:
        return rounding.sum_down(np.array(values))
    total = rounding.down(rounding.sum_down((np.array(values) / largest) ** p), _POWER_ULPS + 2 * math.ceil(p))
    exponent = 2 + int(2 * math.log(max(total, 1.0)))
    return rounding.down(largest * math.pow(total, 1.0 / p), _POWER_ULPS + exponent + 4)


_TAKEN: Final = tuple(f"{prefix}lp:" for prefix in _POWERS)


_POWER_ULPS: Final = 16
"""Roundings charged for one power x**p: the C library's pow and NumPy's vector code stay below 4 ulp."""


def _scaled(M: Floats) -> tuple[float, Floats]:
    """A power of two and `M` divided by it, largest entry in [1/2, 1), so that squares stay in range."""
    power = rounding.exponent(M)
    return math.ldexp(1.0, power), np.ldexp(M, -power)


def _singular_values(M: Floats) -> Floats:
    scale, M = _scaled(M)
    return np.asarray(np.linalg.svd(M, compute_uv=False)) * scale


def _scaled_pair(M: Floats, error: Floats | None) -> tuple[float, Floats, Floats]:
    """The same for `M` and the bound of its error, zero when None: entries of both below 1."""
    E = np.zeros_like(M) if error is None else error
    power = max((rounding.exponent(X) for X in (M, E) if X.any()), default=0)
    return math.ldexp(1.0, power), np.ldexp(M, -power), np.ldexp(E, -power)


def _at_scale(bound: float, scale: float) -> float:
    """`bound` times a power of two: exact, but rounded upwards where that is below the normal numbers."""
    out = bound * scale
    return out if out >= np.finfo(float).tiny else math.nextafter(out, math.inf)


def _operator_of_error(E: Floats) -> float:
    """|E| <= sqrt(|E|_1 |E|_inf), from row and column sums."""
    columns, rows = float(E.sum(axis=0).max(initial=0.0)), float(E.sum(axis=1).max(initial=0.0))
    return rounding.up(math.sqrt(columns * rows), sum(E.shape) + 4)


def _with_exponent(p: float) -> str:
    return {1.0: "l1", math.inf: "linf"}.get(p, f"lp:{float(p)!r}".removesuffix(".0"))


def _exponent(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _vector_norm(x: Floats, p: float) -> float:
    size = np.abs(x)
    largest = float(size.max(initial=0.0))
    if p == math.inf or largest == 0.0:
        return largest
    return largest * math.pow(float(np.sum((size / largest) ** p)), 1.0 / p)


def _vector_norm_up(size: Floats, p: float) -> float:
    """An upper bound of the p-norm of nonnegative numbers, `p` taken as an exact number."""
    size = size.ravel()
    largest = float(size.max(initial=0.0))
    if p == math.inf or largest == 0.0:
        return largest
    if p == 1.0:
        return rounding.sum_up(size)
    ratios = size / largest
    if p == 2.0:
        return rounding.up(largest * rounding.frobenius_up(ratios), 3)
    # Each ratio carries one rounding, which the p-th root turns back into one rounding of the result.
    total = rounding.sum_up(ratios**p, _POWER_ULPS) + len(size) * rounding.TINY
    # 1/p carries one rounding: total**(e/p) <= 1 + 2 e log(total), e = u.
    exponent = 2 + int(2 * math.log(max(total, 1.0)))
    return rounding.up(largest * math.pow(total, 1.0 / p), _POWER_ULPS + exponent + 4)
