"""What must not change the answer, and what must change it in a known way (theory 3.7)."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import floats, integers, sampled_from

import bank
import marginflow as mf


QUICK = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROTATING = ("nuclear", "frobenius", "operator")


def _rotation(rng, d):
    return np.linalg.qr(rng.standard_normal((d, d)))[0]


@QUICK
@given(integers(0, 10**6), sampled_from(ROTATING))
def test_rotating_tokens_and_queries_rotates_the_weights(seed, norm):
    rng = np.random.default_rng(seed)
    problem = bank.sphere(3, 3, 5, seed, d_z=4)
    U, V = _rotation(rng, 5), _rotation(rng, 4)
    turned = mf.Problem(problem.X @ U.T, problem.z @ V.T, problem.scores)
    one, two = mf.solve(problem, norm), mf.solve(turned, norm)
    assert two.value == pytest.approx(one.value, rel=3e-9)
    if norm == "frobenius":
        np.testing.assert_allclose(two.W, U @ one.W @ V.T, atol=1e-6 * one.value)


@QUICK
@given(integers(0, 10**6), sampled_from(bank.NORMS), floats(1e-3, 1e3), floats(1e-3, 1e3))
def test_units_scale_the_value(seed, norm, s, t):
    problem = bank.sphere(2, 3, 6, seed)
    scaled = mf.Problem(problem.X * s, problem.z * t, problem.scores)
    one, two = mf.solve(problem, norm), mf.solve(scaled, norm)
    assert two.status is one.status
    if one.status is mf.SvmStatus.optimal:
        assert two.value * s * t == pytest.approx(one.value, rel=3e-9)


@QUICK
@given(integers(0, 10**6), sampled_from(bank.NORMS))
def test_order_does_not_matter(seed, norm):
    rng = np.random.default_rng(seed)
    problem = bank.sphere(3, 3, 7, seed)
    samples, tokens = rng.permutation(3), rng.permutation(3)
    shuffled = mf.Problem(problem.X[samples][:, tokens], problem.z[samples], problem.scores[samples][:, tokens])
    one, two = mf.solve(problem, norm), mf.solve(shuffled, norm)
    assert two.status is one.status
    if one.status is mf.SvmStatus.optimal:
        assert two.value == pytest.approx(one.value, rel=3e-9)


@QUICK
@given(integers(0, 10**6), sampled_from(bank.NORMS))
def test_a_common_shift_of_a_samples_tokens_does_not_matter(seed, norm):
    rng = np.random.default_rng(seed)
    problem = bank.sphere(2, 3, 6, seed)
    moved = mf.Problem(problem.X + rng.standard_normal((2, 1, 6)), problem.z, problem.scores)
    one, two = mf.solve(problem, norm), mf.solve(moved, norm)
    assert two.status is one.status
    if one.status is mf.SvmStatus.optimal:
        assert two.value == pytest.approx(one.value, rel=1e-8)


@QUICK
@given(integers(0, 10**6), sampled_from(bank.NORMS))
def test_fewer_constraints_never_cost_more(seed, norm):
    constraints = bank.sphere(2, 4, 7, seed).constraints()
    part = constraints.restrict(np.arange(0, len(constraints), 2))
    all_of_them, some = mf.solve(constraints, norm), mf.solve(part, norm)
    assert some.certificate.lower <= all_of_them.certificate.upper


@QUICK
@given(integers(0, 10**6))
def test_norms_are_ordered(seed):
    problem = bank.sphere(2, 3, 6, seed)
    values = {norm: mf.solve(problem, norm).certificate for norm in bank.MATRIX_NORMS}
    assert values["operator"].lower <= values["frobenius"].upper
    assert values["frobenius"].lower <= values["nuclear"].upper
    diagonal = mf.solve(problem, "l2").certificate
    # diag(beta) is one of the matrices allowed.
    assert values["frobenius"].lower <= diagonal.upper


@QUICK
@given(integers(0, 10**6), sampled_from(bank.NORMS))
def test_kkt_conditions(seed, norm):
    problem = bank.sphere(2, 3, 7, seed)
    solution = mf.solve(problem, norm)
    if solution.status is not mf.SvmStatus.optimal:
        return
    W = solution.beta if solution.norm.diagonal else solution.W
    margins = solution.constraints.margins(W)
    assert solution.dual.min() >= 0
    assert margins.min() >= 1 - 1e-9
    assert solution.dual @ (margins - 1) <= 1e-8 * solution.value
    assert solution.dual.sum() == pytest.approx(solution.value, rel=2e-9)
