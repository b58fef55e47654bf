"""The attention-SVM constraints <a_c z_i', W> >= 1 as a structured operator (theory 3.1)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from marginflow import twofold
from marginflow.arrays import Bools, Floats, Ints, as_floats, frozen, starts_of_runs
from marginflow.errors import InputError, UndefinedError
from marginflow.problem.stored_differences import StoredDifferences, refuse_tiny
from marginflow.threads import each


BLOCK: Final = 4096
"""Rows read at a time by passes over all of them, fewer where they are longer than BLOCK_NUMBERS / BLOCK."""

BLOCK_NUMBERS: Final = 2**20

SAMPLES: Final = 64
"""Samples whose products a thread makes at a time."""


@dataclass(frozen=True, eq=False)
class Constraints:
    """`C` rank-one constraints on A_c = a_c z_{i(c)}', never formed as matrices: <A_c, W> >= level_c, or = 0.

    Every one of several heads has its own W, and a constraint is one on the W of its head.

    Attributes:
        a: (C, d) float64, a_c = x_selected - x_token.
        sample: (C,) int, the sample i(c) of each constraint; nondecreasing.
        token: (C,) int, the token of that sample whose logit the constraint bounds.
        z: (n, d_z) float64, the query of every sample (also of samples without a constraint).
        level: (C,) float64, what the margin is at least: 1 (tokens left behind) or 0 (equalities, and tokens that
            may stay level with the selected ones).
        equal: (C,) bool, True where the margin is 0 exactly: two tokens of one face.
        head: (C,) int, the head whose W the constraint is about.
        heads: their number H.
        stored: where the differences come from when the tokens are not in memory, else None. `a` then reads them all;
            `blocks`, `differences`, `margins`, `adjoint` and `restrict` read what they need.
    """

    sample: Ints
    token: Ints
    z: Floats
    level: Floats
    equal: Bools
    head: Ints
    heads: int
    stored: StoredDifferences | None

    def __init__(
        self,
        a: Any,
        sample: Any,
        z: Any,
        token: Any = None,
        *,
        level: Any = None,
        equal: Any = None,
        head: Any = None,
        heads: int | None = None,
    ) -> None:
        """Check the shapes and keep read-only copies.

        Args:
            a, sample, z, token, head: as above; one head where `head` is None.
            level: as above; 0 on equalities and 1 elsewhere where None.
            equal: as above; no equalities where None.
            heads: the number of heads, some of which may have no constraint; the largest in `head` plus one where None.

        Raises:
            InputError: shapes that do not fit, an index out of range, a level other than 0 and 1 (than 0 of an
                equality), or a row so small that products with it would underflow.
        """
        a = as_floats("a", a, 2)
        z = as_floats("z", z, 2)
        sample = np.array(sample, dtype=np.intp)
        token = np.zeros(len(a), dtype=np.intp) if token is None else np.array(token, dtype=np.intp)
        if sample.shape != (len(a),) or token.shape != (len(a),):
            raise InputError(
                f"constraints: got {len(a)} rows, {sample.shape} samples and {token.shape} tokens; "
                "expected one sample and one token per row"
            )
        if len(a) and not (0 <= sample.min() and sample.max() < len(z)):
            raise InputError(f"constraints: sample indices must lie in 0..{len(z) - 1}")
        refuse_tiny(a)
        equal, level = _kinds(len(a), equal, level)
        head, heads = _heads(len(a), head, heads)
        if (np.diff(sample) < 0).any():
            order = np.argsort(sample, kind="stable")
            a, sample, token, level, equal, head = (x[order] for x in (a, sample, token, level, equal, head))
        object.__setattr__(self, "a", frozen(a))
        object.__setattr__(self, "sample", frozen(sample))
        object.__setattr__(self, "token", frozen(token))
        object.__setattr__(self, "z", frozen(z))
        object.__setattr__(self, "level", frozen(level))
        object.__setattr__(self, "equal", frozen(equal))
        object.__setattr__(self, "head", frozen(head))
        object.__setattr__(self, "heads", heads)
        object.__setattr__(self, "stored", None)

    @classmethod
    def of_tokens(
        cls, a: Floats | StoredDifferences, sample: Ints, z: Floats, token: Ints, *, head: Ints, heads: int
    ) -> "Constraints":
        """Margins of at least 1 for differences `a` that nobody else changes, of which no copy is made.

        They are checked already, or those of tokens that are not in memory; `sample` nondecreasing, `heads` at least 1.
        """
        rows = cls.__new__(cls)
        values = {"sample": sample, "token": token, "z": z, "head": head}
        stored = a if isinstance(a, StoredDifferences) else None
        values |= {} if isinstance(a, StoredDifferences) else {"a": a}
        values |= {"level": np.ones(len(sample)), "equal": np.zeros(len(sample), dtype=bool)}
        for name, value in values.items():
            object.__setattr__(rows, name, frozen(value))
        object.__setattr__(rows, "heads", heads)
        object.__setattr__(rows, "stored", stored)
        return rows

    def __len__(self) -> int:
        return len(self.sample)

    def __repr__(self) -> str:
        d, d_z = self.shape
        heads = f"{self.heads} heads of " if self.heads > 1 else ""
        equal = f", {int(self.equal.sum())} of them equalities" if self.equal.any() else ""
        return f"Constraints({len(self)} of rank one on W of {heads}{d} x {d_z}, {len(self.z)} samples{equal})"

    @cached_property
    def a(self) -> Floats:
        """(C, d) float64, a_c = x_selected - x_token; all of them are read where the tokens are not in memory.

        Raises:
            InputError: stored tokens whose differences would take more than 4 GiB of memory.
        """
        assert self.stored is not None
        return frozen(self.stored.all(self.sample, self.token))

    @property
    def _apart(self) -> StoredDifferences | None:
        """Where the differences are read from; None once they are in memory."""
        return None if "a" in vars(self) else self.stored

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d, d_z) of the W of one head."""
        width = self.a.shape[1] if self.stored is None else self.stored.tokens.shape[2]
        return width, self.z.shape[1]

    @property
    def plain(self) -> bool:
        """Whether every constraint is <A_c, W> >= 1 on the one W: what selected tokens and one head give."""
        return self.heads == 1 and bool((self.level == 1.0).all())

    @cached_property
    def queries(self) -> Floats:
        """(C, d_z) the query of each constraint."""
        return frozen(self.z[self.sample])

    def vectors(self, diagonal: bool) -> Floats:
        """(C, d d_z) the A_c written out, each as a vector; (C, d) of W = diag(beta).

        Of H heads they are H times as long, 0 but at the W of their own.
        """
        own = self.diagonal if diagonal else (self.a[:, :, None] * self.queries[:, None, :]).reshape(len(self), -1)
        if self.heads == 1:
            return own
        out = np.zeros((len(self), self.heads, own.shape[1]))
        out[np.arange(len(self)), self.head] = own
        return out.reshape(len(self), self.heads * own.shape[1])

    def cancelling_margins(self, weights: Floats, diagonal: bool) -> Floats:
        """(C,) `margins` of large `weights` of which little is left, to twice float64's precision; H of them if H > 1.

        They are diagonals where `diagonal`.
        """
        own = weights if self.heads == 1 else weights[self.head]
        return (twofold.diagonal_margins if diagonal else twofold.margins)(self.a, own, self.queries)

    def margins(self, W: Floats) -> Floats:
        """(C,) the margins m_c = a_c' W z_i; `W` is (d, d_z), or (d,) for W = diag(beta), one per head if H > 1."""
        W = np.asarray(W, dtype=np.float64)
        if self.heads > 1:
            out = np.empty(len(self))
            for (inside, own), weights in zip(self.per_head, W, strict=True):
                out[inside] = own.margins(weights)
            return out
        if self._apart is not None:
            return np.concatenate([margins for _, margins in self.margins_by_block(W)] or [np.zeros(0)])
        if W.ndim == 1:
            return np.asarray(self.diagonal @ W)
        out = np.empty(len(self))

        def see(samples: slice) -> None:
            """Blocks of samples of one length stream at memory speed: no call for each of them."""
            P = self.z[self._samples[samples]] @ W.T
            rows, t = self._rows(samples)
            if t:
                out[rows] = np.vecdot(self.a[rows].reshape(len(P), t, -1), P[:, None, :]).ravel()
                return
            for k, seen in enumerate(P, samples.start):
                rows, _ = self._rows(slice(k, k + 1))
                out[rows] = self.a[rows] @ seen

        self._each_sample(see)
        return out

    def adjoint(self, dual: Floats) -> Floats:
        """(d, d_z) the dual matrix sum_c dual_c a_c z_i' of `dual` (C,); (H, d, d_z), one per head, if H > 1."""
        if self.heads > 1:
            return np.stack([own.adjoint(dual[rows]) for rows, own in self.per_head])
        if self._apart is not None:
            total, support = np.zeros(self.shape), np.flatnonzero(dual)
            for start in range(0, len(support), 16 * BLOCK):
                some = support[start : start + 16 * BLOCK]
                total += self.restrict(some).adjoint(dual[some])
            return total
        pulled = np.zeros((len(self.z), self.shape[0]))

        def pull(samples: slice) -> None:
            rows, t = self._rows(samples)
            if t:
                some = self.a[rows].reshape(-1, t, self.shape[0])
                pulled[self._samples[samples]] = np.einsum("kt,ktd->kd", dual[rows].reshape(-1, t), some)
                return
            for k in range(samples.start, samples.stop):
                rows, _ = self._rows(slice(k, k + 1))
                pulled[self._samples[k]] = dual[rows] @ self.a[rows]

        self._each_sample(pull)
        return pulled.T @ self.z

    def margins_by_block(self, W: Floats) -> Iterator[tuple[slice, Floats]]:
        """The margins of consecutive rows, of one head and of tokens that are not in memory; one pass."""
        assert self.stored is not None
        yield from self.stored.margins(self.sample, self.token, self.z * W if W.ndim == 1 else self.z @ W.T)

    def gram(self) -> Floats:
        """(C, C) the inner products <A_c, A_c'> = (a_c . a_c') (z_c . z_c'), 0 between heads."""
        zz = self.z @ self.z.T
        gram = (self.a @ self.a.T) * zz[np.ix_(self.sample, self.sample)]
        return gram if self.heads == 1 else gram * (self.head[:, None] == self.head)

    @cached_property
    def diagonal(self) -> Floats:
        """(C, d) rows a_c * z_i: the constraints of W = diag(beta).

        Raises:
            UndefinedError: token and query dimensions differ.
        """
        self.need_square()
        return frozen(self.a * self.queries)

    def need_square(self) -> None:
        """Refuse diagonal weights where tokens and queries differ in dimension (UndefinedError)."""
        d, d_z = self.shape
        if d != d_z:
            raise UndefinedError(
                f"diagonal weights: got tokens in {d} and queries in {d_z} dimensions; "
                "expected the same number; use W or (K, Q)"
            )

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Every row once, in order: consecutive rows and their differences `a`, some thousands at a time."""
        if self._apart is not None:
            yield from self._apart.blocks(self.sample, self.token)
            return
        size = max(1, min(BLOCK, BLOCK_NUMBERS // self.a.shape[1]))
        for start in range(0, len(self), size):
            rows = slice(start, start + size)
            yield rows, self.a[rows]

    def differences(self, keep: Bools | Ints) -> Floats:
        """The differences a_c of the constraints selected by the index `keep`."""
        if self._apart is not None:
            return self._apart.take(self.sample[keep], self.token[keep])
        return np.asarray(self.a[keep])

    def restrict(self, keep: Bools | Ints) -> "Constraints":
        """The constraints selected by the boolean or integer index `keep`, with their differences in memory."""
        return Constraints(
            self.differences(keep),
            self.sample[keep],
            self.z,
            self.token[keep],
            level=self.level[keep],
            equal=self.equal[keep],
            head=self.head[keep],
            heads=self.heads,
        )

    @cached_property
    def per_head(self) -> list[tuple[Ints, "Constraints"]]:
        """For every head its constraints, as indices (C_h,) and as constraints on one W: the heads share nothing."""
        if self.heads == 1:
            return [(np.arange(len(self)), self)]
        split = [np.flatnonzero(self.head == h) for h in range(self.heads)]
        if self._apart is not None:
            return [(rows, self._of_head(self._apart, rows)) for rows in split]
        return [
            (
                rows,
                Constraints(
                    self.a[rows],
                    self.sample[rows],
                    self.z,
                    self.token[rows],
                    level=self.level[rows],
                    equal=self.equal[rows],
                ),
            )
            for rows in split
        ]

    def _of_head(self, stored: StoredDifferences, rows: Ints) -> "Constraints":
        none = np.zeros(len(rows), dtype=np.intp)
        return Constraints.of_tokens(stored, self.sample[rows], self.z, self.token[rows], head=none, heads=1)

    def _each_sample(self, function: Callable[[slice], None]) -> None:
        """Call `function` with all samples that have constraints, some at a time: places in `_samples`."""
        count = len(self._samples)
        parts = [slice(start, min(start + SAMPLES, count)) for start in range(0, count, SAMPLES)]
        each(function, parts, self.a.size)

    @cached_property
    def _starts(self) -> Ints:
        """Where the constraints of each sample that has some begin, and where the last of them end."""
        return np.append(starts_of_runs(self.sample), len(self.sample))

    @cached_property
    def _samples(self) -> Ints:
        """The samples that have constraints."""
        return self.sample[self._starts[:-1]]

    def _rows(self, samples: slice) -> tuple[slice, int]:
        """The constraints of consecutive samples, and how many each has; 0 where these differ."""
        starts = self._starts[samples.start : samples.stop + 1]
        counts = np.diff(starts)
        alike = bool((counts == counts[0]).all())
        return slice(int(starts[0]), int(starts[-1])), int(counts[0]) if alike else 0


def _kinds(count: int, equal: Any, level: Any) -> tuple[Bools, Floats]:
    """Which of `count` rows are equalities, and their levels, checked."""
    equal = np.zeros(count, dtype=bool) if equal is None else np.array(equal)
    if equal.shape != (count,) or equal.dtype != bool:
        raise InputError(
            f"equal: got {equal.dtype} of shape {equal.shape}; expected {count} times True or False, one a row"
        )
    if level is None:
        return equal, np.where(equal, 0.0, 1.0)
    level = as_floats("level", level, 1)
    if level.shape != (count,):
        raise InputError(f"level: got shape {level.shape}; expected ({count},), one number per row")
    if not np.isin(level, (0.0, 1.0)).all():
        bad = int(np.flatnonzero(~np.isin(level, (0.0, 1.0)))[0])
        raise InputError(f"level: got {level[bad]:g} for row {bad}; expected 1 or 0")
    if level[equal].any():
        bad = int(np.flatnonzero(equal & (level != 0.0))[0])
        raise InputError(f"level: got 1 for row {bad}, an equality; expected 0")
    return equal, level


def _heads(count: int, head: Any, heads: int | None) -> tuple[Ints, int]:
    """The head of each of `count` rows and the number of heads, checked."""
    head = np.zeros(count, dtype=np.intp) if head is None else np.array(head)
    if head.shape != (count,) or (count and head.dtype.kind not in "iu"):
        raise InputError(f"head: got {head.dtype} of shape {head.shape}; expected {count} integers, one per row")
    head = head.astype(np.intp)
    number = int(head.max(initial=0)) + 1 if heads is None else int(heads)
    if number < 1:
        raise InputError(f"heads: got {number}; expected at least 1")
    if head.min(initial=0) < 0 or head.max(initial=0) >= number:
        raise InputError(f"head: got {head.min(initial=0)}..{head.max(initial=0)}; expected heads in 0..{number - 1}")
    return head, number
