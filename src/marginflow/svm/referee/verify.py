"""Recheck a saved solution with arithmetic of its own: exact integers, and Cholesky proofs of spectral norms.

Nothing here comes from the solvers, `certificate` or `rounding`. Constraints are rebuilt from the saved
tokens, margins and the dual matrix are exact, and a spectral norm is bounded by showing a matrix positive
definite (docs/svm.md, Verifying).
"""

import hashlib
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.norms import AbstractPowers, parse_norm
from marginflow.npz import read_npz, require
from marginflow.svm.referee import bounds, stored
from marginflow.svm.referee.claims import Check, Claims, Part
from marginflow.svm.referee.contradiction import contradiction
from marginflow.svm.referee.cut import LARGEST_SIDE
from marginflow.svm.referee.exact import text_down, text_up
from marginflow.svm.referee.rows import Arrays, check_list, in_order, rebuilt


@dataclass(frozen=True)
class Verification:
    """What the recheck found.

    Attributes:
        path, norm, status: the file and what it claims.
        lower, upper: bounds of the true value, computed anew; they hold whatever the file says.
        gap: (upper - lower) / lower.
        checks: every statement tested.
    """

    path: str
    norm: str
    status: str
    lower: float
    upper: float
    gap: float
    checks: tuple[Check, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """Whether everything the file claims was confirmed."""
        return all(check.holds for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """The fields and `holds` as plain Python values."""
        return {**asdict(self), "holds": self.holds}

    def __str__(self) -> str:
        lines = [f"{'ok  ' if c.holds else 'FAIL'}  {c.name}: {c.finding}" for c in self.checks]
        verdict = "verified" if self.holds else "NOT verified"
        found = "no weights separate" if self.lower == math.inf else ""
        lines.append(
            f"{verdict}: {found or f'{self.norm} value in [{text_down(self.lower, 15)}, {text_up(self.upper, 15)}]'}"
        )
        return "\n".join(lines)


def verify_saved(path: str | os.PathLike[str]) -> Verification:
    """Recheck the solution in `path`, believing only its tokens, queries, scores, faces, weights and multipliers.

    Raises:
        InputError: not a saved solution, or one whose arrays do not fit each other.
    """
    arrays = read_npz(path)
    if "tokens_path" in arrays:
        return _verify_stored(path, arrays)
    require(path, arrays, *_SAVED)
    norm = str(arrays["norm"])
    claims = Claims.of(path, arrays)
    _check_shapes(path, arrays)
    diagonal, kind = _kind(path, norm, arrays["W"].shape)
    rows = rebuilt(arrays)
    checks = [_check_digest(arrays), check_list(arrays, rows), _check_multipliers(arrays)]
    W = arrays["W"] if arrays["W"].ndim == 3 else arrays["W"][None]
    if diagonal:
        off = W * (1.0 - np.eye(*W.shape[1:]))
        checks.append(Check("diagonal", not off.any(), "W has no entry off its diagonal"))
    dual = in_order(arrays, rows)
    parts = []
    for h, weights in enumerate(W):
        inside = [c for c, row in enumerate(rows) if row.head == h]
        part, multipliers = [rows[c] for c in inside], dual[inside]
        if not any(row.level for row in part):
            named = f"W of head {h}" if len(W) > 1 else "W"
            checks.append(Check("no constraint", not weights.any(), f"nothing keeps {named} from 0, which is optimal"))
        M = bounds.dual_matrix(part, arrays["z"], multipliers, diagonal)
        above = bounds.upper(part, arrays["z"], weights, diagonal, kind, M)
        below = bounds.lower(part, multipliers, kind, M) if above > 0.0 else 0.0
        shown = contradiction(part, arrays["z"], multipliers, diagonal) if above == math.inf else None
        parts.append(Part(below, above, shown))
    return _concluded(path, arrays, claims, kind, parts, dual, checks)


def _verify_stored(path: str | os.PathLike[str], arrays: dict[str, Any]) -> Verification:
    """The same of a solution whose tokens stay on disk."""
    require(path, arrays, *(name for name in _SAVED if name != "a"), *_OF_STORED)
    norm, claims = str(arrays["norm"]), Claims.of(path, arrays)
    if int(arrays["format"]) != 4 or "a" in arrays or norm == "cut":
        raise InputError(
            f"{path}: its format and arrays do not fit, or {norm} of tokens on disk, which is not rechecked"
        )
    X = stored.opened(path, arrays)
    _check_stored(path, arrays, X.shape)
    diagonal, kind = _kind(path, norm, arrays["W"].shape)
    W = arrays["W"] if arrays["W"].ndim == 3 else arrays["W"][None]
    seen = stored.look(arrays, X, W, diagonal)
    off = diagonal and bool((W * (1.0 - np.eye(*W.shape[1:]))).any())
    checks = [_check_digest(arrays), *stored.checks(arrays, seen), _check_multipliers(arrays)]
    checks += [Check("diagonal", not off, "W has no entry off its diagonal")] if diagonal else []
    heads = arrays.get("row_head", np.zeros(len(X), dtype=np.intp))[arrays["sample"]]
    parts = stored.bounds_of(arrays, seen, W, heads, kind, diagonal)
    for part, weights in zip(parts, W, strict=True):
        if part.upper == 0.0:
            checks.append(Check("no constraint", not weights.any(), "nothing keeps W from 0, which is optimal"))
    return _concluded(path, arrays, claims, kind, parts, arrays["dual"], checks)


def _concluded(
    path: str | os.PathLike[str],
    arrays: Arrays,
    claims: Claims,
    kind: bounds.Kind,
    parts: Sequence[Part],
    dual: Floats,
    checks: Sequence[Check],
) -> Verification:
    """The `checks` made so far with those of the bounds that the heads have together."""
    lower = bounds.together([part.lower for part in parts], kind, down=True)
    upper = bounds.together([part.upper for part in parts], kind, down=False)
    gap, own = _gap(lower, upper), [(part.lower, _gap(part.lower, part.upper)) for part in parts]
    many = len(parts) > 1
    shown = next((f"head {h}: {p.shown}" if many else p.shown for h, p in enumerate(parts) if p.shown), None)
    slack = bounds.resolution(arrays["W"].shape[-2:], kind) + max(part.loss for part in parts)
    found = (*checks, *claims.checks(lower, upper, gap, slack, shown, dual, own))
    if shown is not None:
        lower = math.inf  # nothing separates: every number is a lower bound
    return Verification(str(path), str(arrays["norm"]), claims.status, lower, upper, gap, found)


def _check_stored(path: Any, arrays: Arrays, shape: tuple[int, ...]) -> None:
    """Whether the arrays of a solution whose tokens, of this `shape`, stay on disk fit each other and them."""
    n, T, d = shape
    z, W, scores, mask, selection = (arrays[name] for name in ("z", "W", "scores", "mask", "selection"))
    sample, token, dual = (arrays[name] for name in ("sample", "token", "dual"))
    head = arrays.get("row_head", np.zeros(n, dtype=np.intp))
    fits = z.ndim == 2 and len(z) == n and W.ndim in (2, 3) and W.shape[-2:] == (d, z.shape[1])
    fits = (
        fits and scores.shape == mask.shape == (n, T) and mask.dtype == bool and selection.shape == head.shape == (n,)
    )
    fits = fits and all(x.dtype == np.float64 and np.isfinite(x).all() for x in (z, W, scores, dual))
    fits = fits and all(x.dtype.kind == "i" for x in (sample, token, selection, head))
    fits = fits and dual.ndim == 1 and dual.shape == sample.shape == token.shape
    fits = fits and bool(((0 <= sample) & (sample < n) & (0 <= token) & (token < T)).all())
    fits = fits and bool(((0 <= selection) & (selection < T)).all() and mask[np.arange(n), selection].all())
    fits = fits and bool(((0 <= head) & (head < (len(W) if W.ndim == 3 else 1))).all())
    if not fits or len(np.unique(sample * T + token)) != len(dual):
        raise InputError(f"{path}: its arrays do not fit each other or its tokens; save the solution again")
    if str(arrays["against"]) not in ("all", "worse", "better"):
        raise InputError(f"{path}: got against {str(arrays['against'])!r}; expected all, worse or better")


def digest(arrays: Mapping[str, Any]) -> str:
    """SHA-256 of every array but the digest itself, by name, type, shape and bytes."""
    seal = hashlib.sha256()
    for name in sorted(arrays):
        if name != "digest":
            array = np.ascontiguousarray(arrays[name])
            seal.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
            seal.update(array.tobytes())
    return seal.hexdigest()


def _check_digest(arrays: Arrays) -> Check:
    same = digest(arrays) == str(arrays["digest"])
    return Check("unchanged", same, "the file is as written" if same else "arrays were changed after saving")


def _check_multipliers(arrays: Arrays) -> Check:
    bound = ~arrays["equal"] if "equal" in arrays else slice(None)
    least = float(arrays["dual"][bound].min(initial=0.0))
    return Check("multipliers", least >= 0.0, "none is negative" if least >= 0.0 else f"one is {least:.3g}")


def _gap(lower: float, upper: float) -> float:
    if lower == upper:
        return 0.0
    return (upper - lower) / lower if lower > 0.0 and math.isfinite(upper) else math.inf


def _check_shapes(path: Any, arrays: Arrays) -> None:
    a, z, W, dual = (arrays[name] for name in ("a", "z", "W", "dual"))
    sample, token = arrays["sample"], arrays["token"]
    fits = (
        a.ndim == z.ndim == 2
        and W.shape == (*_heads(path, arrays), a.shape[1], z.shape[1])
        and dual.shape == sample.shape == token.shape == (len(a),)
        and all(x.dtype == np.float64 for x in (a, z, W, dual))
        and sample.dtype.kind == token.dtype.kind == "i"
    )
    if not fits or not all(np.isfinite(x).all() for x in (a, z, W, dual)):
        raise InputError(f"{path}: its arrays do not fit each other or are not finite; save the solution again")
    if "X" in arrays:
        require(path, arrays, "scores", "mask", "selection", "against")
        X, scores, mask, selection = (arrays[name] for name in ("X", "scores", "mask", "selection"))
        n = len(z)
        fits = X.ndim == 3 and X.shape[0] == n and X.shape[2] == a.shape[1] and mask.dtype == bool
        fits = fits and scores.shape == mask.shape == X.shape[:2] and selection.shape == (n,)
        fits = fits and X.dtype == scores.dtype == np.float64 and selection.dtype.kind == "i"
        if not fits or not ((0 <= selection) & (selection < X.shape[1])).all():
            raise InputError(f"{path}: its tokens, scores and selection do not fit each other")
        if not (mask[np.arange(n), selection].all() and np.isfinite(X[mask]).all() and np.isfinite(scores[mask]).all()):
            raise InputError(f"{path}: a selected token is masked out, or a token or score is not finite")
        _check_faces(path, arrays)
        if str(arrays["against"]) not in ("all", "worse", "better"):
            raise InputError(f"{path}: got against {str(arrays['against'])!r}; expected all, worse or better")
    elif len(sample) and not (0 <= sample.min() and sample.max() < len(z)):
        raise InputError(f"{path}: a constraint names a sample that is not there")


def _check_faces(path: Any, arrays: Arrays) -> None:
    """Whether the heads and the faces of the samples, where the file has them, are arrays of one of each."""
    mask, selection = arrays["mask"], arrays["selection"]
    head, members = arrays.get("row_head"), arrays.get("members")
    if head is not None and (head.shape != selection.shape or head.dtype.kind != "i"):
        raise InputError(f"{path}: row_head is not one whole number per sample; save the solution again")
    if members is not None:
        fits = members.shape == mask.shape and members.dtype == bool
        if not fits or not members[np.arange(len(mask)), selection].all():
            raise InputError(f"{path}: its members do not fit its tokens, or lack a selected one; save it again")


def _heads(path: Any, arrays: Arrays) -> tuple[int, ...]:
    """(H,) for several heads, () for one, after the kinds of the rows were seen to be such."""
    kinds = [name in arrays for name in ("level", "equal", "head", "heads")]
    if int(arrays["format"]) != 3 and not any(kinds):
        return ()
    if int(arrays["format"]) != 3 or not all(kinds):
        raise InputError(f"{path}: its format and the kinds of its rows do not fit; save the solution again")
    level, equal, head, heads = (arrays[name] for name in ("level", "equal", "head", "heads"))
    count = (len(arrays["a"]),)
    fits = level.shape == equal.shape == head.shape == count and heads.shape == () and heads.dtype.kind == "i"
    fits = fits and equal.dtype == bool and head.dtype.kind == "i" and bool(np.isin(level, (0.0, 1.0)).all())
    if not fits or level[equal].any() or not ((0 <= head) & (head < heads)).all() or heads < 1:
        raise InputError(f"{path}: the kinds or heads of its rows are none; save the solution again")
    return (int(heads),) if heads > 1 else ()


def _kind(path: Any, norm: str, shape: tuple[int, ...]) -> tuple[bool, str | Fraction | float]:
    """Whether the norm is one of diagonals, and which: a name, or its exponent exactly for those of single weights.

    Raises:
        InputError: a norm that is not bounded here, or not of W (d, d_z) or (H, d, d_z) of this `shape`.
    """
    parsed = parse_norm(norm)
    if isinstance(parsed, AbstractPowers):
        return parsed.diagonal, math.inf if math.isinf(parsed.p) else Fraction(parsed.p)
    if parsed.name not in _BOUNDED:
        raise InputError(
            f"{path}: got a solution under {norm}; expected {', '.join(_BOUNDED)} or one of single weights"
        )
    if parsed.name == "cut" and (len(shape) > 2 or min(shape) > LARGEST_SIDE):
        raise InputError(
            f"{path}: got W of shape {shape} under cut; expected one head, {LARGEST_SIDE} on a side at most"
        )
    return parsed.diagonal, parsed.name


_BOUNDED: Final = ("nuclear", "operator", "frobenius", "cut")

_SAVED: Final = (
    "format norm W dual sample token a z value lower upper gap status reason tol stages steps digest".split()
)

_OF_STORED: Final = "tokens_path tokens_digest scores mask selection against".split()
