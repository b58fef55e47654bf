"""Many more columns than queries: the same optimum from the span of the queries."""

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.norms import Frobenius
from marginflow.svm.euclidean import span_of_queries
from marginflow.svm.program import Svm


def test_the_span_has_the_same_optimum(monkeypatch):
    monkeypatch.setattr(span_of_queries, "_SMALL", 1000)
    constraints = bank.sphere(12, 6, 20, d_z=40).constraints()
    scaled = mf.Constraints(constraints.a, constraints.sample, constraints.z * np.logspace(-4, 4, 12)[:, None])
    for rows in (constraints, scaled):
        svm = Svm(rows, Frobenius())
        found = span_of_queries.in_span_of_queries(svm)
        assert found is not None and found[0].shape == (20, 12)
        inside = mf.solve(rows, "frobenius", 1e-11)
        again = mf.solve(rows, "frobenius", 1e-11, start=inside)
        monkeypatch.setattr(span_of_queries, "_SMALL", 10**9)
        assert span_of_queries.in_span_of_queries(svm) is None
        whole = mf.solve(rows, "frobenius", 1e-11)
        monkeypatch.setattr(span_of_queries, "_SMALL", 1000)
        assert inside.status is again.status is whole.status is mf.SvmStatus.optimal
        assert inside.value == pytest.approx(whole.value, rel=1e-11)
        assert again.value == pytest.approx(whole.value, rel=1e-11)
        assert again.iterations["gradient"] == 0
