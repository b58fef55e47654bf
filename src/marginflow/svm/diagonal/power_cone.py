"""min N subject to R beta >= h, |beta|_p <= N for large p, by a barrier of power cones (docs/svm.md, Solvers).

    |beta_j| <= r_j^(1/p) N^(1 - 1/p),  sum_j r_j = N,
    barrier  -log(r^(2/p) N^(2 - 2/p) - beta^2) - (1 - 1/p) log r - (1/p) log N  for each coordinate (Nesterov 2012).

Self-concordant whatever p is: Newton's steps do not shrink like 1/p, as they do on the powers |beta|^p themselves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from marginflow.arrays import Floats


def power_cone(R: Floats, h: Floats, p: float, beta: Floats) -> Iterator[tuple[Floats, Floats]]:
    """Yield (beta (d,), multipliers (C,)) of central points, the gap falling tenfold from one to the next.

    About six steps of cost O((C + d)^3) each. `beta` has R beta > h, well inside. The iterator ends where float64
    does, at gaps of 1e-5 to 1e-9: Newton's method on the active rows is then close enough to finish.
    """
    point = _start(p, beta)
    mu = point.N / (len(h) + 3 * len(beta))
    while True:
        for _ in range(_CENTRING):
            step, decrement = _newton(R, h, p, point, mu)
            if not np.isfinite(decrement):
                return
            ahead = _line_search(R, h, p, point, step, mu, decrement)
            if ahead is None:
                return
            point = ahead
            if decrement < 0.1:
                break
        yield point.beta, mu / (R @ point.beta - h)
        mu *= 0.1


@dataclass(frozen=True, eq=False)
class _Point:
    """beta and r with room in every cone, N = sum r; theta is the multiplier of that equation."""

    beta: Floats
    r: Floats
    theta: float

    @property
    def N(self) -> float:
        return float(self.r.sum())

    def omega(self, p: float) -> Floats:
        """r^(2/p) N^(2 - 2/p) - beta^2."""
        return np.asarray(self.N**2 * (self.r / self.N) ** (2.0 / p) - self.beta**2)

    def moved(self, step: "_Point", t: float) -> "_Point":
        return _Point(self.beta + t * step.beta, self.r + t * step.r, self.theta + t * step.theta)


def _start(p: float, beta: Floats) -> _Point:
    """r_j = N w_j, w the mean of the share of |beta_j|^p and a uniform one; N half as large again as it must be."""
    share = (np.abs(beta) / np.abs(beta).max()) ** p
    w = 0.5 * share / share.sum() + 0.5 / len(beta)
    N = 1.5 * float((np.abs(beta) * w ** (-1.0 / p)).max())
    return _Point(beta, N * w, len(beta) / N)


def _newton(R: Floats, h: Floats, p: float, point: _Point, mu: float) -> tuple[_Point, float]:
    """Newton's step of N / mu + barriers in (beta, r, N), and its decrement squared.

    With f = phi_r / omega, g = phi_N / omega, b = 2 beta / omega, phi = omega + beta^2, the second derivatives of a
    coordinate are put together so that nothing large cancels as omega vanishes; the gradient is taken less what the
    present theta makes up for, which is of size 1 / mu.
    """
    beta, r, N, a = point.beta, point.r, point.N, 1.0 / p
    y, omega = 1.0 / (R @ beta - h), point.omega(p)
    phi = omega + beta**2
    f, g, b = 2.0 * a / r * phi / omega, 2.0 * (1.0 - a) / N * phi / omega, 2.0 * beta / omega
    k, q = (1.0 - 2.0 * a) * f / r + (1.0 - a) / r**2, 2.0 * (1.0 - a) / N
    h_rr = f * f + k
    right_r = f + (1.0 - a) / r - point.theta
    right_N = point.theta - (1.0 / mu - float((g + a / N).sum()))
    # r goes coordinate by coordinate: dr = (right_r + b f dbeta - f (g - q) dN - dtheta) / h_rr; then beta:
    # dbeta = u + v dN + w dtheta.
    across = f * (g - q) / h_rr
    c = b * (g * k + q * f * f) / h_rr
    columns = np.stack((y @ R - b + b * (f / h_rr) * right_r, c, -b * f / h_rr))
    u, v, w = _solve(R, 2.0 / omega + b * b * (k / h_rr), 1.0 / y, columns)
    r0, rN, rt = (right_r + b * f * u) / h_rr, b * f * v / h_rr - across, (b * f * w - 1.0) / h_rr
    # The row of N, and dN = sum dr.
    h_NN = float(((g * g * k + f * f * q * (2.0 * g - q)) / h_rr - (1.0 - 2.0 * a) / N * g + a / N**2).sum())
    K = np.array([[h_NN - c @ v, -(c @ w) - across.sum() - 1.0], [rN.sum() - 1.0, rt.sum()]])
    right = np.array([right_N - across @ right_r + c @ u, -r0.sum()])
    dN, dtheta = np.linalg.solve(K, right).tolist()
    step = _Point(u + v * dN + w * dtheta, r0 + rN * dN + rt * dtheta, dtheta)
    # A sum of squares: the gradient times the step would be a difference of numbers of size 1 / mu.
    x, z = step.r / r, dN / N
    curved = 2.0 * a * (1.0 - 2.0 * a) * x * x - 8.0 * a * (1.0 - a) * x * z - 2.0 * (1.0 - a) * (1.0 - 2.0 * a) * z * z
    squares = 2.0 / omega * step.beta**2 + (b * step.beta - f * step.r - g * dN) ** 2 + phi / omega * curved
    squares += (1.0 - a) * x * x + a * z * z
    return step, float(((y * (R @ step.beta)) ** 2).sum() + squares.sum())


def _solve(R: Floats, e: Floats, s: Floats, columns: Floats) -> Floats:
    """(k, d) x with (diag(e) + R' diag(1/s^2) R) x = column, for each row of `columns` (k, d).

    Through the bordered matrix [e, R'; R, -s^2]: the reduced one loses what lies in the kernel of the active rows.
    """
    C, d = R.shape
    root = np.sqrt(e)
    scaled = R / root
    size = np.linalg.norm(scaled, axis=1)
    K = np.zeros((d + C, d + C))
    K[np.arange(d), np.arange(d)] = 1.0
    K[d:, :d] = scaled / size[:, None]
    K[:d, d:] = K[d:, :d].T
    K[np.arange(d, d + C), np.arange(d, d + C)] = -((s / size) ** 2)
    right = np.zeros((d + C, len(columns)))
    right[:d] = (columns / root).T
    return np.asarray(np.linalg.solve(K, right)[:d].T / root)


def _line_search(
    R: Floats, h: Floats, p: float, point: _Point, step: _Point, mu: float, decrement: float
) -> _Point | None:
    """Halve the step until the barrier falls, None if it does not; by differences, since N / mu swamps the rest."""
    a, t = 1.0 / p, 1.0
    s, omega, dN = R @ point.beta - h, point.omega(p), float(step.r.sum())
    for _ in range(40):
        ahead = point.moved(step, t)
        s_ahead = R @ ahead.beta - h
        if s_ahead.min() > 0.0 and ahead.r.min() > 0.0 and (omega_ahead := ahead.omega(p)).min() > 0.0:
            rise = t * dN / mu - np.log(s_ahead / s).sum() - np.log(omega_ahead / omega).sum()
            rise -= (1.0 - a) * np.log(ahead.r / point.r).sum() + a * len(point.r) * np.log(ahead.N / point.N)
            if rise <= -0.1 * t * decrement:
                return ahead
        t *= 0.5
    return None


_CENTRING: Final = 30
