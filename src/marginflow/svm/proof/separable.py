"""Whether any weights separate the selected tokens at all, decided by a proof either way."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.arrays import Floats, frozen
from marginflow.norms import Frobenius, Lp
from marginflow.problem.constraints import Constraints
from marginflow.svm.euclidean.solve_euclidean import solve_euclidean
from marginflow.svm.program import Svm
from marginflow.svm.proof.certificate import certify
from marginflow.svm.proof.farkas import prove


@dataclass(frozen=True, eq=False)
class Separability:
    """The verdict and what proves it.

    Attributes:
        separable: True, False, or None when neither could be proved.
        proof: a sentence for the reader.
        W: (d, d_z), or (d,) for diagonal weights, with every margin positive; None unless separable.
        farkas: (C,) multipliers >= 0 of sum 1 whose combination of the constraints vanishes; None unless not.
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
    # Any norm of such weights would do: whether one is finite does not depend on which.
    svm = Svm(constraints, Lp(2.0) if diagonal else Frobenius())
    if len(constraints) == 0:
        return Separability(True, "nothing constrains the weights", frozen(np.zeros(svm.shape)))
    zero = svm.zero_row
    if zero is not None:
        farkas = np.zeros(len(constraints))
        farkas[zero] = 1.0
        sample, token = int(constraints.sample[zero]), int(constraints.token[zero])
        return Separability(
            False,
            f"token {token} of sample {sample} has the selected token's logit whatever the weights",
            farkas=frozen(farkas),
        )
    candidate = solve_euclidean(svm, 1e-3)
    found = _positive(svm, candidate.W)
    if found is not None:
        return found
    rays = [ray for ray in (candidate.ray, _vertex(svm), candidate.dual) if ray is not None]
    for ray in rays:
        proof = prove(svm, ray)
        if proof is not None:
            return Separability(False, proof.sentence, farkas=frozen(proof.multipliers))
    W = _widest(svm)
    found = None if W is None else _positive(svm, W.reshape(svm.shape))
    return found or Separability(None, "neither separating weights nor a proof that there are none was found")


def _positive(svm: Svm, W: Floats) -> Separability | None:
    certified = certify(svm, W, np.zeros(len(svm)))
    if certified.certificate.upper == np.inf:
        return None
    margin = 1.0 / certified.certificate.upper
    return Separability(
        True,
        f"weights of {svm.norm.name} norm 1 give every margin at least {margin:.6g}, rounding included",
        certified.W,
    )


def _vertex(svm: Svm) -> Floats | None:
    """Multipliers of least support from a linear program: sum lambda_c r_c = 0, sum lambda_c = 1."""
    rows = svm.rows
    R = rows.written_out() if len(rows) * rows.dimension <= _PROGRAM else None
    if R is None:
        return None
    from scipy.optimize import linprog

    found = linprog(
        np.zeros(len(R)),
        A_eq=np.vstack((R.T, np.ones(len(R)))),
        b_eq=np.append(np.zeros(R.shape[1]), 1.0),
        method="highs-ds",
    )
    return None if found.x is None else rows.scale.restore_dual(np.asarray(found.x))


def _widest(svm: Svm) -> Floats | None:
    """Weights of largest least margin in a box, from a linear program."""
    rows = svm.rows
    R = rows.written_out() if len(rows) * rows.dimension <= _PROGRAM else None
    if R is None:
        return None
    from scipy.optimize import linprog

    count, D = R.shape
    found = linprog(
        np.append(np.zeros(D), -1.0),
        A_ub=np.hstack((-R, np.ones((count, 1)))),
        b_ub=np.zeros(count),
        bounds=[(-1.0, 1.0)] * D + [(None, 1.0)],
        method="highs-ds",
    )
    return None if found.x is None else np.asarray(found.x[:-1])


_PROGRAM: Final = 1_000_000
"""Most entries of a linear program handed to HiGHS here."""
