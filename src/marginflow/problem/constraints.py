"""The attention-SVM constraints <a_c z_i', W> >= 1 as a structured operator (theory 3.1)."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, as_floats, frozen
from marginflow.errors import InputError, UndefinedError


@dataclass(frozen=True, eq=False)
class Constraints:
    """`C` rank-one constraints A_c = a_c z_{i(c)}', never formed as matrices.

    Attributes:
        a: (C, d) float64, a_c = x_selected - x_token.
        sample: (C,) int, the sample i(c) of each constraint; nondecreasing.
        token: (C,) int, the token of that sample whose logit the constraint bounds.
        z: (n, d_z) float64, the query of every sample (also of samples without a constraint).
    """

    a: Floats
    sample: Ints
    token: Ints
    z: Floats

    def __init__(self, a: Any, sample: Any, z: Any, token: Any = None) -> None:
        """Check the shapes and keep read-only copies.

        Raises:
            InputError: shapes that do not fit, an index out of range, or a row so small that products
                with it would underflow.
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
        largest = np.abs(a).max(axis=1, initial=0.0)
        if np.any((largest > 0) & (largest < 1e-100)):
            raise InputError("constraints: a row is below 1e-100 in size; rescale the tokens")
        order = np.argsort(sample, kind="stable")
        object.__setattr__(self, "a", frozen(a[order]))
        object.__setattr__(self, "sample", frozen(sample[order]))
        object.__setattr__(self, "token", frozen(token[order]))
        object.__setattr__(self, "z", frozen(z))

    def __len__(self) -> int:
        return len(self.a)

    def __repr__(self) -> str:
        d, d_z = self.shape
        return f"Constraints({len(self)} of rank one on W of {d} x {d_z}, {len(self.z)} samples)"

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d, d_z) of W."""
        return self.a.shape[1], self.z.shape[1]

    @cached_property
    def queries(self) -> Floats:
        """(C, d_z) the query of each constraint."""
        return frozen(self.z[self.sample])

    def margins(self, W: Floats) -> Floats:
        """(C,) the margins m_c = a_c' W z_i; `W` is (d, d_z), or (d,) for W = diag(beta)."""
        W = np.asarray(W, dtype=np.float64)
        if W.ndim == 1:
            return np.asarray(self.diagonal @ W)
        P = self.z @ W.T
        out = np.empty(len(self))
        for i, rows in self._groups:
            out[rows] = self.a[rows] @ P[i]
        return out

    def adjoint(self, dual: Floats) -> Floats:
        """(d, d_z) the dual matrix sum_c dual_c a_c z_i' of `dual` (C,)."""
        pulled = np.zeros((len(self.z), self.a.shape[1]))
        for i, rows in self._groups:
            pulled[i] = dual[rows] @ self.a[rows]
        return pulled.T @ self.z

    def gram(self) -> Floats:
        """(C, C) the inner products <A_c, A_c'> = (a_c . a_c') (z_c . z_c')."""
        zz = self.z @ self.z.T
        return (self.a @ self.a.T) * zz[np.ix_(self.sample, self.sample)]

    @cached_property
    def diagonal(self) -> Floats:
        """(C, d) rows a_c * z_i: the constraints of W = diag(beta).

        Raises:
            UndefinedError: token and query dimensions differ.
        """
        d, d_z = self.shape
        if d != d_z:
            raise UndefinedError(
                f"diagonal weights: got tokens in {d} and queries in {d_z} dimensions; "
                "expected the same number; use W or (K, Q)"
            )
        return frozen(self.a * self.queries)

    def restrict(self, keep: Bools | Ints) -> "Constraints":
        """The constraints selected by the boolean or integer index `keep`."""
        return Constraints(self.a[keep], self.sample[keep], self.z, self.token[keep])

    @cached_property
    def _groups(self) -> list[tuple[int, slice]]:
        """One slice of rows per sample: BLAS calls instead of a gather of one query per row."""
        starts = np.flatnonzero(np.diff(self.sample, prepend=-1))
        ends = np.append(starts[1:], len(self.sample))
        return [(int(self.sample[s]), slice(int(s), int(e))) for s, e in zip(starts, ends, strict=True)]
