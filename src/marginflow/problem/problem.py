"""The data of one question: tokens, queries and token scores, validated once (theory 3.1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, as_floats, frozen
from marginflow.errors import InputError
from marginflow.problem.constraints import Constraints


Against = Literal["all", "worse", "better"]


@dataclass(frozen=True, eq=False, init=False)
class Problem:
    """`n` samples of up to `T` tokens in `d` dimensions, a query in `d_z` dimensions and a score per token.

    Ragged samples are padded; padding is False in `mask`, zero in `X` and `scores`, and never read.

    Attributes:
        X: (n, T, d) float64 tokens.
        z: (n, d_z) float64 queries.
        scores: (n, T) float64 token scores gamma_il = y_i v'x_il; larger is better.
        mask: (n, T) bool, True where a token exists.
        optimal: (n,) int, the token of largest score (the first of exact duplicates).
        y, v: the labels (n,) and the head (d,) where the scores came from them, else None.
        name: how to make this problem again ("angle:c=0.5", a file name), or "".
    """

    X: Floats
    z: Floats
    scores: Floats
    mask: Bools
    optimal: Ints
    y: Floats | None = field(default=None)
    v: Floats | None = field(default=None)
    name: str = field(default="")

    def __init__(self, X: Any, z: Any, scores: Any, *, mask: Any = None, name: str = "") -> None:
        """Check, convert exactly to float64 and find the optimal tokens.

        Args:
            X: (n, T, d) array, or a list of (T_i, d) arrays.
            z: (n, d_z) queries.
            scores: (n, T) array, or a list of (T_i,) arrays.
            mask: (n, T) bool for padded arrays; True where a token exists.
            name: kept for messages and reports.

        Raises:
            InputError: see the module's tests for every case; the message names sample and tokens.
        """
        X, mask = _tokens(X, mask)
        scores = _scores(scores, mask)
        self._fill(X, z, scores, mask, name=name)

    @classmethod
    def from_head(cls, X: Any, z: Any, y: Any, v: Any, *, mask: Any = None, name: str = "") -> "Problem":
        """Build the problem with scores y_i v'x_il.

        Args:
            X, z, mask, name: as for `Problem`.
            y: (n,) labels, each -1 or +1.
            v: (d,) head.

        Raises:
            InputError: as `Problem`, and for labels that are not -1 or +1, or a top score that is tied to
                within the rounding error of the inner product.
        """
        X, mask = _tokens(X, mask)
        y = as_floats("y", y, 1)
        v = as_floats("v", v, 1)
        if y.shape != (len(X),):
            raise InputError(f"y: got {len(y)} labels for {len(X)} samples; expected one per sample")
        if not np.isin(y, (-1.0, 1.0)).all():
            bad = int(np.flatnonzero(~np.isin(y, (-1.0, 1.0)))[0])
            raise InputError(f"y: got {y[bad]:g} for sample {bad}; expected labels -1 or +1")
        if v.shape != (X.shape[2],):
            raise InputError(f"v: got shape {v.shape}; expected ({X.shape[2]},), one weight per feature")
        scores = y[:, None] * (X * v).sum(axis=2)
        rounding = X.shape[2] * np.finfo(float).eps * (np.abs(X) * np.abs(v)).sum(axis=2).max(axis=1)
        problem = cls.__new__(cls)
        problem._fill(X, z, scores, mask, name=name, rounding=rounding)
        object.__setattr__(problem, "y", frozen(y))
        object.__setattr__(problem, "v", frozen(v))
        return problem

    def __repr__(self) -> str:
        low, high = int(self.lengths.min()), int(self.lengths.max())
        tokens = f"{low}" if low == high else f"{low}..{high}"
        name = f"{self.name}: " if self.name else ""
        return f"Problem({name}{self.n} samples of {tokens} tokens, d = {self.d}, d_z = {self.d_z})"

    def _fill(
        self, X: Floats, z: Any, scores: Floats, mask: Bools, *, name: str, rounding: Floats | None = None
    ) -> None:
        z = as_floats("z", z, 2)
        if len(z) != len(X):
            raise InputError(f"z: got {len(z)} queries for {len(X)} samples; expected one per sample")
        if z.shape[1] == 0:
            raise InputError("z: got queries of dimension 0; expected at least 1")
        small = np.abs(z).max(axis=1) < 1e-100
        if small.any():
            raise InputError(
                f"z: got a zero query for sample {int(np.flatnonzero(small)[0])}; every logit of that sample "
                "is 0 whatever the weights; drop the sample or add a constant coordinate"
            )
        optimal = np.where(mask, scores, -np.inf).argmax(axis=1)
        _refuse_ties(X, scores, mask, optimal, rounding)
        values = {"X": X, "z": z, "scores": scores, "mask": mask, "optimal": optimal}
        for key, value in values.items():
            object.__setattr__(self, key, frozen(value))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "y", None)
        object.__setattr__(self, "v", None)

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.X)

    @property
    def T(self) -> int:
        """The largest number of tokens."""
        return self.X.shape[1]

    @property
    def d(self) -> int:
        """The token dimension."""
        return self.X.shape[2]

    @property
    def d_z(self) -> int:
        """The query dimension."""
        return self.z.shape[1]

    @cached_property
    def lengths(self) -> Ints:
        """(n,) the number of tokens of each sample."""
        return frozen(self.mask.sum(axis=1))

    @cached_property
    def log_minimal_loss(self) -> float:
        """log L*, with L* = (1/n) sum_i exp(-gamma_i,opt), the infimum of the exponential loss."""
        top = -self.scores[np.arange(self.n), self.optimal]
        shift = top.max()
        return float(shift + np.log(np.exp(top - shift).sum()) - np.log(self.n))

    def constraints(self, selection: Any = None, *, against: Against = "all") -> Constraints:
        """The SVM constraints (x_selected - x_l)' W z_i >= 1.

        Args:
            selection: (n,) token index per sample; the optimal tokens when None.
            against: which tokens l: "all" others, only the "worse" ones (smaller score than the selected
                token) or only the "better" ones. Equal scores are neither.

        Returns:
            The constraints, samples in order. A token that equals the selected one in features and in score
            never constrains (theory 3.7); one that equals it in features alone gives a zero row, which no
            W can satisfy.

        Raises:
            InputError: a selection of the wrong shape, or of a token that does not exist.
        """
        selected = self.selection(selection)
        rows = np.arange(self.n)
        own = self.scores[rows, selected][:, None]
        wanted = {"all": self.mask, "worse": self.scores < own, "better": self.scores > own}
        if against not in wanted:
            raise InputError(f"against: got {against!r}; expected 'all', 'worse' or 'better'")
        keep = self.mask & wanted[against]
        keep[rows, selected] = False
        a = self.X[rows, selected][:, None, :] - self.X
        keep &= ~((self.scores == own) & ~a.any(axis=2))
        sample, token = np.nonzero(keep)
        return Constraints(a[sample, token], sample, self.z, token)

    def selection(self, selection: Any = None) -> Ints:
        """Check a token selection (n,); None means the optimal tokens."""
        if selection is None:
            return self.optimal
        selected = np.asarray(selection)
        if selected.shape != (self.n,) or selected.dtype.kind not in "iu":
            raise InputError(
                f"selection: got {selected.dtype} of shape {selected.shape}; "
                f"expected {self.n} token indices, one per sample"
            )
        selected = selected.astype(np.intp)
        inside = (0 <= selected) & (selected < self.T)
        if not inside.all() or not self.mask[np.arange(self.n), selected].all():
            bad = np.flatnonzero(~inside | ~self.mask[np.arange(self.n), np.clip(selected, 0, self.T - 1)])[0]
            raise InputError(f"selection: sample {bad} has no token {selected[bad]}")
        return selected


def _tokens(X: Any, mask: Any) -> tuple[Floats, Bools]:
    """Padded tokens (n, T, d) and their mask (n, T), from an array or from a list of (T_i, d)."""
    if isinstance(X, Sequence) and not isinstance(X, str | bytes) and mask is None:
        samples = [as_floats(f"X[{i}]", x, 2) for i, x in enumerate(X)]
        if not samples:
            raise InputError("X: got no samples; expected at least one")
        sizes = {x.shape[1] for x in samples}
        if len(sizes) != 1:
            raise InputError(f"X: got token dimensions {sorted(sizes)}; expected the same in every sample")
        lengths = np.array([len(x) for x in samples])
        padded = np.zeros((len(samples), int(lengths.max(initial=0)), sizes.pop()))
        for row, x in zip(padded, samples, strict=True):
            row[: len(x)] = x
        mask = np.arange(padded.shape[1]) < lengths[:, None]
    else:
        mask = None if mask is None else _as_mask(mask)
        if mask is not None:
            raw = np.array(X)
            if raw.ndim == 3 and raw.shape[:2] == mask.shape and raw.dtype.kind in "fiu":
                raw[~mask] = 0
            X = raw
        padded = as_floats("X", X, 3)
        if mask is None:
            mask = np.ones(padded.shape[:2], dtype=bool)
    if mask.shape != padded.shape[:2]:
        raise InputError(f"mask: got shape {mask.shape}; expected {padded.shape[:2]}, one entry per token")
    if len(padded) == 0 or padded.shape[2] == 0:
        raise InputError(f"X: got shape {padded.shape}; expected at least one sample and one feature")
    lengths = mask.sum(axis=1)
    if lengths.min() < 2:
        i = int(lengths.argmin())
        raise InputError(
            f"X: got {lengths[i]} token(s) in sample {i}; expected at least 2, "
            "or attention has nothing to choose; drop the sample"
        )
    return padded, mask


def _as_mask(mask: Any) -> Bools:
    mask = np.array(mask)
    if mask.dtype.kind in "iuf" and np.isin(mask, (0, 1)).all():
        mask = mask.astype(bool)
    if mask.dtype != bool or mask.ndim != 2:
        raise InputError(f"mask: got {mask.dtype} of shape {mask.shape}; expected booleans of shape (n, T)")
    return mask


def _scores(scores: Any, mask: Bools) -> Floats:
    if isinstance(scores, Sequence) and not isinstance(scores, str | bytes):
        rows = [as_floats(f"scores[{i}]", row, 1) for i, row in enumerate(scores)]
        lengths = mask.sum(axis=1)
        if len(rows) == len(mask) and all(len(r) == t for r, t in zip(rows, lengths, strict=True)):
            padded = np.zeros(mask.shape)
            for out, keep, row in zip(padded, mask, rows, strict=True):
                out[keep] = row
            return padded
        scores = rows if len({len(r) for r in rows}) == 1 else None
        if scores is None:
            raise InputError(
                f"scores: got lengths {[len(r) for r in rows][:8]}; expected {lengths.tolist()[:8]}, "
                "one score per token"
            )
    raw = np.array(scores)
    if raw.shape == mask.shape and raw.dtype.kind in "fiu":
        raw[~mask] = 0
    out = as_floats("scores", raw, 2)
    if out.shape != mask.shape:
        raise InputError(f"scores: got shape {out.shape}; expected {mask.shape}, one score per token")
    return out


def _refuse_ties(X: Floats, scores: Floats, mask: Bools, optimal: Ints, rounding: Floats | None) -> None:
    """Refuse a top score shared by different tokens, and samples in which every token is the optimal one."""
    rows = np.arange(len(X))
    top = scores[rows, optimal][:, None]
    same = (X == X[rows, optimal][:, None, :]).all(axis=2)
    slack = np.zeros(len(X)) if rounding is None else rounding
    tied = mask & (top - scores <= slack[:, None]) & ~same
    if tied.any():
        i = int(np.flatnonzero(tied.any(axis=1))[0])
        tokens = sorted({int(optimal[i]), *map(int, np.flatnonzero(tied[i]))})
        raise InputError(
            f"scores: tokens {tokens} of sample {i} differ but tie for the best score "
            f"{scores[i, optimal[i]]:.17g}; expected one optimal token; drop one of them, "
            "or give scores that say which is better"
        )
    alone = (mask & ~(same & (scores == top))).sum(axis=1) == 0
    if alone.any():
        i = int(np.flatnonzero(alone)[0])
        raise InputError(f"X: every token of sample {i} is the same; attention has nothing to choose; drop the sample")
