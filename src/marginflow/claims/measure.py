"""What claims measure on a run."""

import math

import numpy as np

from marginflow.arrays import Floats
from marginflow.claims import runs
from marginflow.claims.claim import Check
from marginflow.diagnostics.ratio import Ratio, certify_weights
from marginflow.diagnostics.spectrum import DualSpectrum, dual_spectrum
from marginflow.trajectory.trajectory import Trajectory
from marginflow.trajectory.verdict import FlowStatus


def final(path: Trajectory, norm: str, i: int = -1) -> Ratio:
    """R and its factors at a snapshot."""
    return certify_weights(path.W(i), path.dual(i), path.problem.constraints(), norm)


def window(path: Trajectory, low: float, high: float = math.inf) -> list[int]:
    """The snapshots whose least margin lies in [low, high]."""
    return [i for i, margin in enumerate(path.margin) if low <= margin <= high]


def ratio_curve(path: Trajectory, norm: str, low: float, high: float = math.inf) -> tuple[Floats, Floats]:
    """Margins and R of the snapshots whose margin lies in [low, high]."""
    chosen = window(path, low, high)
    return path.margin[chosen], np.array([final(path, norm, i).value for i in chosen])


def limit_spectrum(name: str, norm: str = "nuclear") -> DualSpectrum:
    """The spectrum of the certified dual matrix of a named problem."""
    found = runs.solution(name, norm)
    return dual_spectrum(found.constraints.adjoint(found.dual))


def shares(path: Trajectory, spectrum: DualSpectrum, i: int = -1) -> Floats:
    """(k,) w_j of theory 5.2: the parts of W along the limiting dual's directions; their sum is 1."""
    parts = spectrum.components(path.W(i))
    return np.asarray(parts / parts.sum())


def off_support(path: Trajectory, spectrum: DualSpectrum, i: int = -1) -> float:
    """The sum of the off-support shares: relatively, the size of what leading-order laws neglect."""
    return float(shares(path, spectrum, i)[spectrum.support :].sum())


def reached(path: Trajectory, what: str) -> Check:
    """That the run is proved to reach the minimal loss: the abstract's condition."""
    return Check(
        f"{what}: reaches the minimal loss (1 = proved)",
        1.0,
        float(path.status is FlowStatus.minimal_loss),
        0.0,
        "a verdict, proved by the barrier theorem of docs/flow.md",
    )


def size(W: Floats, norm: str) -> float:
    """The nuclear or Frobenius norm of W (d, d_z), or the l1 or l2 norm of its diagonal."""
    s = np.diagonal(W) if norm in ("l1", "l2") else np.linalg.svd(W, compute_uv=False)
    return float(np.abs(s).sum() if norm in ("nuclear", "l1") else np.sqrt((s * s).sum()))


def cosine(A: Floats, B: Floats) -> float:
    """<A, B> / (|A||B|)."""
    return float((A * B).sum() / (np.linalg.norm(A) * np.linalg.norm(B)))
