"""Problems that nearly contradict themselves, or whose rows and columns have sizes far apart."""

import numpy as np

import bank
import marginflow as mf


def near_contradiction(seed):
    """Constraints whose positive combination is as small as 1e-3 to 1e-14 of them."""
    rng = np.random.default_rng(seed)
    eps, d = 10.0 ** rng.uniform(-14, -3), int(rng.integers(2, 5))
    kind = seed // 6 % 4
    if kind == 0:
        a = rng.standard_normal((1, d))
        return mf.Constraints(np.vstack((a, -a[0] + eps * rng.standard_normal(d))), [0, 0], np.ones((1, d)))
    if kind == 1:
        a = rng.standard_normal((d, d))
        a = np.vstack((a, -a.T @ rng.random(d) + eps * rng.standard_normal(d)))
        return mf.Constraints(a, [0] * (d + 1), rng.standard_normal((1, d)))
    if kind == 2:
        a = rng.integers(-2, 3, (3, d)).astype(float)
        a = np.vstack((a, -a[0] - a[1] + eps * rng.standard_normal(d)))
        return mf.Constraints(a, [0] * 4, np.ones((1, d)))
    a = rng.standard_normal((2, d))
    a = np.vstack((a, -a + eps * rng.standard_normal((2, d))))
    return mf.Constraints(a, [0, 1, 0, 1], rng.standard_normal((2, d)))


def ugly(seed):
    """Near contradictions, as constraints or tokens; sizes over 2^+-50; a problem of the bank (None: no draw)."""
    kind = seed % 6
    if kind < 2:
        return near_contradiction(seed)
    if kind == 2:
        c = near_contradiction(seed)
        X = np.zeros((len(c), 2, c.shape[0]))
        X[:, 0] = c.a
        return mf.Problem(X, c.queries, np.tile([1.0, 0.0], (len(c), 1)))
    if kind == 3:
        rng, c = np.random.default_rng(seed), bank.sphere(3, 3, 4, seed).constraints()
        sizes = 2.0 ** rng.integers(-30, 31, (len(c), 1)) * 2.0 ** rng.integers(-20, 21, 4)
        return mf.Constraints(c.a * sizes, c.sample, c.z)
    return bank.random_problem(seed)
