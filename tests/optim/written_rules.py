"""The rules as their papers write them, in mpmath on NumPy object arrays: no logarithms, no shared code."""

import mpmath
import numpy as np


mpmath.mp.dps = 60
_exp = np.frompyfunc(mpmath.exp, 1, 1)
_sqrt = np.frompyfunc(mpmath.sqrt, 1, 1)
_sign = np.frompyfunc(mpmath.sign, 1, 1)
exact = np.frompyfunc(mpmath.mpf, 1, 1)


def gradient(problem, arrays, lam=0):
    """Of the mean exponential loss, plus lam theta: by the softmax's Jacobian, sample by sample."""
    X, z, scores = exact(problem.X), exact(problem.z), exact(problem.scores)
    names = set(arrays)
    if names == {"K", "Q"}:
        W = arrays["K"] @ arrays["Q"].T
    elif names == {"k", "q"}:
        W = np.diag(arrays["k"] * arrays["q"])
    elif names == {"beta"}:
        W = np.diag(arrays["beta"])
    else:
        W = arrays["W"]
    G = exact(np.zeros(W.shape))
    for i in range(problem.n):
        kept = problem.mask[i]
        x, gamma = X[i][kept], scores[i][kept]
        s = x @ W @ z[i]
        p = _exp(s - max(s))
        p = p / p.sum()
        u = p @ gamma
        slope = -mpmath.exp(-u) / problem.n
        # gamma_l - u as a sum of differences: the difference itself would need 434,294 digits at margin 1e6.
        above = (gamma[:, None] - gamma[None, :]) @ p
        G = G + slope * np.outer(x.T @ (p * above), z[i])
    if names == {"K", "Q"}:
        out = {"K": G @ arrays["Q"], "Q": G.T @ arrays["K"]}
    elif names == {"k", "q"}:
        g = np.diagonal(G)
        out = {"k": g * arrays["q"], "q": g * arrays["k"]}
    elif names == {"beta"}:
        out = {"beta": np.diagonal(G).copy()}
    else:
        out = {"W": G}
    return {n: g + lam * arrays[n] for n, g in out.items()}


def _size(arrays):
    return mpmath.sqrt(sum((a * a).sum() for a in arrays.values()))


def descended(problem, start, steps, rate, *, momentum=0.0, nesterov=False, rule="gd", lam=0, decoupled=0):
    """Parameters after each step of gradient descent (with the buffer of torch.optim.SGD), NGD or sign descent."""
    theta = {n: exact(a) for n, a in start.items()}
    buffer = None
    rate, momentum, lam, decoupled = map(mpmath.mpf, (rate, momentum, lam, decoupled))
    seen = []
    for _ in range(steps):
        g = gradient(problem, theta, lam)
        buffer = g if buffer is None else {n: momentum * buffer[n] + g[n] for n in g}
        used = {n: g[n] + momentum * buffer[n] for n in g} if nesterov else buffer
        if rule == "ngd":
            size = _size(used)
            used = {n: a / size for n, a in used.items()}
        elif rule == "separate":
            used = {n: a / _size({n: a}) for n, a in used.items()}
        elif rule == "sign":
            used = {n: _sign(a) for n, a in used.items()}
        elif rule == "coordinate":
            used = {n: np.where(abs(a) == abs(a).max(), _sign(a), mpmath.mpf(0)) for n, a in used.items()}
        theta = {n: a - rate * decoupled * a - rate * used[n] for n, a in theta.items()}
        seen.append(theta)
    return seen


def adam(problem, start, steps, rate, *, b1, b2, eps, decoupled=0):
    """Algorithm 1 of Kingma and Ba, with the decay of AdamW."""
    theta = {n: exact(a) for n, a in start.items()}
    rate, b1, b2, eps, decoupled = map(mpmath.mpf, (rate, b1, b2, eps, decoupled))
    m = {n: 0 * a for n, a in theta.items()}
    v = {n: 0 * a for n, a in theta.items()}
    seen = []
    for t in range(1, steps + 1):
        g = gradient(problem, theta)
        m = {n: b1 * m[n] + (1 - b1) * g[n] for n in g}
        v = {n: b2 * v[n] + (1 - b2) * g[n] ** 2 for n in g}
        step = {n: (m[n] / (1 - b1**t)) / (_sqrt(v[n] / (1 - b2**t)) + eps) for n in g}
        theta = {n: a - rate * decoupled * a - rate * step[n] for n, a in theta.items()}
        seen.append(theta)
    return seen


def lion(problem, start, steps, rate, *, b1, b2):
    """Chen et al., arXiv 2302.06675, algorithm 2, without decay."""
    theta = {n: exact(a) for n, a in start.items()}
    rate, b1, b2 = map(mpmath.mpf, (rate, b1, b2))
    m = {n: 0 * a for n, a in theta.items()}
    seen = []
    for _ in range(steps):
        g = gradient(problem, theta)
        step = {n: _sign(b1 * m[n] + (1 - b1) * g[n]) for n in g}
        m = {n: b2 * m[n] + (1 - b2) * g[n] for n in g}
        theta = {n: a - rate * step[n] for n, a in theta.items()}
        seen.append(theta)
    return seen


def away(arrays, expected):
    """The largest difference over the largest entry."""
    off = max(float(abs(exact(arrays[n]) - expected[n]).max()) for n in expected)
    return off / max(float(abs(a).max()) for a in expected.values())
