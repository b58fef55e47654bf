"""Whether any weights separate the selected tokens at all, decided by a proof either way."""

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from marginflow import rounding
from marginflow.arrays import Bools, Floats, frozen
from marginflow.norms import Frobenius, Lp
from marginflow.problem.constraints import Constraints
from marginflow.svm.euclidean.solve_euclidean import solve_euclidean
from marginflow.svm.program import Svm
from marginflow.svm.proof import rational, simplex
from marginflow.svm.proof.certificate import certify
from marginflow.svm.proof.equalities import tied
from marginflow.svm.proof.farkas import prove
from marginflow.svm.scaling.unit_rows import unit_columns, zero_rows


@dataclass(frozen=True, eq=False)
class Separability:
    """The verdict and what proves it.

    Attributes:
        separable: True, False, or None when neither could be proved.
        proof: a sentence for the reader.
        W: (d, d_z), or (d,) for diagonal weights, with every margin of level 1 positive; None unless separable, and
            where only rational weights are known to.
        farkas: (C,) multipliers >= 0 (of any sign on equalities) whose combination of the constraints vanishes; None
            unless not.
    """

    separable: bool | None
    proof: str
    W: Floats | None = field(default=None)
    farkas: Floats | None = field(default=None)


def separability(constraints: Constraints, diagonal: bool = False) -> Separability:
    """Decide whether some W (or W = diag(beta)) gives every constraint a positive margin.

    Args:
        constraints: C constraints.
        diagonal: ask for W = diag(beta).

    Raises:
        UndefinedError: diagonal, with tokens and queries of different dimension.
    """
    return separability_of(Svm(constraints, Lp(2.0) if diagonal else Frobenius()))


def separability_of(svm: Svm) -> Separability:
    """Decide whether some weights of `svm` have positive margins: one answer for all norms of such weights.

    A float64 solver and two linear programs look for either proof. What they leave open the simplex method in
    rational numbers decides, for as many constraints as it can take.
    """
    svm = svm.euclidean()
    if not svm.leads.any():
        return Separability(True, "nothing constrains the weights", frozen(np.zeros(svm.shape)))
    if svm.zero_row is not None:
        return _proved(svm, np.arange(len(svm)) == svm.zero_row) or _UNDECIDED
    seen = ~zero_rows(svm.constraints, svm.diagonal)
    if not seen.all():
        return _spread(separability_of(svm.restrict(seen)), seen)
    for sure in tied(svm) if svm.constraints.equal.any() else ():
        found = _proved(svm, sure)
        if found is not None:
            return found
    candidate = solve_euclidean(svm, 1e-3)
    found = _positive(svm, candidate.W)
    if found is not None:
        return found
    for ray in (candidate.ray, _vertex(svm), candidate.dual):
        found = None if ray is None else _proved(svm, ray)
        if found is not None:
            return found
    W = _widest(svm)
    found = None if W is None else _positive(svm, W)
    return found or _exactly(svm, candidate.dual) or _UNDECIDED


def _proved(svm: Svm, ray: Floats | Bools) -> Separability | None:
    proof = prove(svm, np.asarray(ray, dtype=np.float64))
    return None if proof is None else Separability(False, proof.sentence, farkas=frozen(proof.multipliers))


def _exactly(svm: Svm, dual: Floats) -> Separability | None:
    """The answer of the simplex method in rational numbers."""
    rows = svm.rows.scale.reduce_dual(np.abs(dual))
    found = simplex.decide(svm, rows)
    if found is None:
        return None
    if found.multipliers is not None:
        return _proved(svm, np.array([float(value) for value in found.multipliers]))
    assert found.weights is not None
    W = np.array([float(value) for value in found.weights]).reshape(svm.shape)
    return _positive(svm, W) or Separability(True, "weights in rational numbers give every constraint a margin above 0")


def _positive(svm: Svm, W: Floats) -> Separability | None:
    if not np.isfinite(W).all():
        return None
    W = W.reshape(svm.shape)
    for exact in (False, True) if rational.affordable(svm) else (False,):
        certified = certify(svm, W, np.zeros(len(svm)), exact=exact)
        if certified.certificate.upper < np.inf:
            margin = rounding.text_down(1.0 / certified.certificate.upper, 6)
            return Separability(
                True,
                f"weights of {svm.norm.name} norm 1 give every margin at least {margin}, rounding included",
                certified.W,
            )
    return None


def _spread(found: Separability, seen: Bools) -> Separability:
    """The same for all rows, those that see no weight among them."""
    if found.farkas is None:
        return found
    farkas = np.zeros(len(seen))
    farkas[seen] = found.farkas
    return replace(found, farkas=frozen(farkas))


def _vertex(svm: Svm) -> Floats | None:
    """Multipliers of least support from a linear program: sum lambda_c r_c = 0, sum lambda_c = 1."""
    rows = svm.rows
    R = rows.written_out() if len(rows) * rows.dimension <= PROGRAM else None
    if R is None:
        return None
    from scipy.optimize import linprog

    # Columns at size one as well, or HiGHS takes small ones for zero.
    R = R * unit_columns(R)
    found = linprog(
        np.zeros(len(R)),
        A_eq=np.vstack((R.T, rows.level)),
        b_eq=np.append(np.zeros(R.shape[1]), 1.0),
        bounds=[(None if free else 0.0, None) for free in rows.equal],
        method="highs-ds",
    )
    return None if found.x is None else rows.scale.restore_dual(np.asarray(found.x))


def _widest(svm: Svm) -> Floats | None:
    """Weights of largest least margin in a box, from a linear program."""
    rows = svm.rows
    R = rows.written_out() if len(rows) * rows.dimension <= PROGRAM else None
    if R is None:
        return None
    from scipy.optimize import linprog

    units = unit_columns(R)
    R = R * units
    count, D = R.shape
    some, same = ~rows.equal, rows.equal
    found = linprog(
        np.append(np.zeros(D), -1.0),
        A_ub=np.hstack((-R, rows.level[:, None]))[some],
        b_ub=np.zeros(count)[some],
        A_eq=np.hstack((R, np.zeros((count, 1))))[same] if same.any() else None,
        b_eq=np.zeros(int(same.sum())) if same.any() else None,
        bounds=[(-1.0, 1.0)] * D + [(None, 1.0)],
        method="highs-ds",
    )
    return None if found.x is None else np.asarray(found.x[:-1]) * units


PROGRAM: Final = 1_000_000
"""Most entries of a linear program handed to HiGHS here."""

_UNDECIDED: Final = Separability(None, "neither separating weights nor a proof that there are none was found")
