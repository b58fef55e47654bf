"""What only this library says of a head that is being trained: where the flow goes from here, and how thrifty it is."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.audit.controls import rotations
from marginflow.audit.least import Thrift, thrift
from marginflow.errors import InputError
from marginflow.heads.head import Head
from marginflow.heads.logits import logits as logits_of
from marginflow.watch.figures import seen


if TYPE_CHECKING:
    from marginflow.problem.problem import Problem
    from marginflow.torch.look import Looked
    from marginflow.trajectory.trajectory import Trajectory

_NEAR: Final = 1e-3
"""How far logits may be from x'Wz, over their size: far above float32, far below any term that is not there."""


@dataclass(frozen=True)
class Spending:
    """Norms of a head over the certified least with its own margins, beside rotated heads with theirs.

    Attributes:
        name: the head.
        own: of the head; ratios at least 1.
        rotation: of each draw of a random rotation between the same keys and queries.
    """

    name: str
    own: Thrift
    rotation: tuple[Thrift, ...]

    def __str__(self) -> str:
        parts = []
        for norm in ("nuclear", "frobenius"):
            drawn = sorted(getattr(t, norm) for t in self.rotation)
            beside = f", rotated heads {drawn[0]:.3g} to {drawn[-1]:.3g} times for theirs" if drawn else ""
            parts.append(f"{getattr(self.own, norm):.3g} times the certified least {norm} norm{beside}")
        asked = f"{self.own.constraints} margins of its own top tokens at {self.own.queries} queries"
        return f"{self.name} spends, for {asked}, {'; '.join(parts)}."


def flow_from(head: Head, logits: Floats | None, problem: "Problem | None", options: Mapping[str, Any]) -> "Trajectory":
    """The gradient flow of the paper's model from the factors of `head`.

    The flow of W = s K'Q in K and Q is that of W = K Q' in sqrt(s) K' and sqrt(s) Q', with time s times as fast: the
    chain rule gives each factor one s from its own scale and keeps the other.

    Raises:
        InputError: the head is not the paper's model on `problem`.
    """
    from marginflow.flow.integrate import integrate
    from marginflow.model.registry import KeyQuery

    if problem is None:
        raise InputError("flow: no problem was given; expected watch(..., problem=Problem(X, z, scores))")
    if head.law.word != "plain" or (head.K.shape[1], head.Q.shape[1]) != (problem.d, problem.d_z):
        raise InputError(
            f"flow: the head has law {head.law.word}, K {head.K.shape} and Q {head.Q.shape}; expected a "
            f"plain head without biases on tokens of width {problem.d} and queries of width {problem.d_z}"
        )
    own = head.scale * np.einsum("ntd,de,ne->nt", problem.X, head.K.T @ head.Q, problem.z)
    if logits is None or logits.size != own.size or len(logits) != problem.n:
        shape = "none" if logits is None else f"shape {logits.shape}"
        raise InputError(
            f"flow: the probe's logits ({shape}) are not those of the problem's {problem.n} samples of {own.shape[1]} "
            "tokens; give the problem's X and z as probe, so that it can be checked that this is the paper's model"
        )
    if _apart(logits.reshape(own.shape), own, problem.mask) > _NEAR:
        raise InputError("flow: the model's logits on the probe are not x'Wz of the problem; it is another model")
    size = head.scale**0.5
    return integrate(problem, KeyQuery(width=len(head.K)), init=(size * head.K.T, size * head.Q.T), **options)


def spending(head: Head, name: str, looked: "Looked", *, queries: int, draws: int, seed: int) -> Spending:
    """See `Watch.svm`."""
    for word, count in (("queries", queries), ("draws", draws)):
        if isinstance(count, bool) or not isinstance(count, int) or count < (word == "queries"):
            raise InputError(f"{word}: got {count!r}; expected a count")
    if name not in looked.inputs:
        raise InputError("svm: keys and queries were read, not seen; use mf.against_svm(W, problem)")
    if head.rotary is not None or head.gains is not None:
        raise InputError(f"svm: {name} has law {head.law.word}: no one W makes its logits, so no SVM bounds its norms")
    X, Z = (np.asarray(x.to("cpu").double().numpy()) for x in looked.inputs[name])
    if X.ndim != 3 or X.shape != Z.shape or not np.array_equal(X, Z):
        raise InputError(f"svm: keys and queries of {name} have different inputs; expected one sequence for both")
    logits = looked.logits[name][: len(X)]
    sees = seen(logits)
    if _apart(logits, logits_of(head, X), sees) > _NEAR:
        raise InputError(f"svm: the logits of {name} are not x'Wz: positions or a soft cap are in them")
    random = np.random.default_rng([seed, 0])
    turns = rotations(len(head.K), draws, random) if draws else np.zeros((0, 1, 1))
    found = [
        thrift(replace(head, Q=Q), X, sees, queries, np.random.default_rng([seed, 1]))
        for Q in (head.Q, *(turn @ head.Q for turn in turns))
    ]
    if found[0] is None:
        raise InputError(f"svm: no query of {name} prefers a token on the probe; there are no margins")
    return Spending(name, found[0], tuple(one for one in found[1:] if one is not None))


def _apart(given: Floats, own: Floats, sees: Bools) -> float:
    """The largest difference up to a number for each row, over the size of the logits."""
    gap = np.where(sees, given - own, 0.0)
    count = np.maximum(sees.sum(axis=-1, keepdims=True), 1)
    gap = np.where(sees, gap - gap.sum(axis=-1, keepdims=True) / count, 0.0)
    size = np.abs(np.where(sees, own, 0.0)).max(initial=0.0)
    return float(np.abs(gap).max(initial=0.0)) / max(float(size), np.finfo(float).tiny)
