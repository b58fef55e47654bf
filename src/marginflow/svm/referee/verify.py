"""Recheck a saved solution with arithmetic of its own: exact integers, and Cholesky proofs of spectral norms.

Nothing here comes from the solvers, `certificate` or `rounding`. Constraints are rebuilt from the saved
tokens, margins and the dual matrix are exact, and a spectral norm is bounded by showing a matrix positive
definite (docs/svm.md, Verifying).
"""

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.norms import AbstractPowers, parse_norm
from marginflow.npz import read_npz, require
from marginflow.svm.referee.claims import Check, Claims
from marginflow.svm.referee.contradiction import contradiction
from marginflow.svm.referee.cut import cut_dual_up, cut_up
from marginflow.svm.referee.exact import Exact, norm_up, root_up


Arrays = Mapping[str, npt.NDArray[Any]]


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
        lines.append(f"{verdict}: {found or f'{self.norm} value in [{self.lower:.15g}, {self.upper:.15g}]'}")
        return "\n".join(lines)


def verify_saved(path: str | os.PathLike[str]) -> Verification:
    """Recheck the solution in `path`, believing only its tokens, queries, scores, weights and multipliers.

    Raises:
        InputError: not a saved solution, or one whose arrays do not fit each other.
    """
    arrays = read_npz(path)
    require(path, arrays, *_SAVED)
    norm = str(arrays["norm"])
    claims = Claims.of(path, arrays)
    _check_shapes(path, arrays)
    diagonal, kind = _kind(norm)
    constraints = _rebuilt(arrays)
    checks = [_check_digest(arrays), _check_list(arrays, constraints), _check_multipliers(arrays)]
    W = arrays["W"]
    if diagonal:
        off = W - np.diag(W.diagonal())
        checks.append(Check("diagonal", not off.any(), "W has no entry off its diagonal"))
    dual = _in_order(arrays, constraints)
    shown = None
    if len(constraints) == 0:
        lower = upper = 0.0
        checks.append(Check("no constraint", not W.any(), "nothing constrains W, so W = 0 is optimal"))
    else:
        M = _dual_matrix(arrays, constraints, dual, diagonal)
        upper = _upper(arrays, constraints, W, diagonal, kind, M)
        lower = _lower(dual, M, kind)
        if upper == math.inf:
            shown = contradiction(constraints, arrays["z"], dual, diagonal)
    gap = _gap(lower, upper)
    slack = _resolution(W.shape, kind)
    checks += claims.checks(lower, upper, gap, slack, shown, dual)
    if shown is not None:
        lower = math.inf  # nothing separates: every number is a lower bound
    return Verification(str(path), norm, claims.status, lower, upper, gap, tuple(checks))


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
    least = float(arrays["dual"].min(initial=0.0))
    return Check("multipliers", least >= 0.0, "none is negative" if least >= 0.0 else f"one is {least:.3g}")


def _gap(lower: float, upper: float) -> float:
    if lower == upper:
        return 0.0
    return (upper - lower) / lower if lower > 0.0 and math.isfinite(upper) else math.inf


def _check_shapes(path: Any, arrays: Arrays) -> None:
    a, z, W, dual = (arrays[name] for name in ("a", "z", "W", "dual"))
    sample, token = arrays["sample"], arrays["token"]
    fits = (
        a.ndim == z.ndim == W.ndim == 2
        and W.shape == (a.shape[1], z.shape[1])
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
        if str(arrays["against"]) not in ("all", "worse", "better"):
            raise InputError(f"{path}: got against {str(arrays['against'])!r}; expected all, worse or better")
    elif len(sample) and not (0 <= sample.min() and sample.max() < len(z)):
        raise InputError(f"{path}: a constraint names a sample that is not there")


def _kind(norm: str) -> tuple[bool, str | Fraction | float]:
    """Whether the norm is one of diagonals, and which: a name, or its exponent exactly for those of single weights."""
    parsed = parse_norm(norm)
    if isinstance(parsed, AbstractPowers):
        return parsed.diagonal, math.inf if math.isinf(parsed.p) else Fraction(parsed.p)
    return parsed.diagonal, parsed.name


def _rebuilt(arrays: Arrays) -> list[tuple[int, int, Exact]]:
    """(sample, token, exact x_selected - x_l) of every constraint the problem has, from its tokens if saved.

    Every other token constrains (or only worse, or only better ones), except one that equals the selected
    token in features and score (theory 3.7).
    """
    if "X" not in arrays:
        a = arrays["a"]
        return [(int(i), int(t), Exact.of(row)) for i, t, row in zip(arrays["sample"], arrays["token"], a, strict=True)]
    out = []
    against = str(arrays["against"])
    for i, own in enumerate(arrays["selection"].tolist()):
        tokens, scores = arrays["X"][i], arrays["scores"][i]
        for t in np.flatnonzero(arrays["mask"][i]).tolist():
            if t == own:
                continue
            worse, better = scores[t] < scores[own], scores[t] > scores[own]
            if (against == "worse" and not worse) or (against == "better" and not better):
                continue
            if not worse and not better and np.array_equal(tokens[t], tokens[own]):
                continue
            out.append((i, t, Exact.of(tokens[own]) - Exact.of(tokens[t])))
    return out


def _check_list(arrays: Arrays, constraints: list[tuple[int, int, Exact]]) -> Check:
    saved = list(zip(arrays["sample"].tolist(), arrays["token"].tolist(), strict=True))
    wanted = [(i, t) for i, t, _ in constraints]
    if saved != wanted:
        missing = sorted(set(wanted) - set(saved))[:3]
        extra = sorted(set(saved) - set(wanted))[:3]
        return Check("constraints", False, f"missing (sample, token) {missing}, not in the problem {extra}")
    if "X" not in arrays:
        return Check("constraints", True, f"{len(wanted)}, as saved, without tokens to rebuild them from")
    X, own = arrays["X"], arrays["selection"]
    for row, (i, t) in zip(arrays["a"], wanted, strict=True):
        if not np.array_equal(row, X[i, own[i]] - X[i, t]):
            return Check("constraints", False, f"a of sample {i}, token {t} is not the difference of its tokens")
    return Check("constraints", True, f"{len(wanted)}, rebuilt from the tokens")


def _in_order(arrays: Arrays, constraints: list[tuple[int, int, Exact]]) -> Floats:
    """(C,) the saved multipliers of the rebuilt constraints; none where the lists differ."""
    names = list(zip(arrays["sample"].tolist(), arrays["token"].tolist(), strict=True))
    dual = np.maximum(arrays["dual"], 0.0)
    if names == [(i, t) for i, t, _ in constraints]:
        return dual
    saved = dict(zip(names, dual, strict=True))
    return np.array([saved.get((i, t), 0.0) for i, t, _ in constraints])


def _upper(
    arrays: Arrays,
    constraints: list[tuple[int, int, Exact]],
    W: Floats,
    diagonal: bool,
    kind: str | Fraction | float,
    M: Exact | None,
) -> float:
    """N(W) over the least margin, the margin exact, rounded up; inf when W does not separate."""
    z = arrays["z"]
    exact = Exact.of(W.diagonal() if diagonal else W)
    least: Fraction | None = None
    pulled: dict[int, Exact] = {}
    for i, _, a in constraints:
        if i not in pulled:
            query = Exact.of(z[i])
            pulled[i] = query * exact if diagonal else exact @ query
        weights = pulled[i]
        margin = a.whole @ weights.whole
        value = Fraction(int(margin)) * Fraction(2) ** (a.power + weights.power)
        least = value if least is None else min(least, value)
    if least is None or least <= 0:
        return math.inf
    size = cut_dual_up(exact, M) if kind == "cut" else _norm_up(exact, kind)
    return _float_up(size / least)


def _lower(dual: Floats, M: Exact | None, kind: str | Fraction | float) -> float:
    """sum(dual) / N_d(exact dual matrix), rounded down; inf where that matrix is exactly zero (Farkas)."""
    if not dual.any():
        return 0.0
    if M is None:
        return math.inf
    size = cut_up(M) if kind == "cut" else _norm_up(M, _dual_kind(kind))
    return _float_down(Exact.of(dual).total() / size)


def _dual_matrix(
    arrays: Arrays, constraints: list[tuple[int, int, Exact]], dual: Floats, diagonal: bool
) -> Exact | None:
    """The sum of all constraints times their multipliers, exactly; None where it is exactly zero."""
    if not dual.any():
        return None
    multipliers = Exact.of(dual)
    z = arrays["z"]
    d = arrays["a"].shape[1]
    # Every difference on one scale, so that the sums over a sample are integer sums.
    power = min(a.power for _, _, a in constraints)
    sums: dict[int, npt.NDArray[np.object_]] = {}
    for (i, _, a), weight in zip(constraints, multipliers.whole.tolist(), strict=True):
        if weight:
            term = (a.whole << (a.power - power)) * weight
            sums[i] = sums[i] + term if i in sums else term
    samples = sorted(sums)
    stacked = Exact(np.array([sums[i] for i in samples], dtype=object).reshape(len(samples), d), power)
    queries = Exact.of(z[samples])
    if diagonal:
        product = (stacked * queries).whole.sum(axis=0)
        M = Exact(np.asarray(product, dtype=object), stacked.power + queries.power + multipliers.power)
    else:
        product_ = stacked.T @ queries
        M = Exact(product_.whole, product_.power + multipliers.power)
    return None if M.is_zero() else M


def _dual_kind(kind: str | Fraction | float) -> str | Fraction | float:
    if isinstance(kind, str):
        return {"nuclear": "operator", "operator": "nuclear", "frobenius": "frobenius"}[kind]
    if kind == 1:
        return math.inf
    return Fraction(1) if not isinstance(kind, Fraction) else kind / (kind - 1)


def _norm_up(M: Exact, kind: str | Fraction | float) -> Fraction:
    """A rational number that the norm of `M` does not exceed."""
    if kind == "frobenius" or kind == 2:
        return root_up((M * M).total())
    if isinstance(kind, str):
        return _spectral_up(M, kind)
    if not isinstance(kind, Fraction):
        return M.largest()
    return M.absolute().total() if kind == 1 else norm_up(M.absolute(), kind)


def _spectral_up(M: Exact, kind: str) -> Fraction:
    """An upper bound of the operator or nuclear norm by a positive definite matrix (docs/svm.md, Verifying).

    |M| <= t if [[t, M], [M', t]] >= 0, and |M|_* <= (tr P + tr Q) / 2 if [[P, M], [M', Q]] >= 0. When
    Cholesky's method runs through on a symmetric A of order N in float64, A + c I >= 0 with
    c = g tr(A) / (1 - g), g = (N + 1) u / (1 - (N + 1) u) (Higham, Accuracy and Stability, theorem 10.3;
    Rump, BIT 46, 2006).
    """
    near, power, entry = M.nearest()
    d, d_z = near.shape
    N = d + d_z
    left, s, right = np.linalg.svd(near, full_matrices=False)
    A = np.zeros((N, N))
    A[d:, :d] = near.T
    if kind == "nuclear":
        A[:d, :d], A[d:, d:] = (left * s) @ left.T, (right.T * s) @ right
    else:
        A[np.diag_indices(N)] = s[0]
    for tries in range(40):
        trial = A.copy()
        trial[np.diag_indices(N)] += float(s[0]) * N * 2.0**-53 * 2.0**tries
        try:
            np.linalg.cholesky(trial)
            break
        except np.linalg.LinAlgError:
            continue
    else:
        raise ArithmeticError("no positive definite matrix bounds the norm")
    g = Fraction(N + 1, 2**53 - (N + 1))
    trace = sum((Fraction(float(x)) for x in trial.diagonal()), Fraction(0))
    shift = g * trace / (1 - g) + Fraction(N, 2**1000)
    if kind == "nuclear":
        bound = (trace + N * shift) / 2
        # |E|_* <= min(d, d_z) |E|_F and |E|_F <= sqrt(d d_z) max |E_ij|
        bound += min(d, d_z) * N * entry
    else:
        bound = Fraction(float(trial.diagonal().max())) + shift + N * entry
    return Fraction(bound * Fraction(2) ** power)


def _resolution(shape: tuple[int, ...], kind: str | Fraction | float) -> float:
    """The relative width of this file's own bounds: what the claims may differ from them."""
    N = sum(shape)
    return 1e-13 + (8 * N * N * 2.0**-53 if kind in ("nuclear", "operator") else 0.0)


def _float_up(x: Fraction) -> float:
    value = float(x)
    return value if Fraction(value) >= x else math.nextafter(value, math.inf)


def _float_down(x: Fraction) -> float:
    value = float(x)
    return value if Fraction(value) <= x else math.nextafter(value, 0.0)


_SAVED: Final = (
    "format norm W dual sample token a z value lower upper gap status reason tol stages steps digest".split()
)
