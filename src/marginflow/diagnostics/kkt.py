"""Approximate KKT residuals of the factored and of the direct problem (docs/theory.md 3.5)."""

import math
from dataclasses import dataclass

import numpy as np

from marginflow.arrays import Floats
from marginflow.diagnostics.ratio import pulled, weights_in
from marginflow.norms import AbstractNorm, parse_norm
from marginflow.problem.constraints import Constraints
from marginflow.trajectory.snapshot import Snapshot


@dataclass(frozen=True)
class FactoredResidual:
    """theta / m_min^(1/L) as an (epsilon, delta)-KKT point of min |theta|^2/2 s.t. margins >= 1 (Lyu & Li).

    Both tend to 0 also at KKT points that are not optimal: only R tells those apart.

    Attributes:
        epsilon: |theta^ - sum_c lambda_c grad m_c(theta^)| at the best scale of the weights.
        delta: max_c lambda_c (m_c/m_min - 1).
        cosine: between theta and the force on it.
    """

    epsilon: float
    delta: float
    cosine: float


@dataclass(frozen=True)
class DirectResidual:
    """W / m_min against the KKT conditions of min N(W) s.t. margins >= 1, with the dual r / N_d(G).

    A norm is not smooth, so stationarity is measured in its Fenchel form: B = G / N_d(G) is a subgradient at
    W^ iff N(W^) - <B, W^> = 0, and an epsilon-subgradient iff it is <= epsilon. The two residuals add up to
    the duality gap N(W)/m_min - sum(r)/N_d(G) exactly.

    Attributes:
        stationarity: N(W^) - <B, W^> >= 0.
        complementarity: sum_c lambda_c (m_c/m_min - 1) >= 0.
    """

    stationarity: float
    complementarity: float


def factored_residual(
    parameters: Floats, force: Floats, margins: Floats, dual: Floats, degree: int
) -> FactoredResidual:
    """The residuals of theory 3.5, nan where a margin is not positive, a weight negative or the force zero.

    Args:
        parameters: (p,) all parameters, flattened.
        force: (p,) -grad of the loss in the same order, computed from the same `dual`.
        margins: (C,) m_c.
        dual: (C,) r_c >= 0, at the force's scale.
        degree: L, the degree of homogeneity of the margins: 1 for W and beta, 2 for (K, Q) and (k, q).
    """
    least = float(margins.min(initial=math.inf))
    size = float(force @ force)
    if not (0 < least < math.inf and size > 0 and (dual >= 0).all()):
        return FactoredResidual(math.nan, math.nan, math.nan)
    hat = parameters / least ** (1.0 / degree)
    scale = float(hat @ force) / size
    # grad m(theta^) = grad m(theta) / m_min^(1-1/L), by homogeneity.
    weights = scale * least ** (1.0 - 1.0 / degree) * dual
    return FactoredResidual(
        epsilon=float(np.linalg.norm(hat - scale * force)),
        delta=float((weights * (margins / least - 1.0)).max()),
        cosine=float(hat @ force) / (float(np.linalg.norm(hat)) * math.sqrt(size)),
    )


def run_residual(seen: Snapshot) -> FactoredResidual:
    """The residuals of a run at a snapshot, in its own parameters, from the clipped weights that R uses."""
    arrays, pulled = seen.arrays, seen.descent
    theta, force = (np.concatenate([part[name].ravel() for name in arrays]) for part in (arrays, pulled))
    return factored_residual(theta, force, seen.margins, seen.dual, seen.parameterization.degree)


def direct_residual(W: Floats, dual: Floats, constraints: Constraints, norm: str | AbstractNorm) -> DirectResidual:
    """The residuals of theory 3.5 for W (d, d_z) or (d,) and dual (C,); nan where R is."""
    norm = parse_norm(norm)
    W = weights_in(norm, W)
    margins = constraints.margins(W)
    least = float(margins.min(initial=math.inf))
    G = pulled(constraints, dual, norm)
    size = norm.dual_value(G)
    if not (0 < least < math.inf and size > 0 and (dual >= 0).all()):
        return DirectResidual(math.nan, math.nan)
    return DirectResidual(
        stationarity=(norm.value(W) - float((W * G).sum()) / size) / least,
        complementarity=float((dual / size) @ (margins / least - 1.0)),
    )
