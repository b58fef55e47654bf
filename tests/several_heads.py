"""Problems with several heads: rows in any order, ragged, every head another number of tokens a row."""

import numpy as np

import marginflow as mf


def several_heads(seed, *, outputs=4, tokens=5, d=8, heads=2, ragged=True, missing=0):
    """`outputs` x `heads` rows in random order, `missing` of them left out; every output and head keeps a row."""
    rng = np.random.default_rng(seed)
    rows = [(o, h) for h in range(heads) for o in range(outputs)]
    if missing:
        gone = {(o % outputs, o % heads) for o in range(missing)}
        rows = [row for row in rows if row not in gone]
    rows = [rows[i] for i in rng.permutation(len(rows))]
    n = len(rows)
    X, z = rng.standard_normal((n, tokens, d)), rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=2, keepdims=True)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    lengths = rng.integers(2, tokens + 1, n) if ragged else np.full(n, tokens)
    mask = np.arange(tokens) < lengths[:, None]
    scores = np.where(mask, rng.standard_normal((n, tokens)) / 3, 0.0)
    output, head = (np.array(column) for column in zip(*rows, strict=True))
    return mf.Problem(X * mask[..., None], z, scores, mask=mask, output=output, head=head)


def of_one_head(problem, h):
    """The rows of one head as a problem of their own."""
    own = problem.head == h
    return mf.Problem(problem.X[own], problem.z[own], problem.scores[own], mask=problem.mask[own])


def lifted(problem):
    """The same as a problem of one head: tokens e_h x, queries e_h z, so that W is block-diagonal."""
    n, T, d = problem.X.shape
    H, d_z = problem.counts[1], problem.d_z
    X, z = np.zeros((n, T, H, d)), np.zeros((n, H, d_z))
    X[np.arange(n), :, problem.head] = problem.X
    z[np.arange(n), problem.head] = problem.z
    return mf.Problem(
        X.reshape(n, T, H * d), z.reshape(n, H * d_z), problem.scores, mask=problem.mask, output=problem.output
    )
