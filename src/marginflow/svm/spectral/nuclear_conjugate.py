"""Newton's system on the face of a nuclear norm by conjugate gradients, without its matrix (docs/svm-nuclear.md, 3.4).

    [H E; E' 0] [delta; S] = [first; second]

is solved by augmented Lagrangians: (H + rho E E') x = what is left of the first row, S += rho (what E' delta lacks).
The curvature and E live on the rows and columns of the face alone, so that a product with H + rho E E' takes some
milliseconds where H takes seconds. Inside they are in single precision: residuals are not, so it costs no digits.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from scipy.linalg import LinAlgError, cho_solve, cholesky
from scipy.linalg.blas import ssyrk

from marginflow.arrays import Floats
from marginflow.svm.scaling.conjugate_gradients import Product, conjugate_gradients
from marginflow.svm.scaling.namespace import NUMPY, namespace_of
from marginflow.svm.scaling.operator import Operator, batched
from marginflow.svm.scaling.query_blocks import QueryBlocks
from marginflow.svm.spectral.face import Pairing, symmetric_parts


@dataclass(frozen=True, eq=False)
class NuclearSystem:
    """The system of the rows of `A`, all of which carry dual.

    Attributes:
        A: the rows, as they are.
        U, Vt: the singular vectors, (d, d) and (d_z, d_z), in whose basis the face is given; of the rows' namespace.
        rank: r, of the face.
        pairing: its curvature.
    """

    A: Operator
    U: Floats
    Vt: Floats
    rank: int
    pairing: Pairing

    def solve(self, dual: Floats, margins: Floats, accuracy: float) -> tuple[Floats, Floats]:
        """The new dual (J,) and the free part of dW, from the dual and the margins of the rows (J,) now.

        Both rows of the system are met to `accuracy`, relative, or as near as ROUNDS come.
        """
        r, curvature, xp, pairing = self.rank, _Curvature.of(self), self.A.xp, self.pairing
        nearly = curvature.inverse()
        f, g = ((xp.put(x), xp.put(y)) for x, y in (pairing.f, pairing.g))
        psi = _Psi(r, f, g, xp.put(pairing.k))
        top, left = self._inside(dual)
        first = self.A.h - margins - self._margins(*psi(top, left))
        second = xp.put(np.eye(r)) - _symmetric(top[:, :r])
        delta, top, left = 0.0 * first, 0.0 * top, 0.0 * left
        S, missing = 0.0 * second, second
        size, asked = xp.norm(first), accuracy * xp.norm(second)
        for _ in range(ROUNDS):
            changed, beside = psi(top, left)
            changed[:, :r] += S - curvature.rho * missing
            lacking = first - self._margins(changed, beside)
            target = ACCURACY * min(size, xp.norm(lacking))
            right = xp.cast(lacking, xp.single)
            x, _ = conjugate_gradients(curvature.product, right, target, precondition=nearly, most=MOST)
            delta = delta + x
            top, left = self._inside(delta)
            missing = second - _symmetric(top[:, :r])
            # With this S what the first row lacks is what conjugate gradients left, `target` at most.
            S = S - curvature.rho * missing
            if target <= accuracy * size and xp.norm(missing) <= asked:
                break
        free = xp.zeros(self.A.shape, S)
        free[:r, :r] = S
        return dual + delta, free

    def _inside(self, dual: Floats) -> tuple[Floats, Floats]:
        """(r, d_z), (d - r, r) the rows and the rest of the columns of the face of A* `dual`."""
        r, M = self.rank, self.A.adjoint(dual)
        return (self.U[:, :r].T @ M) @ self.Vt.T, self.U[:, r:].T @ (M @ self.Vt[:r].T)

    def _margins(self, top: Floats, left: Floats) -> Floats:
        """(J,) the margins of the matrix with these rows and columns on the face, and 0 elsewhere."""
        r = self.rank
        return self.A.margins(self.U[:, :r] @ (top @ self.Vt) + (self.U[:, r:] @ left) @ self.Vt[:r])


@dataclass(frozen=True, eq=False)
class _Psi:
    """A pairing on the rows and columns of the face, outside which it changes nothing.

    Attributes:
        rank: r, of the face.
        f, g, k: the weights of the pairing, p = min(d, d_z) in k; in one namespace and precision.
    """

    rank: int
    f: tuple[Floats, Floats]
    g: tuple[Floats, Floats]
    k: Floats

    @cached_property
    def _own(self) -> tuple[Floats, Floats]:
        """(r, d_z), (d - r, r) the weights of M_ij on the rows of the face and on the rest of its columns."""
        r, (f, fz), (g, gz), outer = self.rank, self.f, self.g, namespace_of(self.k).module.outer
        return outer(f[:r], gz) + outer(g[:r], fz), outer(f[r:], gz[:r]) + outer(g[r:], fz[:r])

    @cached_property
    def _across(self) -> tuple[Floats, Floats]:
        """(r, p), (p - r, r) the weights of M_ji there."""
        r, f, k, outer = self.rank, self.f[0][: len(self.k)], self.k, namespace_of(self.k).module.outer
        return outer(f[:r], k) + outer(k[:r], f), outer(f[r:], k[:r]) + outer(k[r:], f[:r])

    def __call__(self, top: Floats, left: Floats) -> tuple[Floats, Floats]:
        """The rows (r, d_z) and the rest of the columns (d - r, r) of Psi(M) from those of M."""
        r, p = self.rank, len(self.k)
        changed, beside = self._own[0] * top, self._own[1] * left
        changed[:, :r] += self._across[0][:, :r] * top[:, :r].T
        changed[:, r:p] += self._across[0][:, r:] * left[: p - r].T
        beside[: p - r] += self._across[1] * top[:, r:p].T
        return changed, beside


@dataclass(frozen=True, eq=False)
class _Curvature:
    """H + rho E E' in single precision: A (Psi + rho sym on the face) A*, rows in the basis of the face.

    All in the namespace of the rows.

    Attributes:
        rows: those of the system.
        psi: the pairing.
        rho: the weight of E E'.
    """

    rows: Operator
    psi: _Psi
    rho: float = 0.0

    @staticmethod
    def of(system: NuclearSystem) -> "_Curvature":
        """The weight rho is tr H / |E|^2, from one random vector of signs: within a factor of ten any does."""
        A, cast, f32 = system.A, system.A.xp.cast, system.A.xp.single
        xp = A.xp
        a = cast(A.a, f32) @ cast(system.U, f32)
        z = cast(A.queries, f32) @ cast(system.Vt.T, f32)
        (f, fz), (g, gz), k = system.pairing.f, system.pairing.g, system.pairing.k
        rows, weights = batched(a, A.sample, z, A.unit), [xp.put(w, f32) for w in (f, fz, g, gz, k)]
        free = _Curvature(rows, _Psi(system.rank, (weights[0], weights[1]), (weights[2], weights[3]), weights[4]))
        signs = xp.put(np.random.default_rng(0).choice([-1.0, 1.0], len(rows)), f32)
        locked = xp.norm(_symmetric(free.inside(signs)[0][:, : system.rank]))
        rho = float(signs @ free.product(signs)) / max(locked, 1e-30) ** 2
        return replace(free, rho=STIFFER * rho if free.few else rho)

    @property
    def few(self) -> bool:
        """Whether a Cholesky factor in single precision costs less than the products that it saves."""
        return self.rows.xp is NUMPY and len(self.rows) <= FEW

    def inside(self, x: Floats) -> tuple[Floats, Floats]:
        """(r, d_z), (d - r, r) the rows and the rest of the columns of the face of A* x."""
        P, Z, r = self.rows.pulled(x), self.rows.queries, self.psi.rank
        return P[:, :r].T @ Z, P[:, r:].T @ Z[:, :r]

    def product(self, x: Floats) -> Floats:
        """(J,) H x + rho E E' x."""
        top, left = self.inside(x)
        r, Z = self.psi.rank, self.rows.queries
        changed, beside = self.psi(top, left)
        changed[:, :r] += self.rho * _symmetric(top[:, :r])
        along = self.rows.xp.zeros((len(Z), self.rows.shape[0]), Z)
        along[:, :r], along[:, r:] = Z @ changed.T, Z[:, :r] @ beside.T
        return self.rows.along(along)

    def inverse(self) -> Product:
        """Nearly the inverse of H + rho E E'."""
        if self.few:
            with suppress(LinAlgError):
                return self.inverse_by_factor()
        return self.inverse_by_query()

    def inverse_by_factor(self) -> Product:
        """By a factor in single precision, and a ridge.

        Raises:
            LinAlgError: it is not positive to single precision.
        """
        a, z, sample, psi = self.rows.a, self.rows.queries, self.rows.sample, self.psi
        # Of H the lower triangle is known: in the order of LAPACK, the upper one.
        known: Any = Pairing(psi.f, psi.g, psi.k).gram(a, z, sample).T
        E = symmetric_parts(a[:, : psi.rank], z[sample, : psi.rank], psi.rank)
        if E.size:
            known = ssyrk(self.rho, E.T, trans=1, lower=0, beta=1.0, c=known, overwrite_c=1)
        known[np.diag_indices_from(known)] += RIDGE * float(np.trace(known)) / len(known)
        R = cholesky(known, lower=False, overwrite_a=True, check_finite=False)
        return lambda x: np.asarray(cho_solve((R, False), x, check_finite=False))

    def inverse_by_query(self) -> Product:
        """The inverse of the blocks of H + rho E E' by query, which are what makes it ill conditioned."""
        r, p, dots, blocks = self.psi.rank, len(self.psi.k), self.rows.xp.dots, QueryBlocks.of(self.rows)
        a, z, (f, fz), (g, gz) = blocks.a, blocks.queries, self.psi.f, self.psi.g
        on, z_on = a[:, :, :r], z[:, :r]
        transposed = on.swapaxes(1, 2)
        H = ((on * f[:r]) @ transposed) * ((z * z) @ gz)[:, None, None]
        H += ((a * g) @ a.swapaxes(1, 2)) * ((z_on * z_on) @ fz[:r])[:, None, None]
        right, below = dots(on, z_on * f[:r]), dots(a[:, :, :p], z[:, :p] * self.psi.k)
        cross = right[:, :, None] * below[:, None, :]
        H += cross + cross.swapaxes(1, 2)
        s, length = dots(on, z_on), dots(z_on[:, None, :], z_on)
        both = (on @ transposed) * length[:, :, None] + s[:, :, None] * s[:, None, :]
        H += 0.5 * self.rho * both
        return blocks.inverse(H)


def _symmetric(M: Floats) -> Floats:
    return 0.5 * (M + M.T)


FEW: Final = 1000
"""Rows up to which a factor in single precision costs less than the products that it saves."""

RIDGE: Final = 1e-6
"""Relative, of that factor."""

STIFFER: Final = 10.0
"""Times rho where there is a factor, which does not care: rounds leave a tenth as much of what E' delta lacks."""

ROUNDS: Final = 12
"""Of multipliers S; each takes a factor of about 30 off what E' delta lacks."""

ACCURACY: Final = 0.1
"""Of the first row in each round, relative."""

MOST: Final = 300
"""Steps of conjugate gradients a round."""
