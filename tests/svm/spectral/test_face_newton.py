"""The system of Newton's method on the face, written out."""

import numpy as np
import pytest

from marginflow.svm.spectral import face
from marginflow.svm.spectral.nuclear import Nuclear
from marginflow.svm.spectral.operator import OperatorNorm


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("norm", [Nuclear(), OperatorNorm()])
@pytest.mark.parametrize("rows", [3, 7, 64])
def test_the_gram_matrix_is_that_of_the_curvature(shape, norm, rows, monkeypatch):
    """Against Psi of every constraint as a matrix, for samples without constraints and with many."""
    monkeypatch.setattr(face, "ROWS", rows)
    rng = np.random.default_rng(sum(shape))
    d, d_z = shape
    sample = np.sort(rng.choice(5, 19, p=[0.5, 0.0, 0.2, 0.2, 0.1]))
    a, z = rng.standard_normal((19, d)), rng.standard_normal((5, d_z))
    s = np.sort(rng.random(min(shape)) + 0.5)[::-1].copy()
    s[:2] += 0.6
    found = norm.face(s, 1.3, shape)
    matrices = a[:, :, None] * z[sample][:, None, :]
    full = np.array([[np.vdot(A, found.psi(B)) for B in matrices] for A in matrices])
    assert np.abs(full).max() > 0.1
    np.testing.assert_allclose(np.tril(found.gram(a, z, sample)), np.tril(full), rtol=1e-12, atol=1e-12)
