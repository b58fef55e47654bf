"""The data of one question: tokens, queries and token scores, validated once (theory 3.1)."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from marginflow.arrays import Bools, Floats, Ints, frozen
from marginflow.errors import InputError
from marginflow.problem.checks import (
    as_queries,
    as_scores,
    as_selection,
    as_signed_scores,
    as_tokens,
    refuse_equal_tokens,
    refuse_ties,
)
from marginflow.problem.constraints import Constraints
from marginflow.problem.faces import Faces
from marginflow.problem.masks import hidden_as_mask
from marginflow.problem.names import Strings, as_sample_names, as_token_names
from marginflow.problem.outputs import as_index, as_labels, as_values
from marginflow.problem.rows import Against as Against, rows_of_faces, rows_of_selection
from marginflow.problem.stored import StoredTokens


@dataclass(frozen=True, eq=False, init=False)
class Problem:
    """`n` samples of up to `T` tokens in `d` dimensions, a query in `d_z` dimensions and a score per token.

    Ragged samples are padded; padding is False in `mask`, zero in `X` and `scores`, and never read. A sample is a row:
    one softmax. Rows may add up in outputs, each may use the weights of its own head, and a token may contribute a
    vector (`values`) instead of a score; which tokens are best is then for a loss to say (`marginflow.faces`).

    Attributes:
        X: (n, T, d) float64 tokens. Those of mapped files and Dask arrays are `stored`, and read when this is asked.
        z: (n, d_z) float64 queries.
        scores: (n, T) float64 token scores gamma_il = y_i v'x_il; larger is better. nan where there are `values`.
        mask: (n, T) bool, True where a token exists.
        optimal: (n,) int, the token of largest score (the first of exact duplicates); -1 where there are `values`.
        output: (n,) int, the output that each row adds to; the loss is a mean over outputs.
        head: (n,) int, whose weights W give the row's logits.
        values: (n, T, k) float64, what each token contributes to its output, or None.
        labels: beside `values`, the class (outputs,) int or the target (outputs, k) float64 of each output; else None.
        y, v: the labels (n,) and the head (d,) where the scores came from them, else None.
        name: how to make this problem again ("angle:c=0.5", a file name), or "".
        token_names: (n, T) strings for people, "" where no token exists, or None.
        sample_names: (n,) strings for people, or None.
        stored: tokens that were left on disk or in a Dask array (docs/scale.md); None where they are in memory.
    """

    z: Floats
    scores: Floats
    mask: Bools
    optimal: Ints
    y: Floats | None = field(default=None)
    v: Floats | None = field(default=None)
    output: Ints = field(init=False)
    head: Ints = field(init=False)
    values: Floats | None = field(default=None)
    labels: Ints | Floats | None = field(default=None)
    name: str = field(default="")
    token_names: Strings | None = field(default=None)
    sample_names: Strings | None = field(default=None)
    stored: StoredTokens | None = field(default=None)

    def __init__(
        self,
        X: Any,
        z: Any,
        scores: Any = None,
        *,
        values: Any = None,
        labels: Any = None,
        output: Any = None,
        head: Any = None,
        mask: Any = None,
        name: str = "",
        token_names: Any = None,
        sample_names: Any = None,
    ) -> None:
        """Check, convert exactly to float64 and find the optimal tokens.

        Args:
            X: (n, T, d) array, or a list of (T_i, d) arrays; arrays are NumPy's, torch's, pandas' or anything that
                NumPy reads, of any type whose numbers float64 holds (bfloat16 too). Of an array mapped from a file
                (np.load(..., mmap_mode="r")) or of Dask no copy is made: `solve` reads it in blocks.
            z: (n, d_z) queries.
            scores: (n, T) array, or a list of (T_i,) arrays; or instead
            values: (n, T, k) array, or a list of (T_i, k) arrays, with
            labels: (outputs,) whole numbers, the class of each output, or targets (outputs, k).
            output: (n,) whole numbers 0, 1, ...: rows of one number add up in one output; each row its own when None.
            head: (n,) whole numbers 0, 1, ...: rows of one number use the same W; one for all when None.
            mask: (n, T) bool for padded arrays; True where a token exists. Or (n,) lengths. What a masked array
                hides in `X` or `scores` counts as a token that does not exist.
            name: kept for messages and reports.
            token_names: the words, say: (n, T) strings, or a list of one list of strings per sample.
            sample_names: (n,) strings.

        Raises:
            InputError: shapes that do not fit; numbers that are not finite or that float64 does not hold; scores and
                values, or neither; labels, outputs or heads that leave one out or do not exist; a sample with fewer
                than two tokens or a query of zeros; a tie of different tokens for the best score; tokens that are all
                the same. The message names sample and tokens.
        """
        X, scores, mask = hidden_as_mask(X, scores, mask)
        X, mask = as_tokens(X, mask)
        if (scores is None) == (values is None):
            count = "neither" if scores is None else "both"
            raise InputError(f"scores, values: got {count}; expected one of them, scores (n, T) or values (n, T, k)")
        if scores is not None and labels is not None:
            raise InputError("labels: got them with scores, which say already which tokens are better; give values")
        given = np.where(mask, np.nan, 0.0) if scores is None else as_scores(scores, mask)
        self._fill(X, z, given, mask, name=name, scored=scores is not None)
        self._group(output, head)
        if values is not None:
            object.__setattr__(self, "values", frozen(as_values(values, mask)))
            object.__setattr__(self, "labels", as_labels(labels, self.counts[0], self.k))
        self._call(token_names, sample_names)

    @classmethod
    def from_head(
        cls,
        X: Any,
        z: Any,
        y: Any,
        v: Any,
        *,
        mask: Any = None,
        name: str = "",
        token_names: Any = None,
        sample_names: Any = None,
    ) -> "Problem":
        """Build the problem with scores y_i v'x_il.

        Args:
            X, z, mask, name, token_names, sample_names: as for `Problem`.
            y: (n,) labels, each -1 or +1.
            v: (d,) head.

        Raises:
            InputError: as `Problem`, and for labels that are not -1 or +1, or a top score that is tied to
                within the rounding error of the inner product.
        """
        X, _, mask = hidden_as_mask(X, None, mask)
        X, mask = as_tokens(X, mask)
        y, v, scores, rounding = as_signed_scores(X, mask, y, v)
        problem = cls.__new__(cls)
        problem._fill(X, z, scores, mask, name=name, rounding=rounding)
        problem._group(None, None)
        problem._call(token_names, sample_names)
        object.__setattr__(problem, "y", frozen(y))
        object.__setattr__(problem, "v", frozen(v))
        return problem

    @staticmethod
    def next_token(sequences: Any, embedding: Any, *, name: str = "", vocabulary: Any = None) -> "Problem":
        """A row per (sequence, position): tokens = the prefix, query = its last token, score 1 at the next token.

        For the loss "log". Positions whose next token has not occurred in the prefix are left out, with a warning that
        says how many: their loss is infinite whatever the weights. Others left out have one token to attend to.

        Args:
            sequences: lists of token ids 0..K-1, or an array (N, L) padded with -1.
            embedding: (K, d) the vector of each token.
            name: kept for messages and reports.
            vocabulary: (K,) strings for people; the ids when None.

        Raises:
            InputError: ids outside the embedding, padding inside a sequence, two ids with one vector, or no position
                left.
        """
        from marginflow.problem.next_token import next_token

        return next_token(sequences, embedding, name=name, vocabulary=vocabulary)

    def __repr__(self) -> str:
        low, high = int(self.lengths.min()), int(self.lengths.max())
        tokens = f"{low}" if low == high else f"{low}..{high}"
        name = f"{self.name}: " if self.name else ""
        words = "".join(f", {word}" for word in self.shape_words)
        return f"Problem({name}{self.n} samples of {tokens} tokens, d = {self.d}, d_z = {self.d_z}{words})"

    @property
    def shape_words(self) -> list[str]:
        """What is not the plain case of one head, an output a row and a score a token."""
        outputs, heads = self.counts
        words = [f"{outputs} outputs"] if outputs != self.n else []
        words += [f"{heads} heads"] if heads > 1 else []
        return words + ([f"values in R^{self.k}"] if self.values is not None else [])

    def _repr_html_(self) -> str:
        from marginflow.problem.card import card_of_problem

        return card_of_problem(self)

    def _fill(
        self,
        X: Floats | StoredTokens,
        z: Any,
        scores: Floats,
        mask: Bools,
        *,
        name: str,
        rounding: Floats | None = None,
        scored: bool = True,
    ) -> None:
        z = as_queries(z, len(mask))
        if scored:
            optimal = np.where(mask, scores, -np.inf).argmax(axis=1)
            refuse_ties(X, scores, mask, optimal, rounding)
        else:
            optimal = np.full(len(mask), -1)
            refuse_equal_tokens(X, mask)
        values = {"z": z, "scores": scores, "mask": mask, "optimal": optimal}
        stored = X if isinstance(X, StoredTokens) else None
        if not isinstance(X, StoredTokens):
            values["X"] = X
        for key, value in values.items():
            object.__setattr__(self, key, frozen(value))
        object.__setattr__(self, "stored", stored)
        object.__setattr__(self, "name", name)
        for key in ("y", "v", "values", "labels", "token_names", "sample_names"):
            object.__setattr__(self, key, None)

    def _group(self, output: Any, head: Any) -> None:
        object.__setattr__(self, "output", as_index("output", output, self.n))
        object.__setattr__(self, "head", as_index("head", head, self.n))

    def _call(self, token_names: Any, sample_names: Any) -> None:
        object.__setattr__(self, "token_names", as_token_names(token_names, self.mask))
        object.__setattr__(self, "sample_names", as_sample_names(sample_names, self.n))

    def of_head(self, head: int) -> "Problem":
        """The rows of one head, each an output of its own: with fixed scores heads meet only in the size of the pull.

        Raises:
            InputError: no such head, or tokens with values, whose pull depends on the other heads.
        """
        self._need_scores("of_head")
        if not 0 <= head < self.counts[1]:
            raise InputError(f"head: got {head}; expected 0..{self.counts[1] - 1}")
        own = self.head == head
        return Problem(
            self.X[own],
            self.z[own],
            self.scores[own],
            mask=self.mask[own],
            name=f"{self.name} head {head}".strip(),
            token_names=None if self.token_names is None else self.token_names[own],
            sample_names=None if self.sample_names is None else self.sample_names[own],
        )

    @cached_property
    def X(self) -> Floats:
        """(n, T, d) the tokens; of `stored` ones all are read.

        Raises:
            InputError: stored tokens that would take more than 4 GiB of memory.
        """
        assert self.stored is not None
        return frozen(self.stored.read())

    @property
    def n(self) -> int:
        """The number of samples."""
        return len(self.mask)

    @property
    def T(self) -> int:
        """The largest number of tokens."""
        return self.mask.shape[1]

    @property
    def d(self) -> int:
        """The token dimension."""
        return (self.X if self.stored is None else self.stored).shape[2]

    @property
    def d_z(self) -> int:
        """The query dimension."""
        return self.z.shape[1]

    @property
    def k(self) -> int:
        """The dimension of an output."""
        return 1 if self.values is None else self.values.shape[2]

    @cached_property
    def counts(self) -> tuple[int, int]:
        """The numbers of outputs and of heads."""
        return int(self.output.max()) + 1, int(self.head.max()) + 1

    @cached_property
    def plain(self) -> bool:
        """Whether there is one head, every row is its own output, and tokens have scores."""
        return self.values is None and not self.head.any() and np.array_equal(self.output, np.arange(self.n))

    @cached_property
    def lengths(self) -> Ints:
        """(n,) the number of tokens of each sample."""
        return frozen(self.mask.sum(axis=1))

    @cached_property
    def log_minimal_loss(self) -> float:
        """log L*, with L* = mean over outputs of exp(-sum of its rows' gamma_opt), the infimum of the paper's loss.

        Raises:
            InputError: the tokens have values, of which only a loss says how small it can be.
        """
        top = -self.best_outputs
        shift = top.max()
        return float(shift + np.log(np.exp(top - shift).sum()) - np.log(len(top)))

    @cached_property
    def best_outputs(self) -> Floats:
        """(outputs,) each with all attention on the optimal tokens."""
        self._need_scores("the best outputs")
        return frozen(np.bincount(self.output, self.scores[np.arange(self.n), self.optimal]))

    def _need_scores(self, what: str) -> None:
        if self.values is not None:
            raise InputError(
                f"{what}: got a problem whose tokens have values; only a loss says which of them are best; "
                "expected scores, or ask marginflow.faces(problem, loss)"
            )

    def constraints(self, selection: Any = None, *, against: Against = "all") -> Constraints:
        """The SVM constraints (x_selected - x_l)' W z_i >= 1, and = 0 between the members of a face.

        Args:
            selection: (n,) token index per sample; the optimal tokens when None. Or the `Faces` of a loss: their
                reference tokens are selected, other members stay level with them, all others constrain.
            against: which tokens l: "all" others, only the "worse" ones (smaller score than the selected
                token) or only the "better" ones. Equal scores are neither.

        Returns:
            The constraints, samples in order. A token that equals the selected one in features and in score
            never constrains (theory 3.7); one that equals it in features alone gives a zero row, which no
            W can satisfy.

        Raises:
            InputError: a selection of the wrong shape, or of a token that does not exist; faces of another problem, or
                whose shares are not unique: there is then no one set of equalities that training keeps.
        """
        if isinstance(selection, Faces):
            return rows_of_faces(self, selection, against)
        if selection is None and against == "all":
            return self._constraints
        if against != "all":
            self._need_scores(f"against {against!r}")
        return rows_of_selection(self, self.selection(selection), against)

    @cached_property
    def _constraints(self) -> Constraints:
        """Those of the optimal tokens: every number of a run is made from them."""
        self._need_scores("constraints")
        return rows_of_selection(self, self.optimal, "all")

    def selection(self, selection: Any = None) -> Ints:
        """Check a token selection (n,); None means the optimal tokens."""
        if selection is None:
            self._need_scores("selection")
            return self.optimal
        return as_selection(selection, self.mask)
