"""W = K Q': key and query matrices trained separately, the paper's setting."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final, Self

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.model.energy import between_factors, imbalance_of_matrices
from marginflow.model.parameterization import (
    AbstractParameterization,
    AbstractParameterMap,
    AbstractResolvent,
    AbstractStageResolvent,
    Arrays,
    basis,
    relative,
)
from marginflow.model.token_rows import TokenRows


@dataclass(frozen=True)
class KeyQuery(AbstractParameterization):
    """W = K Q' with K (d, width), Q (d_z, width): K' = G Q, Q' = G'K (theory 3.2).

    Expected of the flow: the least nuclear norm of W. The rank of W never exceeds `width`; None is full width,
    min(d, d_z), which rules nothing out.
    """

    width: int | None = None
    word: str = field(default="kq", init=False)
    label: str = field(default="K, Q", init=False)
    flow_norm: str = field(default="nuclear", init=False)
    conserved: str = field(default="K'K - Q'Q", init=False)
    diagonal: bool = field(default=False, init=False)
    degree: int = field(default=2, init=False)
    description: str = field(default="separate keys and queries K, Q", init=False)
    least_energy: float = field(default=2.0, init=False)

    def __post_init__(self) -> None:
        whole = isinstance(self.width, int | np.integer) and not isinstance(self.width, bool)
        if self.width is not None and not (whole and self.width >= 1):
            raise InputError(
                f"width: got {self.width!r}; expected a whole number of at least 1, or None for full width"
            )

    def sized(self, d: int, d_z: int, init: Any = None) -> Self:
        """With its width in numbers: that of the start's K, else min(d, d_z)."""
        if self.width is not None:
            return self
        K = init.get("K") if isinstance(init, dict) else init[0] if isinstance(init, tuple | list) and init else None
        shape = np.shape(K) if K is not None else ()
        return replace(self, width=shape[1] if len(shape) == 2 and shape[1] else min(d, d_z))

    def columns(self, d: int, d_z: int) -> int:
        """Of K and Q."""
        return min(d, d_z) if self.width is None else int(self.width)

    def shapes(self, d: int, d_z: int) -> dict[str, tuple[int, ...]]:
        """K (d, width), Q (d_z, width)."""
        return {"K": (d, self.columns(d, d_z)), "Q": (d_z, self.columns(d, d_z))}

    def map(self, d: int, d_z: int) -> AbstractParameterMap:
        """W = K Q'."""
        return _Bilinear(d)

    def rank_cap(self, d: int, d_z: int) -> int:
        """The width, where it is the smallest."""
        return min(d, d_z, self.columns(d, d_z))

    def norm_bound(self, arrays: Arrays) -> float | None:
        """sqrt(|theta|^4 - |K'K - Q'Q|_*^2) / 2."""
        return between_factors(arrays, imbalance_of_matrices(arrays["K"], arrays["Q"]))

    def aligned(self, U: Any, V: Any, k: Any, q: Any) -> Arrays:
        """K = [U diag(k), 0], Q = [V diag(q), 0]."""
        U, V, k, q = basis(U, V, k, q)
        width = self.columns(len(U), len(V))
        if len(k) > width:
            raise InputError(f"aligned start: got {len(k)} directions; expected at most width {width}")
        rest = ((0, 0), (0, width - len(k)))
        return {"K": np.pad(U * k, rest), "Q": np.pad(V * q, rest)}


@dataclass(frozen=True)
class _Bilinear(AbstractParameterMap):
    """theta is (B, d + d_z, width), K above Q."""

    d: int
    staged: ClassVar[bool] = True

    def weights(self, theta: Floats) -> Floats:
        d = self.d
        return theta[:, :d] @ theta[:, d:].transpose(0, 2, 1)

    def jvp(self, theta: Floats, dtheta: Floats) -> Floats:
        return _jvp(self.d, theta, dtheta)

    def vjp(self, theta: Floats, G: Floats) -> Floats:
        d = self.d
        out = np.empty_like(theta)
        np.matmul(G, theta[:, d:], out=out[:, :d])
        np.matmul(G.transpose(0, 2, 1), theta[:, :d], out=out[:, d:])
        return out

    def resolvent(self, theta: Floats, dtheta: Floats, G: Floats, a: Floats) -> AbstractResolvent:
        B, size = len(theta), theta.shape[1]
        d = self.d
        A0 = np.zeros((B, size, size))
        A0[:, :d, d:] = -G
        A0[:, d:, :d] = -G.transpose(0, 2, 1)
        A0.reshape(B, -1)[:, :: size + 1] = a[:, None]
        return _Block(d, theta, theta + dtheta / a[:, None, None], np.asarray(np.linalg.inv(A0)))

    def distance(self, theta: Floats, error: Floats) -> Floats:
        return relative(theta, error)

    def drift(self, theta: Floats, start: Floats) -> Floats:
        change = self._balance(theta) - self._balance(start)
        return np.sqrt((change * change).sum(axis=(1, 2))) / (theta * theta).sum(axis=(1, 2))

    def _balance(self, theta: Floats) -> Floats:
        K, Q = theta[:, : self.d], theta[:, self.d :]
        return K.transpose(0, 2, 1) @ K - Q.transpose(0, 2, 1) @ Q

    def descent(self, arrays: Arrays, G: Floats) -> Arrays:
        return {"K": G @ arrays["Q"], "Q": np.swapaxes(G, -1, -2) @ arrays["K"]}

    def product(self, arrays: Arrays) -> Floats:
        return arrays["K"] @ arrays["Q"].transpose(0, 2, 1)

    descents = descent

    def pack(self, arrays: Arrays) -> Floats:
        return np.concatenate([arrays["K"], arrays["Q"]])

    def unpack(self, theta: Floats) -> Arrays:
        return {"K": theta[: self.d].copy(), "Q": theta[self.d :].copy()}


@dataclass(frozen=True, eq=False)
class _Block(AbstractStageResolvent):
    """A0 = [[a, -G], [-G', a]] acts on every column of theta alike; `inverse` is (B, d + d_z, d + d_z)."""

    d: int
    theta: Floats
    bent: Floats
    inverse: Floats

    def solve(self, right: Floats) -> Floats:
        return self.inverse @ right

    def predicted_jvp(self, dtheta: Floats) -> Floats:
        # W is bilinear, so its second derivative only moves the point at which the first is taken.
        return _jvp(self.d, self.bent, dtheta)

    def kernel(self, x: Floats, z: Floats) -> Floats:
        if x.shape[1] < GROUPED:
            return self._kernel(x, z)
        B = len(self.theta)
        runs = zip(np.broadcast_to(x, (B, *x.shape[1:])), np.broadcast_to(z, (B, *z.shape[1:])), strict=True)
        each = [TokenRows(*run) for run in runs]
        return np.stack([self.coupling(b, rows, rows) for b, rows in enumerate(each)])

    def _kernel(self, x: Floats, z: Floats) -> Floats:
        # phi'* of x z' is [x (Q'z)'; z (K'x)']: rank one above and below, hence four products of Gram matrices.
        d = self.d
        keys, queries = x @ self.theta[:, :d], z @ self.theta[:, d:]
        bent_keys, bent_queries = x @ self.bent[:, :d], z @ self.bent[:, d:]
        xt, zt = x.transpose(0, 2, 1), z.transpose(0, 2, 1)
        kt, qt = keys.transpose(0, 2, 1), queries.transpose(0, 2, 1)
        x_inverse, z_inverse = x @ self.inverse[:, :d], z @ self.inverse[:, d:]
        out = (x_inverse[:, :, :d] @ xt) * (bent_queries @ qt)
        out += (x_inverse[:, :, d:] @ zt) * (bent_queries @ kt)
        out += (z_inverse[:, :, :d] @ xt) * (bent_keys @ qt)
        out += (z_inverse[:, :, d:] @ zt) * (bent_keys @ kt)
        return np.asarray(out)

    def coupling(self, b: int, rows: TokenRows, columns: TokenRows) -> Floats:
        # The same four products, what has a query in it taken once per query: two of eight are large.
        d, theta, bent, inverse = self.d, self.theta[b], self.bent[b], self.inverse[b]
        keys, queries = columns.x @ theta[:d], columns.z @ theta[d:]
        bent_keys, bent_queries = rows.x @ bent[:d], rows.z @ bent[d:]
        x_inverse, z_inverse = rows.x @ inverse[:d], rows.z @ inverse[d:]
        out = x_inverse[:, :d] @ columns.x.T
        also = bent_keys @ keys.T
        left, right = x_inverse[:, d:] @ columns.z.T, bent_keys @ queries.T
        of = columns.of
        by_query = zip(
            rows.parts,
            np.take(bent_queries @ queries.T, of, axis=1),
            np.take(z_inverse[:, d:] @ columns.z.T, of, axis=1),
            bent_queries @ keys.T,
            z_inverse[:, :d] @ columns.x.T,
            strict=True,
        )
        for part, queries_of, inverse_of, crossed, turned in by_query:
            out[part] *= queries_of
            also[part] *= inverse_of
            out[part] += also[part]
            out[part] += np.take(left[part], of, axis=1) * crossed
            out[part] += np.take(right[part], of, axis=1) * turned
        return np.asarray(out)

    def own(self, b: int, rows: TokenRows) -> Floats:
        d, of, theta, bent, inverse = self.d, rows.of, self.theta[b], self.bent[b], self.inverse[b]
        keys, queries = rows.x @ theta[:d], rows.z @ theta[d:]
        bent_keys, bent_queries = rows.x @ bent[:d], rows.z @ bent[d:]
        x_inverse, z_inverse = rows.x @ inverse[:d], rows.z @ inverse[d:]
        out = (x_inverse[:, :d] * rows.x).sum(axis=1) * (bent_queries * queries).sum(axis=1)[of]
        out += (x_inverse[:, d:] * rows.z[of]).sum(axis=1) * (bent_queries[of] * keys).sum(axis=1)
        out += (z_inverse[of, :d] * rows.x).sum(axis=1) * (bent_keys * queries[of]).sum(axis=1)
        out += (z_inverse[:, d:] * rows.z).sum(axis=1)[of] * (bent_keys * keys).sum(axis=1)
        return np.asarray(out)

    def definite(self, b: int) -> bool:
        try:
            np.linalg.cholesky(self.inverse[b])
        except np.linalg.LinAlgError:
            return False
        return True


GROUPED: Final = 256
"""Tokens of a run from which products with its queries are taken once per query. Below, one product of all is faster
(measured with 6 to 80 queries: equal at 130 to 260 tokens)."""


def _jvp(d: int, theta: Floats, dtheta: Floats) -> Floats:
    """dK Q' + K dQ'."""
    left = dtheta[:, :d] @ theta[:, d:].transpose(0, 2, 1)
    return np.asarray(left + theta[:, :d] @ dtheta[:, d:].transpose(0, 2, 1))
