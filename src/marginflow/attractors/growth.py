"""What the open samples can add to the squared Frobenius value, at most and at least (docs/attractors.md)."""

from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.attractors.candidates import Candidates
from marginflow.svm.proof.svm_status import SvmStatus
from marginflow.svm.solve import solve


@dataclass(frozen=True, eq=False)
class Bound:
    """(B, T) for each token of the next sample: what it and the samples after it add."""

    most: Floats
    least: Floats


@dataclass(frozen=True, eq=False)
class Growth:
    """Single-sample solutions and the inverse Gram matrix of the queries, in the order of the search.

    For independent queries there are dual vectors z~_j with z~_j' z_k = [j = k]. Adding sum_j v_j z~_j' to W
    moves only the open samples j, to W z_j + v_j, and costs exactly sum_jk (v_j . v_k) (z~_j . z~_k).

    Attributes:
        candidates: in the order of the search.
        point: (n, T, d) the shortest w with (x_a - x_l)' w >= 1 for every worse token l of a.
        seen: (n, e) the coordinates of the queries in `Candidates.rows`.
        queries: (n, n) inner products of the queries.
        inverse: (n, n) its inverse: the inner products of the dual vectors.
    """

    candidates: Candidates
    point: Floats
    seen: Floats
    queries: Floats
    inverse: Floats

    @classmethod
    def of(cls, candidates: Candidates) -> "Growth | None":
        """None for diagonal weights, dependent queries, or samples whose worse tokens cannot be separated."""
        problem = candidates.problem
        z = problem.z[candidates.order]
        if candidates.diagonal or len(z) > z.shape[1]:
            return None
        queries = z @ z.T
        if np.linalg.cond(queries) > 1e6:
            return None
        point = np.zeros(problem.X.shape)
        for i, sample in enumerate(candidates.order):
            for a in np.flatnonzero(candidates.possible[i]):
                worse = candidates.worse[i, a]
                if worse.any():
                    w = _shortest(problem.X[sample, a] - problem.X[sample, worse])
                    if w is None:
                        return None
                    point[i, a] = w
        return cls(candidates, point, candidates.seen, queries, np.asarray(np.linalg.inv(queries), dtype=np.float64))

    def reordered(self) -> Ints:
        """An order of the samples in which the last ones add least: their bounds prune next to the leaves."""
        size = np.square(self.point).sum(axis=2).max(axis=1)
        left, back = list(range(len(size))), list[int]()

        def cost(j: int) -> float:
            last = [*back, j]
            return float(np.linalg.eigvalsh(self.inverse[np.ix_(last, last)])[-1] * size[last].sum())

        while left:
            back.append(min(left, key=cost))
            left.remove(back[-1])
        return np.array(back[::-1], dtype=np.intp)

    def permuted(self, order: Ints, candidates: Candidates) -> "Growth":
        """The same for `candidates` in another order."""
        block = np.ix_(order, order)
        return Growth(candidates, self.point[order], candidates.seen, self.queries[block], self.inverse[block])

    def bound(self, primal: Floats, tight: Floats, loose: Floats, doubt: Floats) -> Bound:
        """Bounds for the next sample's tokens.

        Args:
            primal: (B, k, T) forces whose W separates the worse tokens of the first k samples.
            tight: (B, k, T) forces of the best multiple of the multipliers against worse and better tokens.
            loose, doubt: (B,) rounding error of their squared norms, which `most` and `least` absorb.
        """
        k = primal.shape[1]
        n = len(self.queries)
        X = self.candidates.problem.X[self.candidates.order]
        stretch = float(np.linalg.eigvalsh(self.inverse[k:, k:])[-1]) * (1.0 + 1e-9)
        pulled = np.einsum("bkt,ktd->bkd", primal, X[:k])
        rest = np.zeros(len(primal))
        for j in range(k + 1, n):
            rest += self._most(pulled, X, j, k).max(axis=1)
        most = stretch * (self._most(pulled, X, k, k) + rest[:, None]) + 1e-6 * loose[:, None]
        w = np.einsum("bkd,k->bd", np.einsum("bkt,ktd->bkd", tight, X[:k]), self.queries[:k, k])
        least = self._least(w, X[k], k) - doubt[:, None]
        return Bound(most, np.maximum(least, 0.0))

    def extension(self, W: Floats, k: int) -> Floats:
        """(B, T, d) for each token of sample k a v such that W z_k + v separates it, for W (B, d, e)."""
        X = self.candidates.problem.X[self.candidates.order]
        return self._moves(W @ self.seen[k], X, k)

    def last_dual(self, k: int) -> Floats:
        """(e,) the shortest vector with product 1 with query k and 0 with those before it."""
        return np.asarray(np.linalg.pinv(self.seen[: k + 1])[:, k])

    def added(self, W: Floats, k: int) -> Floats:
        """(B, T) what sample k with that token, and any tokens of those after it, add to a matrix norm of W.

        Any norm that is |v||z| on v z': W + sum_j v_j z~_j' separates (see the class).
        """
        X = self.candidates.problem.X[self.candidates.order]
        length = np.sqrt(self.inverse.diagonal()) * (1.0 + 1e-6)
        out = np.zeros((len(W), X.shape[1]))
        for j in range(k, len(self.seen)):
            most = np.linalg.norm(self._moves(W @ self.seen[j], X, j), axis=2) * length[j]
            out += most if j == k else most.max(axis=1)[:, None]
        return out

    def _most(self, pulled: Floats, X: Floats, j: int, k: int) -> Floats:
        """(B, T) the squared length of a v that makes W z_j + v separate token a, for each a."""
        v = self._moves(np.einsum("bkd,k->bd", pulled, self.queries[:k, j]), X, j)
        return np.asarray(np.square(v).sum(axis=2)) * (1.0 + 1e-6)

    def _moves(self, w: Floats, X: Floats, j: int) -> Floats:
        """(B, T, d) a short v for which w + v separates token a of sample j, for each a; w (B, d) is W z_j."""
        logits = w @ X[j].T
        out = np.zeros((len(w), *X.shape[1:]))
        for a in np.flatnonzero(self.candidates.possible[j]):
            worse = self.candidates.worse[j, a]
            if not worse.any():
                continue
            # v = (1 - m) p + r (m p - w) separates for every r in [0, 1], m <= 1 the margin at w.
            m = np.minimum(1.0, logits[:, a] - logits[:, worse].max(axis=1))[:, None]
            p = self.point[j, a]
            base, along = (1.0 - m) * p, m * p - w
            r = -(base * along).sum(axis=1) / np.maximum((along * along).sum(axis=1), 1e-300)
            out[:, a] = base + np.clip(r, 0.0, 1.0)[:, None] * along
        return out

    def _least(self, w: Floats, X: Floats, k: int) -> Floats:
        """(B, T) gain of the dual from multipliers proportional to the violations of the next sample."""
        logits = w @ X.T
        length = self.queries[k, k]
        out = np.zeros((len(w), len(X)))
        for a in np.flatnonzero(self.candidates.possible[k]):
            other = self.candidates.worse[k, a] | self.candidates.better[k, a]
            d = np.maximum(1.0 - logits[:, a, None] + logits[:, other], 0.0)
            pull = d @ (X[a] - X[other])
            square = (pull * pull).sum(axis=1) * length
            gain = np.square((d * d).sum(axis=1))
            out[:, a] = np.where(square > 0.0, gain / np.maximum(square, 1e-300), 0.0)
        return out * (1.0 - 1e-6)


def _shortest(a: Floats) -> Floats | None:
    from marginflow.problem.constraints import Constraints

    rows = Constraints(a, np.zeros(len(a), dtype=np.intp), np.ones((1, 1)))
    solution = solve(rows, "frobenius", 1e-9)
    return None if solution.status is not SvmStatus.optimal else np.asarray(solution.W[:, 0])
