"""Random problems by seed: the settings of the experiments in theory 2.1 and two variants."""

import numpy as np

from marginflow.arrays import Floats
from marginflow.errors import InputError
from marginflow.problem.problem import Problem


def sphere(n: int = 6, T: int = 8, d: int = 10, seed: int = 0, dz: int = 0, *, name: str = "") -> Problem:
    """Tokens, queries and head uniform on the unit sphere, random labels; scores y v'x (theory 2.1).

    `dz` = 0 gives queries the dimension of the tokens.
    """
    draw = _draw("sphere", n, T, d, seed, dz)
    X, z, v = (_unit(draw.standard_normal(shape)) for shape in ((n, T, d), (n, dz or d), (d,)))
    y = draw.choice([-1.0, 1.0], size=n)
    return Problem.from_head(X, z, y, v, name=name or _name("sphere", n, T, d, seed, dz))


def gaussian(n: int = 6, T: int = 8, d: int = 10, seed: int = 0, dz: int = 0, *, name: str = "") -> Problem:
    """As `sphere` without normalisation: rows of different lengths."""
    draw = _draw("gaussian", n, T, d, seed, dz)
    X, z, v = (draw.standard_normal(shape) for shape in ((n, T, d), (n, dz or d), (d,)))
    y = draw.choice([-1.0, 1.0], size=n)
    return Problem.from_head(X, z, y, v, name=name or _name("gaussian", n, T, d, seed, dz))


def equal(n: int = 6, T: int = 8, d: int = 10, seed: int = 0, dz: int = 0, *, name: str = "") -> Problem:
    """Unit-sphere tokens and queries; one random token scores 1, all others 0 (theory 3.6)."""
    draw = _draw("equal", n, T, d, seed, dz)
    X, z = (_unit(draw.standard_normal(shape)) for shape in ((n, T, d), (n, dz or d)))
    scores = np.zeros((n, T))
    scores[np.arange(n), draw.integers(T, size=n)] = 1.0
    return Problem(X, z, scores, name=name or _name("equal", n, T, d, seed, dz))


def heads(n: int = 5, T: int = 5, d: int = 8, H: int = 2, seed: int = 0) -> Problem:
    """Unit-sphere tokens and queries seen by H heads that add up, each with a head vector of its own (theory 10.1)."""
    draw = _draw("heads", n, T, d, seed, 0)
    if H < 1:
        raise InputError(f"heads: got H={H}; expected at least 1")
    X, z, v = (_unit(draw.standard_normal(shape)) for shape in ((n, T, d), (n, d), (H, d)))
    y = draw.choice([-1.0, 1.0], size=n)
    scores = y[:, None, None] * np.einsum("ntd,hd->nht", X, v)
    return Problem(
        X.repeat(H, axis=0),
        z.repeat(H, axis=0),
        scores.reshape(n * H, T),
        output=np.arange(n).repeat(H),
        head=np.tile(np.arange(H), n),
        name=f"heads:n={n},T={T},d={d},H={H},seed={seed}",
    )


def classes(n: int = 4, T: int = 5, d: int = 8, k: int = 4, seed: int = 0, scale: float = 3.0) -> Problem:
    """Unit-sphere tokens and queries, k classes: the logits of a token are a random classifier's (theory 10.2)."""
    draw = _draw("classes", n, T, d, seed, 0)
    if k < 2 or not 0.0 < scale < 1e6:
        raise InputError(f"classes: got k={k}, scale={scale:g}; expected k >= 2 and 0 < scale < 1e6")
    X, z = (_unit(draw.standard_normal(shape)) for shape in ((n, T, d), (n, d)))
    values = X @ (scale * draw.standard_normal((d, k)))
    more = f",scale={scale!r}" if scale != 3.0 else ""
    name = f"classes:n={n},T={T},d={d},k={k},seed={seed}{more}"
    return Problem(X, z, values=values, labels=draw.integers(k, size=n), name=name)


def _unit(rows: Floats) -> Floats:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def _draw(family: str, n: int, T: int, d: int, seed: int, dz: int) -> np.random.Generator:
    if n < 1 or T < 2 or d < 1 or seed < 0 or dz < 0:
        raise InputError(
            f"{family}: got n={n}, T={T}, d={d}, seed={seed}, dz={dz}; "
            "expected n >= 1, T >= 2, d >= 1, seed >= 0, dz >= 0"
        )
    if n * T * d > 10**8:
        raise InputError(f"{family}: got n*T*d = {n * T * d:.3g} entries; expected at most 1e8")
    return np.random.default_rng(seed)


def _name(family: str, n: int, T: int, d: int, seed: int, dz: int) -> str:
    return f"{family}:n={n},T={T},d={d},seed={seed}" + (f",dz={dz}" if dz else "")
