"""Frobenius and l2: the least Euclidean norm under linear constraints (theory 3.4, docs/svm.md).

The dual is max h'y - |R'y|^2 / 2 over y >= 0: once the support of y is known the rest is one linear system.
Accelerated projected gradients guess the support, block principal pivoting corrects the guess, and one more
solve with the residual supplies the last digits. Where the Gram matrix of the support is singular to working
precision the dual active-set method takes over.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from marginflow.arrays import Bools, Floats
from marginflow.svm.candidate import Candidate
from marginflow.svm.euclidean.goldfarb_idnani import least_norm
from marginflow.svm.euclidean.growing_dual import growing_dual
from marginflow.svm.euclidean.span_of_queries import in_span_of_queries
from marginflow.svm.program import Svm
from marginflow.svm.scaling.conjugate_gradients import Product, conjugate_gradients
from marginflow.svm.scaling.independent import independent, spread
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace
from marginflow.svm.scaling.query_blocks import inverse_by_query
from marginflow.svm.scaling.unit_rows import Rows
from marginflow.svm.spectral.first_order import FOCUS_SIZE


def solve_euclidean(
    svm: Svm,
    tol: float,
    *,
    progress: Callable[[int, float], None] | None = None,
    start: Candidate | None = None,
    xp: AbstractNamespace = NUMPY,
) -> Candidate:
    """Minimise |W|_F, or |beta|_2 for W = diag(beta); none of the rows is zero.

    Products with constraints that are not written out are made in `xp`.
    """
    if svm.constraints.equal.any():
        kept = independent(svm)
        if not kept.all():
            near = None if start is None else Candidate(start.W, start.dual[kept])
            found = solve_euclidean(svm.restrict(kept), tol, progress=progress, start=near, xp=xp)
            return spread(found, kept)
    inside = in_span_of_queries(svm)
    if inside is not None:
        reduced, Q = inside
        near = None if start is None else Candidate(start.W @ Q, start.dual)
        found = solve_euclidean(reduced, tol, progress=progress, start=near, xp=xp)
        return replace(found, W=found.W @ Q.T)
    rows = svm.rows.on(xp)
    search = _Search(rows, np.zeros(rows.dimension), np.zeros(len(rows)))
    scale = rows.scale
    if start is None or not _continue(search, scale.reduce_dual(start.dual), tol):
        _run(search, tol, progress)
    ray = None if search.ray is None else scale.restore_dual(search.ray)
    W = scale.restore(search.w).reshape(svm.shape)
    return Candidate(W, scale.restore_dual(search.y), ray, search.steps)


@dataclass(eq=False)
class _Search:
    """The best pair so far, and how it was come by."""

    rows: Rows
    w: Floats
    y: Floats
    gap: float = np.inf
    ray: Floats | None = None
    steps: dict[str, int] = field(default_factory=lambda: {"gradient": 0, "pivots": 0})

    def offer(self, w: Floats, y: Floats) -> float:
        """Keep (w, y) if its gap is the smallest so far; return its gap."""
        gap = _gap(self.rows, w, y)
        if gap < self.gap or not np.isfinite(self.gap):
            self.w, self.y, self.gap = w, y, min(gap, self.gap)
        return gap


def _continue(search: _Search, y: Floats, tol: float) -> bool:
    """Pivots from the support of earlier multipliers; whether they end where they should."""
    w = search.rows.adjoint(y)
    square = float(w @ w)
    if not 0.0 < square < np.inf:
        return False
    # At the length at which the dual is largest along y.
    return _pivot(search, y * (float(search.rows.h @ y) / square), tol)


def _run(search: _Search, tol: float, progress: Callable[[int, float], None] | None) -> None:
    rows = search.rows
    y = np.zeros(len(rows))
    for burst in _BURSTS if len(rows) <= _MANY else _BURSTS[1:]:
        y = _gradient(rows, y, burst, search, tol)
        if progress is not None:
            progress(search.steps["gradient"], search.gap)
        if search.gap <= 1e-14 or _pivot(search, y, tol):
            return
        if search.gap <= tol / 4:
            return
        if burst == _BURSTS[1] and search.gap == np.inf and len(rows) * rows.dimension > _ONE_BY_ONE:
            search.ray = None if rows.structured is None else growing_dual(rows.structured)
            if search.ray is not None:
                return
        ridge = _ridge(rows, y, tol)
        if ridge and _pivot(search, y, tol, ridge):
            return
        written = rows.written_out() if len(rows) * rows.dimension <= _ONE_BY_ONE else None
        if written is not None:
            exact = least_norm(written, rows.h, equal=rows.equal)
            search.steps["active_set"] = exact.steps
            search.ray = exact.ray
            search.offer(exact.w, exact.dual)
            if exact.ray is not None or search.gap <= tol / 4:
                return


def _gradient(rows: Rows, y: Floats, steps: int, search: _Search, tol: float) -> Floats:
    """Nesterov's projected gradients on the dual, restarted when the step turns against the momentum."""
    product = _product(rows, single=steps <= _GUESS)
    L, floor = _largest(product, len(rows)), 0.0 if rows.plain else rows.floor
    point, ahead, t = y, y, 1.0
    for step in range(steps):
        if tol >= _TIGHT and step and step % _LOOK == 0 and search.offer(rows.adjoint(point), point) <= tol / 4:
            return point
        new = np.maximum(ahead + (rows.h - product(ahead)) / L, floor)
        if (ahead - new) @ (new - point) > 0.0:
            t = 1.0
        following = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
        ahead = new + ((t - 1.0) / following) * (new - point)
        search.steps["gradient"] += 1
        if np.abs(new - point).max() <= 1e-15 * new.max(initial=0.0):
            point = new
            break
        point, t = new, following
    search.offer(rows.adjoint(point), point)
    return point


def _product(rows: Rows, *, single: bool) -> Product:
    """R R' v of v (C,); `single`: in single precision where most of the time is the reading of the rows."""
    if len(rows) <= _GRAM:
        gram = rows.gram()
        return lambda v: np.asarray(gram @ v)
    if not single or rows.structured is None or rows.structured.entries <= FOCUS_SIZE:
        return lambda v: rows.margins(rows.adjoint(v))
    A = (rows.structured.copy or rows.structured).single()
    return lambda v: A.xp.get(A.margins(A.adjoint(A.xp.put(v, A.xp.single))))


def _largest(product: Callable[[Floats], Floats], count: int) -> float:
    """An estimate, a few per cent above, of the largest eigenvalue of R R'."""
    v = np.random.default_rng(0).random(count) + 0.5
    size = 1.0
    for _ in range(12):
        v /= np.sqrt(v @ v)
        v = product(v)
        size = float(np.sqrt(v @ v))
    return 1.05 * size


def _ridge(rows: Rows, y: Floats, tol: float) -> float:
    """What is added to the Gram matrix's diagonal so that margins fall short of h by tol / 16 of it at most, or 6e-6.

    Where the active rows are dependent (one query asked in several samples) there is no solve without it, and
    gradients alone need thousands of steps before the smallest right-hand side is met: 2,525 for a tolerance of
    1e-2 on 4,866 constraints whose right-hand sides are spread over 1e4. 0 where rounding would drown it, and for
    tight tolerances, which need the exact solves.
    """
    ridge = min(tol, _LOOSE) / 16.0 / max(float((y / rows.unit).max(initial=0.0)), 1e-300)
    return ridge if tol >= _TIGHT and ridge > _FELT else 0.0


def _pivot(search: _Search, y: Floats, tol: float, ridge: float = 0.0) -> bool:
    """Block principal pivoting from the support of `y`; True when no sign is wrong any more.

    All wrong indices change sides at once while their number falls, else only the last one (Judice and Pires,
    Computers and Operations Research 21, 1994). With a `ridge` margins on the support are h - ridge y.
    """
    rows = search.rows
    slack = rows.margins(rows.adjoint(y)) - rows.h
    inside = (y - slack > 0.0) | rows.equal
    fewest, patience = len(rows) + 1, 3
    # Signs are decided on rough solutions where a fine one costs hundreds of matrix-free products.
    rough = int(inside.sum()) > _DIRECT and not ridge
    for _ in range(_PIVOTS):
        found = _on_support(rows, inside, y, rough, search, ridge)
        search.steps["pivots"] += 1
        if found is None and rough and int(inside.sum()) <= _CHOLESKY:
            # What products do not reach in the time of a factor, the factor does.
            rough = False
            continue
        if found is None:
            return False
        w, y = found
        slack = rows.margins(w) + ridge * y - rows.h
        noise = _ROUGH if rough else 1e-13
        wrong = np.where(inside, y < -noise * y.max() * rough, slack < -noise * (rows.h + np.abs(slack).max()))
        wrong &= ~rows.equal
        if search.offer(w, np.maximum(y, 0.0 if rows.plain else rows.floor)) <= tol / 4 and ridge:
            return True
        count = int(wrong.sum())
        if count == 0 and not rough:
            return search.gap <= tol / 4
        rough = rough and count > 0
        if count < fewest:
            fewest, patience = count, 3
        else:
            patience -= 1
        if patience >= 0:
            inside = inside ^ wrong
        elif ridge:
            return False
        else:
            inside = inside.copy()
            inside[np.flatnonzero(wrong)[-1:]] ^= True
    return False


def _on_support(
    rows: Rows, inside: Bools, start: Floats, rough: bool, search: _Search, ridge: float
) -> tuple[Floats, Floats] | None:
    """The least w with equality on the rows `inside`, and its multipliers.

    None where they are dependent, or where conjugate gradients end before they are `rough` enough for signs.
    """
    keep = np.flatnonzero(inside)
    y = np.zeros(len(rows))
    if len(keep) == 0:
        return np.zeros(rows.dimension), y
    if len(keep) > rows.dimension and not ridge:
        return None
    support = rows.restrict(keep)
    added = ridge * ~support.equal
    if ridge and len(keep) > _CHOLESKY:
        return None
    if len(keep) <= _CHOLESKY and not rough:
        multipliers = np.zeros(len(keep))
        gram = support.gram()
        gram[np.diag_indices(len(keep))] += added
        try:
            factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None

        def inverse(b: Floats) -> Floats:
            return np.asarray(cho_solve(factor, b, check_finite=False))
    else:
        multipliers = start[keep]
        target = _ROUGH * float(np.linalg.norm(support.h))
        blocks = None if support.structured is None else inverse_by_query(support.structured)
        most = _PRODUCTS if len(keep) <= _CHOLESKY else 20 * _PRODUCTS

        def inverse(b: Floats) -> Floats:
            goal = target if rough else 1e-6 * float(np.linalg.norm(b))
            x, steps = conjugate_gradients(
                lambda p: support.margins(support.adjoint(p)), b, goal, precondition=blocks, most=most
            )
            search.steps["conjugate"] = search.steps.get("conjugate", 0) + steps
            return x

    w = support.adjoint(multipliers)
    for _ in range(1 if rough else 3):
        # Additive correction: w keeps the digits that the multipliers lose to the conditioning.
        step = inverse(support.h - support.margins(w) - added * multipliers)
        multipliers = multipliers + step
        w = w + support.adjoint(step)
    residual = float(np.abs(support.h - support.margins(w) - added * multipliers).max())
    if not residual <= (1e-4 if rough else 1e-9) * float(support.h.max()):
        return None
    y[keep] = multipliers
    return w, y


def _gap(rows: Rows, w: Floats, y: Floats) -> float:
    """The relative duality gap, rounding of the margins forgiven (`lift_margins`); inf when w does not separate."""
    length = float(np.sqrt(w @ w))
    worst = rows.reached(rows.margins(w) + 4e-16 * length, length)
    size = float(np.linalg.norm(rows.adjoint(y)))
    if worst <= 0.0 or size == 0.0:
        return np.inf
    lower = float(rows.h @ y) / size
    return abs(float(np.linalg.norm(w)) / worst / lower - 1.0)


_BURSTS: Final = (25, 100, 400, 2000, 10000)
"""Gradient steps before each attempt at pivoting."""

_GUESS: Final = 100
"""Gradient steps of a burst that only guesses a support, in single precision; longer ones are after digits."""

_LOOK: Final = 100
"""Gradient steps between looks at the gap: a loose tolerance may be met in the middle of a burst."""

_MANY: Final = 5000
"""Beyond so many constraints a pivot costs more than the gradient steps that save one."""

_GRAM: Final = 400
"""Up to so many rows the Gram matrix is cheaper than the structured products."""

_PIVOTS: Final = 40

_CHOLESKY: Final = 3000
"""Largest support whose Gram matrix is factored; beyond it conjugate gradients are faster."""

_DIRECT: Final = 1000
"""Largest support whose signs are read off fine solutions at once: ten products cost as much as such a factor."""

_PRODUCTS: Final = 100
"""Steps of conjugate gradients that cost as much as a factor of the largest support that is factored."""

_LOOSE: Final = 1e-4
"""Pivots turn in circles under ridges of looser tolerances: 45 of them at 1e-2 where 16 end at 1e-4."""

_TIGHT: Final = 1e-6
"""Tolerances below this are not met by shortcuts: gaps in plain floating point are no better on ugly data."""

_FELT: Final = 1e-13
"""A smaller ridge is lost beside the squares of unit rows."""

_ROUGH: Final = 1e-6
"""Relative residual at which the signs of a large support are read off."""

_ONE_BY_ONE: Final = 1_000_000
"""Most entries of a problem handed to the one-at-a-time method."""
