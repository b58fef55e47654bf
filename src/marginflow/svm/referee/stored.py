"""Rechecking a solution whose tokens stay on disk: they are read once more, block by block, in float64.

Exact integers would take days for a billion numbers. Margins and the dual matrix have the textbook bound of float64
sums instead, |fl(x'y) - x'y| <= gamma_k |x|'|y| (Higham, Accuracy and Stability of Numerical Algorithms, ch. 3): it is
coarser than the certificate's and computed apart from it; norms are bounded as for other files (docs/scale.md).
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats, Ints
from marginflow.errors import InputError
from marginflow.svm.referee import bounds
from marginflow.svm.referee.claims import Check, Part
from marginflow.svm.referee.contradiction import contradiction
from marginflow.svm.referee.exact import Exact
from marginflow.svm.referee.rows import Arrays, Row


@dataclass(frozen=True, eq=False)
class Pass:
    """What one pass over the tokens showed.

    Attributes:
        least: (H,) for each head lower bounds of the least margin; inf for a head without constraints.
        doubt: (H,) how much of that bound is rounding.
        count: constraints met.
        missing: multipliers of what is no constraint, as (sample, token).
        own, other: (k, d) the selected tokens and the others of the saved multipliers.
        digest: SHA-256 of the tokens.
    """

    least: Floats
    doubt: Floats
    count: int
    missing: list[tuple[int, int]]
    own: Floats
    other: Floats
    digest: str


def opened(path: Any, arrays: Arrays) -> npt.NDArray[Any]:
    """The tokens (n, T, d) that the file names, left on disk; beside the file where they are not where it says.

    Raises:
        InputError: not there, or not of the shape of its mask.
    """
    named = Path(str(arrays["tokens_path"]))
    for place in (named, Path(path).parent / named.name):
        if place.is_file():
            try:
                X = np.load(place, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError):
                raise InputError(f"{path}: its tokens {place} cannot be read; put back what was solved") from None
            if X.ndim == 3 and X.shape[:2] == arrays["mask"].shape and X.dtype.kind in "fiu":
                return np.asarray(X)
            raise InputError(f"{path}: its tokens {place} have shape {X.shape}; put back what was solved")
    raise InputError(f"{path}: its tokens are in {named}, which is not there; put them there, or beside the file")


def look(arrays: Arrays, X: npt.NDArray[Any], W: Floats, diagonal: bool) -> Pass:
    """One pass over the tokens `X`, for the weights `W` (H, d, d_z)."""
    n, _, d = X.shape
    heads = arrays.get("row_head", np.zeros(n, dtype=np.intp))
    rounding = _gamma(W.shape[2] + d + 3)
    least, doubt, count = np.full(len(W), np.inf), np.zeros(len(W)), 0
    sample, token = arrays["sample"], arrays["token"]
    missing: list[tuple[int, int]] = []
    own, other = np.empty((len(sample), d)), np.empty((len(sample), d))
    seal = hashlib.sha256(f"X{X.shape}".encode())
    for start, block in _blocks(X, arrays["mask"]):
        seal.update((block + 0.0).astype("<f8").tobytes())
        for i, tokens in enumerate(block, start):
            here = np.flatnonzero(sample == i)
            selected = int(arrays["selection"][i])
            bound = _bound(arrays, i, tokens)
            missing += [(i, int(t)) for t in token[here] if not bound[t]]
            own[here], other[here] = tokens[selected], tokens[token[here]]
            count += int(bound.sum())
            if bound.any():
                w, z = W[heads[i]], arrays["z"][i]
                pulled, size = (
                    (w.diagonal() * z, np.abs(w.diagonal() * z)) if diagonal else (w @ z, np.abs(w) @ np.abs(z))
                )
                error = rounding * ((np.abs(tokens) + np.abs(tokens[selected])) @ size) + _TINY
                sure = (tokens[selected] @ pulled - tokens @ pulled) - error
                worst = int(np.where(bound, sure, np.inf).argmin())
                if sure[worst] < least[heads[i]]:
                    least[heads[i]], doubt[heads[i]] = sure[worst], error[worst]
    return Pass(least, doubt, count, missing, own, other, seal.hexdigest())


def _bound(arrays: Arrays, i: int, tokens: Floats) -> npt.NDArray[np.bool_]:
    """(T,) which tokens of sample i the selected one must exceed."""
    scores, selected = arrays["scores"][i], int(arrays["selection"][i])
    against = str(arrays["against"])
    wanted = {"worse": scores < scores[selected], "better": scores > scores[selected]}.get(against)
    keep = np.array(arrays["mask"][i]) if wanted is None else arrays["mask"][i] & wanted
    keep &= ~((scores == scores[selected]) & (tokens == tokens[selected]).all(axis=1))
    keep[selected] = False
    return keep


def _blocks(X: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> Iterator[tuple[int, Floats]]:
    step = max(1, _BLOCK // (X.shape[1] * X.shape[2]))
    for start in range(0, len(X), step):
        there = mask[start : start + step, :, None]
        yield start, np.where(there, X[start : start + step], 0).astype(np.float64)


def bounds_of(arrays: Arrays, seen: Pass, W: Floats, head: Ints, kind: bounds.Kind, diagonal: bool) -> list[Part]:
    """The bounds of every head; `head` (k,) is that of each multiplier."""
    out = []
    for h, weights in enumerate(W):
        inside = np.flatnonzero(head == h)
        exact = Exact.of(weights.diagonal() if diagonal else weights)
        upper, doubt = math.inf, 0.0
        if seen.least[h] == math.inf:
            upper = 0.0
        elif seen.least[h] > 0.0:
            upper = bounds.float_up(bounds.size_up(exact, kind) / Fraction(float(seen.least[h])))
            doubt = float(seen.doubt[h] / seen.least[h])
        lower, loss = _lower(arrays, seen, inside, kind, diagonal)
        shown = None
        if upper == math.inf:
            names = zip(arrays["sample"][inside].tolist(), arrays["token"][inside].tolist(), strict=True)
            pairs = zip(names, seen.own[inside], seen.other[inside], strict=True)
            rows = [Row(i, t, Exact.of(x) - Exact.of(y), head=h) for (i, t), x, y in pairs]
            shown = contradiction(rows, arrays["z"], arrays["dual"][inside], diagonal) if rows else None
        out.append(Part(lower if upper > 0.0 else 0.0, upper, shown, doubt + loss))
    return out


def _lower(arrays: Arrays, seen: Pass, inside: Ints, kind: bounds.Kind, diagonal: bool) -> tuple[float, float]:
    """sum dual / N_d(sum dual A), rounded down, and the share of it that rounding takes."""
    dual = arrays["dual"][inside, None]
    if not dual.any():
        return 0.0, 0.0
    own, other, z = seen.own[inside], seen.other[inside], arrays["z"][arrays["sample"][inside]]
    left, size = dual * (own - other), dual * (np.abs(own) + np.abs(other))
    M = (left * z).sum(axis=0) if diagonal else left.T @ z
    total = (size * np.abs(z)).sum(axis=0) if diagonal else size.T @ np.abs(z)
    slack = Fraction(_gamma(len(dual) + 4)) * bounds.size_up(Exact.of(total), "frobenius") + Fraction(_TINY)
    near = bounds.dual_up(Exact.of(M), kind)
    worst = near + bounds.dual_stretch(M.shape, kind) * slack
    return bounds.float_down(Exact.of(dual).total() / worst), float(2 * (worst - near) / worst)


def checks(arrays: Arrays, seen: Pass) -> list[Check]:
    """Whether the tokens are those that were solved, and the multipliers those of constraints."""
    same = seen.digest == str(arrays["tokens_digest"])
    listed = f"{seen.count}, rebuilt from the tokens on disk" if not seen.missing else f"{seen.missing[:3]} are none"
    return [
        Check("tokens", same, "those that were solved" if same else "other numbers than those that were solved"),
        Check("constraints", not seen.missing, listed),
    ]


def _gamma(k: int) -> float:
    return 2.0 * k * 2.0**-53  # k u / (1 - k u) and the rounding of the bound itself, for k below a million million


_TINY: Final = 2.0**-900
"""More than what underflows."""

_BLOCK: Final = 1_000_000
"""Numbers read at a time."""
