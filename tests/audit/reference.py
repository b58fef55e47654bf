"""The figures of a head the long way: the D x D matrix and NumPy's own singular values."""

import numpy as np


def long_way(head):
    """Every FIXED figure of a head that has its keys to itself, or its group's sum in `shared`."""
    W = head.scale * head.K.T @ head.Q
    m = len(head.K)
    s = np.linalg.svd(W, compute_uv=False)[:m]
    share = s / s.sum()
    held = np.cumsum(s**2) / (s**2).sum()
    keys = head.K @ head.K.T
    queries = head.Q @ head.Q.T if head.shared is None else head.shared
    size = np.linalg.norm
    spectra = [np.linalg.svd(F, compute_uv=False) for F in (head.K, head.Q)]
    return {
        "nuclear": s.sum(),
        "frobenius": size(W),
        "operator": s[0],
        "effective_rank": np.exp(-(share[share > 0] * np.log(share[share > 0])).sum()),
        "rank90": int((held < 0.9 - 1e-12).sum()) + 1,
        "balance": size(keys - queries) / (size(keys) + size(queries)),
        "alignment": s.sum() / head.scale / (spectra[0] * spectra[1]).sum(),
        "commutator": size(keys @ queries - queries @ keys) / (2 * size(keys) * size(queries)),
    }
