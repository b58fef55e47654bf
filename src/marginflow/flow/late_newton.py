"""One implicit stage of a late step: theta = base + gh phi'(theta)* G(f), f the force at the logits of theta itself.

Newton's method on levels, the logs of the tokens' forces: at levels d with force f(d) the stage's theta, and with it
the logits w that it would have, is one linear solve; lam = -f of the tokens below the top answers w - d =: r by

    (1 + diag(lam) M) dlam = diag(lam) (r + dpsi),    M = -d w / d lam,

dpsi the change of -log N that keeps |f| = 1 (derived in docs/flow.md 13).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats
from marginflow.flow.late_stage import PASSED, Levels, Stage, part_to_contact
from marginflow.flow.late_system import StageSystem


MOST_ITERATIONS: Final = 14

SLOW: Final = 7
"""Iterations after which each must shrink the change of theta by a fifth."""

SETTLED: Final = 0.05
"""The change of theta, in units of rtol, below which a stage is solved."""

HELD_TO: Final = 0.01
"""How far a token's force may be from that of the logits of theta, relative to the whole force, in a stage solved."""


@dataclass(frozen=True, eq=False)
class Solved:
    """Where a stage came to.

    Attributes:
        change: (1, ...) what theta differs by from the step's start.
        w: (n, T) the change of the logits that belongs to it.
        levels: those whose force is the stage's.
        ok: every equation holds to its tolerance.
        part: 1, or the part of the way to this stage at which a better token passes.
        iterations: forces evaluated.
    """

    change: Floats
    w: Floats
    levels: Levels
    ok: bool
    part: float
    iterations: int


def solve_stage(stage: Stage, base: Floats, gh: float, levels: Levels, system: StageSystem | None = None) -> Solved:
    """Solve theta = base + gh phi'* G(f) from a guess of the levels; `base` as its difference from the start."""
    at, phi = stage.at, stage.objective.map
    held = stage.brought_in(levels)
    system = StageSystem(stage) if system is None else system
    before, last = np.zeros_like(at.theta), np.inf
    out = Solved(base, levels.d, levels, False, 1.0, 0)
    for k in range(MOST_ITERATIONS):
        d, f, psi = levels.d, levels.f, levels.psi
        if not np.isfinite(psi) or stage.overtaken(d):
            break
        G = stage.objective.tokens.adjoint(f[None])
        algebra = phi.stage(at.theta, G, 1.0 / gh)
        if algebra is None:
            break
        # The increment, not theta: at a margin of 1e12 the logits of theta itself are known to 1e-3 only.
        change = algebra.solve(base / gh + phi.vjp(at.theta, G))
        w = stage.logits(phi.jvp(at.theta + change / 2.0, change))
        if k == 0:
            system.begin(algebra.at(at.theta + change))
        moved = float(phi.distance(at.theta + change, change - before)[0]) if k else np.inf
        out = Solved(change, w, levels, False, 1.0, k + 1)
        if (k >= SLOW and moved > 0.8 * last) or not np.isfinite(w).all():
            break
        before, last = change, moved
        r = w - d
        chosen = system.choose(f, held)
        apart = stage.below & ~held
        apart.reshape(-1)[chosen] = False
        outside = stage.level(d, psi) < system.enters - 1e-6
        pending = apart & (stage.excess(outside, w, psi, system.enters) > 0.0)
        if moved < SETTLED * stage.rtol and np.abs(np.where(held, 0.0, f * r)).max() < HELD_TO and not pending.any():
            at_w = stage.level(w, psi)
            if not (held & (at_w <= PASSED)).any():
                part = part_to_contact(stage, at_w)
                return Solved(change, w, levels, part == 1.0, part, k + 1)
            held &= at_w > PASSED
        step = system.step(chosen, f, r)
        if step is None:
            break
        moves, dpsi = step
        over = stage.excess(outside | held, w, psi + dpsi, system.enters)
        d = np.where(apart | held, w - over, d)
        # A better token that comes in is held where it does, as long as it would pass.
        held |= apart & stage.better & (over > 0.0)
        f = f.copy()
        d.reshape(-1)[chosen] += moves - dpsi
        f.reshape(-1)[chosen] *= np.exp(moves)
        levels = stage.levels(d, f, psi + dpsi, ~(apart | held))
    return out
