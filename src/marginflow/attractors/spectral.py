"""Rejecting thousands of selections at a time for the nuclear and the l1 norm (docs/attractors.md, Pruning).

As for the Euclidean norms an attractor solves two problems at once, against its worse tokens and against all
others. So multipliers on all tokens and weights that separate the worse ones reject a selection when the bound
of the multipliers exceeds the norm of the weights. Both come from a primal-dual iteration in single precision
(Chambolle and Pock 2011) of which nothing has to converge: every bound carries its rounding.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, Singles
from marginflow.attractors.batched_norms import AbstractBall, L1Ball, NuclearBall
from marginflow.attractors.candidates import Candidates
from marginflow.attractors.euclidean import curvature, forces, owners
from marginflow.attractors.growth import Growth
from marginflow.attractors.screen import AbstractNodes, AbstractScreen, precision


@dataclass(frozen=True, eq=False)
class PrimalDualNodes(AbstractNodes):
    """Partial selections, with the bounds known of them.

    Attributes:
        weights: (2, B, p) weights of the two problems.
        margin: (B,) weights[0] separate the worse tokens by this much; not positive when they do not.
        lower: (B,) no weights with margins of 1 against worse and better tokens have a smaller norm.
        upper: (B,) some weights with margins of 1 against the worse tokens have this norm.
        separated: (B,) some weights separate the worse and the better tokens.
    """

    weights: Singles
    margin: Floats
    lower: Floats
    upper: Floats
    separated: Bools

    @property
    def known_separated(self) -> Bools:
        """(B,) `separated`."""
        return self.separated


@dataclass(frozen=True, eq=False)
class SpectralScreen(AbstractScreen[PrimalDualNodes]):
    """Token matrices and step sizes of one problem, samples in the order of the search.

    Attributes:
        candidates: the possible tokens, in the order of the search.
        ball: the norm.
        rows: (n, T, p) the token matrices x_il z_i' in the coordinates of `Candidates.rows`.
        step: (n,) step size of each sample's multipliers, times the weight of the primal.
        growth: how parents' weights are made to separate one more sample; None where that is not known.
    """

    candidates: Candidates
    ball: AbstractBall
    rows: Singles
    step: Singles
    growth: Growth | None

    @classmethod
    def of(cls, candidates: Candidates, growth: Growth | None) -> "SpectralScreen":
        """Choose precision and steps for `candidates`."""
        rows = candidates.rows
        n, T, p = rows.shape
        rows = rows - rows.mean(axis=1, keepdims=True)
        size = np.maximum(np.square(rows).sum(axis=2).max(axis=1), 1e-300)
        flat = rows.reshape(n * T, p)
        kind = precision(size)
        # Longer steps diverge; the curvature is that of the steepest of a few selections.
        step = 0.8 / (size * curvature(candidates, flat @ flat.T, size))
        d = candidates.problem.d
        ball = L1Ball() if candidates.diagonal else NuclearBall((d, p // d))
        return cls(candidates, ball, rows.astype(kind), step.astype(kind), growth)

    @property
    def patience(self) -> int:
        """Steps worth taking with whole selections before they are solved: eigenvectors make them dear."""
        return 2400 if self.candidates.diagonal else 600

    def root(self) -> PrimalDualNodes:
        """The empty selection."""
        n, T, p = self.rows.shape
        kind = self.rows.dtype
        return PrimalDualNodes(
            alpha=np.zeros((1, 0), dtype=np.intp),
            dual=np.zeros((2, 1, 0, T), dtype=kind),
            weights=np.zeros((2, 1, p), dtype=kind),
            margin=np.ones(1),
            lower=np.zeros(1),
            upper=np.zeros(1),
            separated=np.ones(1, dtype=bool),
            children=self.candidates.possible[:1].copy() if n else np.ones((1, T), dtype=bool),
        )

    def expand(self, nodes: PrimalDualNodes) -> PrimalDualNodes:
        """The children of `nodes` that the parents' own weights and multipliers do not reject."""
        grown = self.grown(nodes)
        parent = grown.parent
        weights = nodes.weights[:, parent]
        if self.growth is not None:
            weights = weights.copy()
            weights[0] = self._extended(nodes, parent, grown.token)
        children = PrimalDualNodes(
            alpha=grown.alpha,
            dual=grown.dual,
            weights=weights,
            margin=np.full(len(parent), -np.inf),
            lower=nodes.lower[parent],
            upper=np.full(len(parent), np.inf),
            separated=np.zeros(len(parent), dtype=bool),
            children=grown.children,
        )
        if self.growth is None:
            return children
        margin = self._margins(children.alpha, children.weights, self.allowed(children.alpha))[0]
        upper = _over(self.ball.upper(children.weights[0]), margin)
        children = replace(children, margin=margin, upper=upper)
        return (
            children.part(~(children.lower > children.upper * _SLACK)) if children.depth == len(self.rows) else children
        )

    def relax(self, nodes: PrimalDualNodes, steps: int) -> PrimalDualNodes:
        """Take at most `steps` primal-dual steps and drop the nodes that no attractor extends."""
        k = nodes.depth
        leaf = k == len(self.rows)
        allowed = self.allowed(nodes.alpha)
        weight = self._balance(nodes)
        sums = (np.zeros_like(nodes.weights), np.zeros_like(nodes.dual))
        taken = since = 0
        while len(nodes):
            nodes, sums = self._stepped(nodes, weight, allowed, sums)
            taken += _CHECK
            since += _CHECK
            if since >= max(_PERIOD, taken // 5):
                # Starting again from the mean of a turn makes the turns of a bilinear iteration shrink.
                nodes = replace(nodes, weights=sums[0] / since, dual=sums[1] / since)
                M = self._adjoint(nodes.dual[1:], nodes.alpha)[0]
                nodes = self._judged(nodes, self.ball.upper(nodes.weights[0]), M, allowed)
                sums, since = (np.zeros_like(sums[0]), np.zeros_like(sums[1])), 0
            weight = 0.5 * (weight + self._balance(nodes))
            # Of a partial selection the two bounds may part and meet again: see `_looked_ahead`.
            keep = np.logical_not(nodes.lower > nodes.upper * _SLACK)
            if leaf and not keep.all():
                nodes, allowed, weight = nodes.part(keep), allowed[:, keep], weight[:, keep]
                sums = (sums[0][:, keep], sums[1][:, keep])
            # Few nodes are cheaper to solve than to take further steps with.
            if taken >= steps or (leaf and len(nodes) <= taken // _STRAGGLERS):
                break
        return self._looked_ahead(nodes)

    def _stepped(
        self, nodes: PrimalDualNodes, weight: Singles, allowed: Singles, sums: tuple[Singles, Singles]
    ) -> tuple[PrimalDualNodes, tuple[Singles, Singles]]:
        """The nodes after `_CHECK` steps and their bounds there; `sums` of weights and multipliers on the way."""
        k, T, p = nodes.depth, *self.rows.shape[1:]
        rows = self.rows[:k].reshape(-1, p)
        dual, W = nodes.dual, nodes.weights
        size = (weight[..., None] * self.step[:k])[..., None]
        place = owners(nodes.alpha, T)
        M = self._adjoint(dual, nodes.alpha)
        for _ in range(_CHECK):
            new, norm = self.ball.prox(W + M / weight[..., None], 1.0 / weight)
            slack = ((2.0 * new - W).reshape(-1, p) @ rows.T).reshape(dual.shape)
            slack -= (slack.reshape(-1)[place] - 1.0).reshape(*dual.shape[:3], 1)
            slack *= size
            slack += dual
            dual = np.maximum(slack, 0.0, out=slack)
            dual *= allowed
            W = new
            M = self._adjoint(dual, nodes.alpha)
            sums = (sums[0] + W, sums[1] + dual)
        return self._judged(replace(nodes, dual=dual, weights=W), norm[0], M[1], allowed), sums

    def _judged(self, nodes: PrimalDualNodes, norm: Singles, M: Singles, allowed: Singles) -> PrimalDualNodes:
        """The same with the bounds that its weights and multipliers give; `norm` bounds that of weights[0]."""
        kind = self.rows.dtype
        margin, whole = self._margins(nodes.alpha, nodes.weights, allowed)
        total = nodes.dual[1].sum(axis=(1, 2), dtype=np.float64)
        # M sums 2 kT terms of total size at most 2 total times the longest row.
        longest = float(np.sqrt(np.square(self.rows).sum(axis=2).max()))
        terms = 2 * nodes.dual.shape[2] * nodes.dual.shape[3] + 8
        error = terms * float(np.finfo(kind).eps) * 2.0 * longest * total
        lower = total * (1.0 - terms * float(np.finfo(kind).eps)) / np.maximum(self.ball.dual_upper(M) + error, 1e-300)
        return replace(
            nodes,
            margin=margin,
            lower=np.fmax(nodes.lower, lower),
            upper=np.fmin(nodes.upper, _over(norm.astype(np.float64), margin)),
            separated=nodes.separated | (whole > 0.0),
        )

    def _looked_ahead(self, nodes: PrimalDualNodes) -> PrimalDualNodes:
        """Without the children whose tokens, with any tokens after them, the node's own bounds reject."""
        if self.growth is None or nodes.depth == len(self.rows) or len(nodes) == 0:
            return nodes
        d = self.candidates.problem.d
        most = self.growth.added(_scaled(nodes).reshape(len(nodes), d, -1), nodes.depth)
        upper = self.ball.upper(nodes.weights[0])
        upper = _over(upper, nodes.margin)[:, None] + most
        alive = ~(nodes.lower[:, None] > upper * _SLACK)
        nodes = replace(nodes, children=nodes.children & alive)
        return nodes.part(np.asarray(nodes.children.any(axis=1), dtype=bool))

    def _extended(self, nodes: PrimalDualNodes, parent: Ints, token: Ints) -> Singles:
        """(B, p) the parents' weights against the worse tokens, made to separate those of one more sample."""
        assert self.growth is not None
        d = self.candidates.problem.d
        W = _scaled(nodes).reshape(len(nodes), d, -1)
        step = self.growth.extension(W, nodes.depth)
        z = self.growth.last_dual(nodes.depth)
        out = W[parent] + step[parent, token][:, :, None] * z
        return np.asarray(out.reshape(len(parent), -1), dtype=self.rows.dtype)

    def _adjoint(self, dual: Singles, alpha: Ints) -> Singles:
        """(S, B, p) sum of multipliers times constraints, for multipliers (S, B, k, T)."""
        rows = self.rows[: alpha.shape[1]].reshape(-1, self.rows.shape[2])
        return (forces(dual, alpha).reshape(-1, len(rows)) @ rows).reshape(*dual.shape[:2], -1)

    def _margins(self, alpha: Ints, weights: Singles, allowed: Singles) -> Floats:
        """(2, B) numbers that the least margins of the two problems exceed; inf without constraints."""
        k, T, p = alpha.shape[1], *self.rows.shape[1:]
        rows = self.rows[:k].reshape(-1, p)
        slack = (weights.reshape(-1, p) @ rows.T).reshape(2, -1, k, T)
        slack -= slack.reshape(-1)[owners(alpha, T)].reshape(2, -1, k, 1)
        least = -np.where(allowed > 0, slack, -np.inf).max(axis=(2, 3)).astype(np.float64)
        # Two inner products of p terms and their difference; centred rows carry one rounding more.
        longest = float(np.sqrt(np.square(rows).sum(axis=1).max()))
        length = np.sqrt(np.square(weights).sum(axis=2, dtype=np.float64))
        return least - (2 * p + 8) * float(np.finfo(self.rows.dtype).eps) * longest * length

    def _balance(self, nodes: PrimalDualNodes) -> Singles:
        """(2, B) the weight of the primal that makes both halves of the iteration move alike."""
        k = nodes.depth
        pull = np.sqrt((np.square(nodes.dual).sum(axis=3) / self.step[:k]).sum(axis=2))
        length = np.sqrt(np.square(nodes.weights).sum(axis=2))
        known = (pull > 0.0) & (length > 0.0)
        start = 1.0 / np.sqrt(self.step[:k].min())
        ratio = np.where(known, pull / np.where(known, length, 1.0), start)
        return np.asarray(np.clip(ratio, start / _FAR, start * _FAR), dtype=self.rows.dtype)


def _scaled(nodes: PrimalDualNodes) -> Floats:
    """(B, p) weights[0] at margin 1 where they separate, at least 1 where they nearly do not."""
    scale = np.where(nodes.margin > _TINY, nodes.margin, 1.0)
    return np.asarray(nodes.weights[0].astype(np.float64) / scale[:, None])


def _over(norm: Floats, margin: Floats) -> Floats:
    """The norm at margin 1; inf where nothing is separated, 0 where there is nothing to separate."""
    return np.where(
        np.isinf(margin) & (margin > 0), 0.0, np.where(margin > 0, norm / np.maximum(margin, 1e-300), np.inf)
    )


_TINY: Final = 1e-12
"""Margins below this are not scaled up to 1."""

_FAR: Final = 100.0
"""The balance of primal and dual stays this near to where it begins, or one of them could run away."""

_PERIOD: Final = 20
"""Steps of a first turn; later ones are a fifth of all steps so far."""

_CHECK: Final = 5
"""Steps between two looks at the bounds."""

_SLACK: Final = 1.0 + 1e-4
"""Bounds that meet more closely than this decide nothing."""

_STRAGGLERS: Final = 20
"""A certified solve costs about as much as this many steps of a small batch."""
