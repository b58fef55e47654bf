"""What the theorem of docs/flow.md 14 needs of data and parameters, besides an excess below the barrier."""

import math
from functools import lru_cache
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.model.face_limit import FaceLimit
from marginflow.model.heads import map_of
from marginflow.model.parameterization import AbstractParameterization
from marginflow.selection.every_weight import every_weight
from marginflow.svm.solve import solve


DEPENDENT: Final = 1e-9
"""Equalities whose least singular value is below this part of the largest may follow from each other."""

HELD_UP: Final = 1e-9
"""What holds the pull on parameters up must exceed this part of |theta|^2, of which it is a difference."""


def missing_of_data(limit: FaceLimit, parameterization: AbstractParameterization) -> str | None:
    """Why the theorem says nothing of these faces, whatever the state; None where it does."""
    if not limit.faces.decided.all():
        return "which tokens the faces have is not proved"
    if not _independent(limit, parameterization.diagonal):
        return "the equalities inside the faces depend on each other"
    return _inseparable(limit, parameterization.flow_norm)


def missing_of_state(limit: FaceLimit, parameterization: AbstractParameterization, theta: Floats) -> str | None:
    """Why the pull on parameters `theta` (...) may vanish where that on W does not; None where it cannot, for good.

    |theta'|^2 >= c |G|^2 from here on: c that of `every_weight` for linear W. The flow conserves C = K'K - Q'Q, so that
    K K' is at least the d-th largest eigenvalue of C, and Q Q' the d_z-th largest of -C; k^2 + q^2 is at least
    |k^2 - q^2|.
    """
    phi = map_of(parameterization, limit.problem)
    arrays = phi.unpack(theta)
    size = sum(float((array**2).sum()) for array in arrays.values())
    if parameterization.degree == 1:
        return None if every_weight(phi, theta) else "W is not linear in the parameters, or they do not make every W"
    if arrays.keys() == {"k", "q"}:
        held = float(np.abs(arrays["k"] ** 2 - arrays["q"] ** 2).min())
    elif arrays.keys() == {"K", "Q"}:
        heads = [arrays[name].reshape(-1, *arrays[name].shape[-2:]) for name in ("K", "Q")]
        held = min(_held_up(K, Q) for K, Q in zip(*heads, strict=True))
    else:
        return f"of {parameterization.word} it is not known that its flow does not stand still where the loss falls"
    if held > HELD_UP * size:
        return None
    return (
        "what keys and queries conserve does not keep them from directions in which neither sees the pull (it does "
        "where they are at least as wide as both dimensions together)"
    )


def _held_up(K: Floats, Q: Floats) -> float:
    """What |GQ|^2 + |G'K|^2 is at least, over |G|^2, along the flow from K (d, m) and Q (d_z, m)."""
    spectrum = np.linalg.eigvalsh(K.T @ K - Q.T @ Q)
    most = [spectrum[-len(K)] if len(K) <= len(spectrum) else 0.0]
    most += [-spectrum[len(Q) - 1] if len(Q) <= len(spectrum) else 0.0]
    return float(max(most))


@lru_cache(maxsize=256)
def _independent(limit: FaceLimit, diagonal: bool) -> bool:
    rows = limit.constraints.restrict(limit.constraints.equal)
    if not len(rows):
        return True
    A = rows.vectors(diagonal)
    if len(A) > A.shape[1]:
        return False
    size = np.linalg.svd(A / np.linalg.norm(A, axis=1, keepdims=True), compute_uv=False)
    return bool(size[-1] > DEPENDENT * size[0])


@lru_cache(maxsize=256)
def _inseparable(limit: FaceLimit, norm: str) -> str | None:
    found = solve(limit.constraints, norm)
    if math.isfinite(found.certificate.upper):
        return None
    return f"that weights have the faces is not proved (their {found.norm.name} SVM: {found.status.value})"
