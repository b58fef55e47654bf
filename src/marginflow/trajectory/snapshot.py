"""One state of a run, with what is asked of it computed once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from marginflow.arrays import Floats, Ints
from marginflow.model.goal import AbstractGoal
from marginflow.model.heads import map_of
from marginflow.model.logits import Logits
from marginflow.model.parameterization import AbstractParameterization, Arrays
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a run at one time.

    Attributes:
        problem, parameterization: what was trained.
        theta: (...) parameters as the maker holds them.
        s: logits (1, n, T), counted from the top token of each sample.
        f: (n, T) the direction of -dL/ds that made it: of the force here for a flow, of the mean force since the
            snapshot before for a discrete method, whose last force alone may point anywhere.
        log_time: log t; nan where the maker has no time.
        iteration: steps taken.
        goal: where attention is at the least loss.
    """

    problem: Problem
    parameterization: AbstractParameterization
    theta: Floats
    s: Logits
    f: Floats
    log_time: float
    iteration: int
    goal: AbstractGoal

    @cached_property
    def arrays(self) -> Arrays:
        """The trained arrays by name."""
        return map_of(self.parameterization, self.problem).unpack(self.theta)

    @cached_property
    def weights(self) -> Floats:
        """(d, d_z) the attention weights, or (d,) the diagonal of diagonal ones; of several heads (H, ...)."""
        return map_of(self.parameterization, self.problem).weights(self.theta[None])[0]

    @cached_property
    def W(self) -> Floats:
        """(d, d_z) the attention weights, (H, d, d_z) of several heads; the full matrix also for diagonal ones."""
        w = self.weights
        return w[..., None] * np.eye(w.shape[-1]) if self.parameterization.diagonal else w

    @property
    def constraints(self) -> Constraints:
        """Those of the optimal tokens, or of the faces."""
        return self.goal.constraints

    @cached_property
    def separating(self) -> Floats:
        """`W` less the finite part that keeps the balance inside faces of several tokens: what grows."""
        return self.goal.growing(self.W, self.parameterization.diagonal)

    @cached_property
    def dual(self) -> Floats:
        """(C,) >= 0, the pull of `constraints`, of any sign on equalities: multipliers up to a positive factor."""
        c = self.constraints
        pulled = -self.f[c.sample, c.token]
        return np.where(c.equal, pulled, np.maximum(pulled, 0.0))

    @cached_property
    def margins(self) -> Floats:
        """(C,) <A_c, W> of the weights as float64 holds them."""
        return self.constraints.margins(self.W)

    @cached_property
    def margin(self) -> float:
        """The least lead of a reference token, from the carried logits; negative where some sample is wrong."""
        return float(self.goal.lead(self.s.high, self.s.low)[0])

    @cached_property
    def force_matrix(self) -> Floats:
        """(d, d_z) sum_il f_il x_il z_i', negative weights included, at the scale of `f`; of several heads (H, ...)."""
        problem, H = self.problem, self.problem.counts[1]
        pulled = np.einsum("it,itd->id", self.f, problem.X)
        if H == 1:
            return np.asarray(pulled.T @ problem.z)
        own = [problem.head == h for h in range(H)]
        return np.stack([pulled[rows].T @ problem.z[rows] for rows in own])

    @cached_property
    def descent(self) -> Arrays:
        """Minus the gradient in each trained array, from the clipped multipliers `dual` (theory 3.2)."""
        G = self.constraints.adjoint(self.dual)
        pulled = np.ascontiguousarray(np.diagonal(G, axis1=-2, axis2=-1)) if self.parameterization.diagonal else G
        return map_of(self.parameterization, self.problem).descent(self.arrays, pulled)

    @property
    def per_head(self) -> list[Arrays]:
        """The trained arrays of every head by name; of one head a list of one."""
        H = self.problem.counts[1]
        return [self.arrays] if H == 1 else [{name: v[h] for name, v in self.arrays.items()} for h in range(H)]

    @cached_property
    def selected(self) -> Ints:
        """(n,) the token of largest logit of each sample."""
        return np.asarray((self.s.high[0] + self.s.low[0]).argmax(axis=1))
