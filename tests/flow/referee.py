"""An independent referee of the flow: its definition (theory 3.2) in any arithmetic, and two integrators for it.

Nothing here comes from `marginflow.flow`. With `Decimal` numbers of 50 digits and extrapolation it serves small cases;
with float64 and SciPy's DOP853 it follows a flow to margins of a few hundred, the logits computed from the parameters.
"""

from decimal import Decimal, localcontext
from functools import cached_property

import numpy as np
from scipy.integrate import solve_ivp


DIGITS = 50
_LOG = np.frompyfunc(lambda x: x.ln(), 1, 1)
_EXP = np.frompyfunc(lambda x: x.exp(), 1, 1)


class Definition:
    """y = (trained arrays flattened, t) along the clock d tau = |dL/d logits| dt, with numbers of type `number`."""

    def __init__(self, problem, kind, loss="exponential", number=float):
        self.problem, self.kind, self.loss, self.number = problem, kind, loss, number
        self.d, self.d_z = problem.d, problem.d_z
        self.X, self.z, self.scores = (self.exact(a) for a in (problem.X, problem.z, problem.scores))
        self.exp, self.log = (np.exp, np.log) if number is float else (_EXP, _LOG)

    def exact(self, array):
        """float64 numbers as what they are exactly."""
        array = np.asarray(array, dtype=float)
        return array if self.number is float else np.frompyfunc(self.number, 1, 1)(array).astype(object)

    @cached_property
    def sizes(self):
        return list(self.kind.shapes(self.d, self.d_z).values())

    def arrays(self, y):
        """The trained arrays, in the order of the parameterisation's shapes."""
        out, start = [], 0
        for shape in self.sizes:
            stop = start + int(np.prod(shape))
            out.append(y[start:stop].reshape(shape))
            start = stop
        return out

    def weights(self, y):
        """W (d, d_z)."""
        first, *second = self.arrays(y)
        if self.kind.diagonal:
            beta = first * second[0] if second else first
            return np.diag(beta)
        return first @ second[0].T if second else first

    def logits(self, y):
        """(n, T), counted from the top token of each sample; padding is told by the mask."""
        seen = self.z @ self.weights(y).T
        s = (self.X * seen[:, None, :]).sum(axis=2)
        rough = np.where(self.problem.mask, s.astype(float), -np.inf)
        self.top = rough.argmax(axis=1)
        return s - s[np.arange(len(s)), self.top][:, None]

    def pull(self, y):
        """F = -dL/ds (n, T) and its norm N."""
        s = self.logits(y)
        w = np.where(self.problem.mask, self.exp(s), 0 * s)
        p = w / w.sum(axis=1)[:, None]
        mean = (p * self.scores).sum(axis=1)
        one = self.number(1)
        slope = self.exp(-mean) if self.loss == "exponential" else one / (one + self.exp(mean))
        F = slope[:, None] * p * (self.scores - mean[:, None]) / len(s)
        # The forces of a sample sum to 0; the top token's is a difference of nearly equal numbers.
        rows = np.arange(len(s))
        F[rows, self.top] = 0 * slope
        F[rows, self.top] = -F.sum(axis=1)
        return F, self.root((F * F).sum())

    def root(self, x):
        return np.sqrt(x) if self.number is float else x.sqrt()

    def rate(self, y):
        """dy/d tau."""
        F, N = self.pull(y)
        mixed = ((F / N)[:, :, None] * self.X).sum(axis=1)
        G = mixed.T @ self.z
        first, *second = self.arrays(y)
        g = np.diag(G) if self.kind.diagonal else G
        if not second:
            parts = [g]
        elif self.kind.diagonal:
            parts = [g * second[0], g * first]
        else:
            parts = [g @ second[0], g.T @ first]
        return np.concatenate([*(p.ravel() for p in parts), [1 / N]])

    def start(self, path):
        """y at the first snapshot of a trajectory."""
        arrays = path.parameters(0).values()
        return np.concatenate([*(self.exact(a).ravel() for a in arrays), self.exact([0.0])])

    def margin(self, y):
        """The least margin of the optimal tokens."""
        s = self.logits(y)
        c = self.problem.constraints()
        return (s[c.sample, self.problem.optimal[c.sample]] - s[c.sample, c.token]).min()

    def log_excess(self, y):
        """log(L - L*)."""
        s = self.logits(y)
        w = np.where(self.problem.mask, self.exp(s), 0 * s)
        rows = np.arange(len(s))
        best = self.scores[rows, self.problem.optimal]
        delta = (w / w.sum(axis=1)[:, None] * (best[:, None] - self.scores)).sum(axis=1)
        if self.loss == "exponential":
            gain = self.exp(-best) * self._expm1(delta)
        else:
            one = self.number(1)
            gain = self._log1p(self._expm1(delta) * self.exp(-best) / (one + self.exp(-best)))
        return self.log(np.atleast_1d(gain.sum() / len(s)))[0]

    def _expm1(self, x):
        # 50 digits and margins below 60 leave 20 digits to a difference.
        return np.expm1(x) if self.number is float else self.exp(x) - 1

    def _log1p(self, x):
        return np.log1p(x) if self.number is float else self.log(1 + x)

    def log_time(self, y):
        return self.log(np.atleast_1d(y[-1]))[0]


def extrapolated(rate, y, length, tol=1e-16, columns=8):
    """y' = rate(y) over `length` by Gragg, Bulirsch and Stoer's extrapolation of the midpoint rule, any arithmetic."""
    done, h = Decimal(0), length / 64
    while done < length:
        h = min(h, length - done)
        table = []
        for k in range(columns):
            n = 2 * (k + 1)
            row = [_midpoint(rate, y, h, n)]
            for j in range(1, k + 1):
                ratio = (Decimal(n) / (2 * (k - j + 1))) ** 2
                row.append(row[-1] + (row[-1] - table[-1][j - 1]) / (ratio - 1))
            table.append(row)
        a, b = table[-1][-1], table[-1][-2]
        size = np.abs(a[:-1].astype(float)).max()
        error = max(np.abs((a - b)[:-1].astype(float)).max() / size, abs(float((a - b)[-1] / a[-1])))
        if error <= tol:
            y, done = a, done + h
        h = h * Decimal(min(2.0, max(0.2, 0.9 * (tol / max(error, 1e-45)) ** (1 / (2 * columns - 1)))))
    return y


def _midpoint(rate, y, length, n):
    h = length / n
    before, here = y, y + h * rate(y)
    for _ in range(n - 1):
        before, here = here, before + 2 * h * rate(here)
    return here


def fifty_digits(path, taus):
    """The definition of the flow of `path` in 50 digits, and its y at each of the rising clocks `taus`."""
    with localcontext() as context:
        context.prec = DIGITS
        flow = Definition(path.problem, path.parameterization, path.loss.word, Decimal)
        y, done, out = flow.start(path), Decimal(0), []
        for tau in taus:
            length = Decimal(float(tau)) - done
            y, done = extrapolated(flow.rate, y, length), done + length
            out.append(y)
        return flow, out


def explicit(path, taus, rtol=1e-12):
    """The definition of the flow of `path` in float64, and its y at each of the rising clocks `taus` by DOP853."""
    flow = Definition(path.problem, path.parameterization, path.loss.word)
    y, done, out = flow.start(path), 0.0, []
    for tau in taus:
        got = solve_ivp(lambda _, y: flow.rate(y), (done, tau), y, method="DOP853", rtol=rtol, atol=1e-16)
        assert got.success
        y, done = got.y[:, -1], tau
        out.append(y)
    return flow, out
