"""The constraints as one linear map in batched layout: what the solvers of matrix norms multiply with."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.linalg.lapack import dpstrf

from marginflow.arrays import Bools, Floats, Ints
from marginflow.svm.scaling.levels import AbstractLevels
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace, namespace_of


@dataclass(frozen=True, eq=False)
class Operator(AbstractLevels):
    """The map A: W -> (a_c' W z_c)_c with unit a_c and z_c, laid out as a batch of small matrices.

    One batched product serves all samples: `margins` never gathers a row of W z_i per constraint, which is
    eight times slower. A sample with many more constraints than the others is split over several batch rows.

    Its arrays are of one namespace, as those that it takes and gives are; `sample` and indices to keep are NumPy's.
    An operator in NumPy may have a `copy` on a device, which then makes its products.

    Attributes:
        a: (C, d) unit rows.
        sample: (C,) int, which row of `queries` each constraint uses; nondecreasing.
        queries: (n, d_z) unit rows, each used by some constraint.
        unit: (C,) positive, what a margin of the user's 1 is here.
        level: (C,) 1 or 0; the right-hand sides are h = unit level.
        equal: (C,) whether the margin is h exactly.
        batch: (B, t, d) rows of `a` in batch order, padded with zeros.
        slot: (C,) int position of each constraint in the (B, t) grid, or None when the grid has no padding.
        owner: (B,) int the query of each batch row; the first n are 0..n-1.
        layers: the further batch rows, as runs in which no query occurs twice.
        xp: the namespace.
        copy: the same on a device, or None.
    """

    a: Floats
    sample: Ints
    queries: Floats
    unit: Floats
    level: Floats
    equal: Bools
    batch: Floats
    slot: Ints | None
    owner: Ints
    layers: tuple[slice, ...]
    xp: AbstractNamespace = NUMPY
    copy: "Operator | None" = field(default=None)

    @property
    def shape(self) -> tuple[int, int]:
        """The shape (d, d_z) of W."""
        return self.a.shape[1], self.queries.shape[1]

    def __len__(self) -> int:
        return len(self.a)

    @cached_property
    def h(self) -> Floats:
        """(C,) right-hand sides."""
        h: Floats = self.unit * self.level
        return h

    @property
    def entries(self) -> int:
        """C d."""
        return len(self.a) * self.a.shape[1]

    def on(self, xp: AbstractNamespace) -> "Operator":
        """This one, its products made by a copy in `xp` if that is another namespace.

        Raises:
            InputError: there is no room.
        """
        if xp is self.xp:
            return self
        n, rows = len(self.queries), self.batch.size + (0 if self.slot is None else self.a.size)
        # The rows twice: in float64, and once more in float32 or those worked on.
        xp.reserve(16 * rows, f"{len(self):,} constraints on {n:,} queries in {self.shape[0]} dimensions")
        put = xp.put
        a = put(self.a)
        batch = a.reshape(self.batch.shape) if self.slot is None else put(self.batch)
        slot = None if self.slot is None else put(self.slot)
        copy = replace(
            self,
            a=a,
            queries=put(self.queries),
            unit=put(self.unit),
            level=put(self.level),
            equal=put(self.equal),
            batch=batch,
            slot=slot,
            owner=put(self.owner),
            xp=xp,
        )
        return replace(self, copy=copy)

    def onto(self, W: Floats, margins: Floats) -> Floats:
        """The nearest W whose `margins` vanish on equalities, and on rows of level 0 where they are negative."""
        for _ in range(3):
            broken = ~self.leads & (self.equal | (margins <= 0.0))
            if not broken.any():
                return W
            same = bool((broken == self.equal).all())
            project = self._equalities if same else Projection.of(self, self.xp.nonzero(broken))
            W = project(W, margins)
            margins = self.margins(W)
            if float(margins[~self.leads].min()) >= -1e-13 * self.xp.norm(W):
                break
        return W

    @cached_property
    def _equalities(self) -> "Projection":
        return Projection.of(self, self.xp.nonzero(self.equal))

    def margins(self, W: Floats) -> Floats:
        """(C,) a_c' W z_c of `W` (d, d_z)."""
        if self.copy is not None:
            return self.copy.xp.get(self.copy.margins(self.copy.xp.put(W)))
        return self.along(self.queries @ W.T)

    def along(self, P: Floats) -> Floats:
        """(C,) a_c' P_i of one vector a query, `P` (n, d): the margins of W where P = queries W'."""
        if self.layers:
            P = P[self.owner]
        flat: Floats = self.xp.dots(self.batch, P).ravel()
        return flat if self.slot is None else flat[self.slot]

    def adjoint(self, dual: Floats) -> Floats:
        """(d, d_z) sum_c dual_c a_c z_c' of `dual` (C,)."""
        if self.copy is not None:
            return self.copy.xp.get(self.copy.adjoint(self.copy.xp.put(dual)))
        out: Floats = self.pulled(dual).T @ self.queries
        return out

    def pulled(self, dual: Floats) -> Floats:
        """(n, d) the sums of dual_c a_c over the constraints of each query, `dual` (C,)."""
        B, t, _ = self.batch.shape
        if self.slot is not None:
            grid = self.xp.zeros(B * t, dual)
            grid[self.slot] = dual
            dual = grid
        pulled: Floats = self.xp.sums(self.batch, dual.reshape(B, t))
        for rows in self.layers:
            pulled[self.owner[rows]] += pulled[rows]
        return pulled[: len(self.queries)]

    def written_out(self, keep: Ints | slice = slice(None)) -> Floats:
        """(C, d d_z) the matrices a_c z_c' of the constraints `keep`."""
        a = self.a[keep]
        rows: Floats = a[:, :, None] * self.queries[self.sample[keep]][:, None, :]
        return rows.reshape(len(a), self.a.shape[1] * self.queries.shape[1])

    def restrict(self, keep: Ints) -> "Operator":
        """The operator of the constraints `keep` (increasing indices)."""
        i = self.xp.put(keep)
        some = batched(self.a[i], self.sample[keep], self.queries, self.unit[i], self.level[i], self.equal[i])
        return some if self.copy is None else replace(some, copy=self.copy.restrict(keep))

    def single(self) -> "Operator":
        """The same in single precision: half the memory to read, and products to some 1e-6."""
        xp = self.xp
        a, queries, unit, level = (xp.cast(x, xp.single) for x in (self.a, self.queries, self.unit, self.level))
        batch = a.reshape(self.batch.shape) if self.slot is None else xp.cast(self.batch, xp.single)
        return replace(self, a=a, batch=batch, queries=queries, unit=unit, level=level)

    def bound(self) -> float:
        """||A||: from the Gram matrix when that is small, else to about a percent by power iteration."""
        if len(self) <= 128:
            a, queries = self.xp.get(self.a), self.xp.get(self.queries)
            gram = (a @ a.T) * (queries @ queries.T)[np.ix_(self.sample, self.sample)]
            return float(np.sqrt(np.linalg.eigvalsh(gram)[-1]))
        # A random start: on symmetric data the natural ones are orthogonal to the top direction.
        dual = self.xp.put(np.random.default_rng(0).uniform(0.5, 1.5, len(self)), self.a.dtype)
        square = 1.0
        for _ in range(20):
            dual = self.margins(self.adjoint(dual / self.xp.norm(dual)))
            square = self.xp.norm(dual)
        return float(np.sqrt(square))


@dataclass(frozen=True, eq=False)
class Projection:
    """Onto the weights whose margins vanish on some rows.

    Attributes:
        operator: all of them.
        rows: independent ones among those, in the namespace of the operator.
        inverse: (r, r) the inverse of their Gram matrix, in the namespace of the operator.
    """

    operator: Operator
    rows: Ints
    inverse: Floats

    @staticmethod
    def of(operator: Operator, rows: Ints) -> "Projection":
        """For the rows with these indices; those that depend on others are left out."""
        xp, sample = operator.xp, operator.sample[rows]
        a, queries = xp.get(operator.a[xp.put(rows)]), xp.get(operator.queries)
        gram = (a @ a.T) * (queries @ queries.T)[np.ix_(sample, sample)]
        _, order, rank, _ = dpstrf(gram, tol=_DEPENDENT)
        kept = np.sort(order[:rank] - 1)
        return Projection(operator, xp.put(rows[kept]), xp.put(np.linalg.inv(gram[np.ix_(kept, kept)])))

    def __call__(self, W: Floats, margins: Floats) -> Floats:
        dual = self.operator.xp.zeros(len(self.operator), self.inverse)
        dual[self.rows] = self.inverse @ margins[self.rows]
        out: Floats = W - self.operator.adjoint(dual)
        return out


_DEPENDENT = 1e-12  # of a row's square, beyond the others


def batched(
    a: Floats, sample: Ints, queries: Floats, unit: Floats, level: Floats | None = None, equal: Bools | None = None
) -> Operator:
    """Choose the batch layout: rows of `t` constraints each, t with the least work over all samples."""
    xp = namespace_of(a)
    level = xp.put(np.ones(len(a))) if level is None else level
    equal = xp.put(np.zeros(len(a), dtype=bool)) if equal is None else equal
    counts = np.bincount(sample, minlength=len(queries))
    if not counts.all():
        used = np.flatnonzero(counts)
        queries, counts = queries[xp.put(used)], counts[used]
        sample = np.repeat(np.arange(len(used)), counts)
    n, longest = len(queries), int(counts.max())
    if int(counts.min()) == longest:
        batch: Floats = a.reshape(n, longest, -1)
        return Operator(a, sample, queries, unit, level, equal, batch, None, xp.put(np.arange(n)), (), xp)
    # A batch row costs about three constraints more than it holds.
    sizes = np.unique(-(-longest // np.arange(1, 1 + min(longest, 32))))
    work = [int((-(-counts // t)).sum()) * (t + 3) for t in sizes]
    t = int(sizes[int(np.argmin(work))])
    # Layer k holds the constraints kt, ..., kt + t - 1 of every sample that has so many.
    layers = [np.flatnonzero(counts > k * t) for k in range(-(-longest // t))]
    ends = np.cumsum([len(samples) for samples in layers])
    row = np.zeros((len(layers), n), dtype=np.intp)
    for k, samples in enumerate(layers):
        row[k, samples] = np.arange(ends[k] - len(samples), ends[k])
    within = np.arange(len(a)) - np.repeat(np.cumsum(counts) - counts, counts)
    slot = xp.put(row[within // t, sample] * t + within % t)
    batch = xp.zeros((int(ends[-1]) * t, a.shape[1]), a)
    batch[slot] = a
    further = tuple(slice(int(i), int(j)) for i, j in pairwise(ends))
    batch = batch.reshape(-1, t, a.shape[1])
    owner = xp.put(np.concatenate(layers))
    return Operator(a, sample, queries, unit, level, equal, batch, slot, owner, further, xp)
