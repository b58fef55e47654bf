"""Late time: the constants of theory 5.1, the table of 5.3, rank caps, and float64's floor at 1e12."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.problem import named


def run(spec, model, **options):
    return mf.integrate(named.load(spec), model, **{"seed": 0, "until_margin": 1e9} | options)


CASES = ["angle:c=0.5", "spiked:n=5,c=0.4", "sign-orbit"]


@pytest.mark.parametrize("spec", CASES)
@pytest.mark.parametrize("margin", [1e9, 1e12])
def test_time_constant_of_keys_and_queries(spec, margin):
    """2 gamma_N e t log t -> 1 (theory 5.1).

    The law holds to 1e-4 at 1e9. Both exponents are sums at the size of the margin: four roundings in the log of
    the force, two in log t, three in the excess, each of half a unit in the last place.
    """
    problem = named.load(spec)
    path = run(spec, mf.KeyQuery(width=min(problem.d, problem.d_z)), until_margin=margin)
    assert path.status.name == "minimal_loss" and path.margin[-1] >= margin * 0.99
    gamma = 1 / named.family(spec).values["nuclear"]
    log_t = path.log_time[-1]
    constant = np.exp(path.log_excess[-1] + log_t + np.log(log_t) + np.log(2 * gamma))
    assert abs(constant - 1) <= 1e-4 + 9 * np.spacing(log_t) / 2


@pytest.mark.parametrize("spec", CASES)
def test_time_constant_of_one_matrix(spec):
    """e t gamma_F^2 -> 1 (theory 5.1)."""
    path = run(spec, mf.Combined())
    gamma = 1 / named.family(spec).values["frobenius"]
    assert abs(np.exp(path.log_excess[-1] + path.log_time[-1]) * gamma**2 - 1) <= 1e-4


@pytest.mark.parametrize(
    "k, q, end",
    [
        ([0.3, 0.5], [0.1, -0.2], [0.5, 0.0]),
        ([0.1, 0.1], [0.1, 0.1], [0.5, 0.0]),
        ([0.0, 0.3], [0.0, 0.1], [0.0, 1.0]),
        ([0.1, 0.3], [-0.1, 0.1], [0.0, 1.0]),
        ([0.001, 0.3], [-0.0005, 0.1], [0.5, 0.0]),
    ],
    ids=["generic", "balanced", "dead", "wrong sign", "tiny"],
)
def test_role_of_the_start(k, q, end):
    """Theory 5.3: all reach the minimal loss; a dead or wrongly signed balanced coordinate stays at (0, 1)."""
    problem = mf.Problem(np.array([[[2.0, 1.0], [0.0, 0.0]]]), np.array([[1.0, 1.0]]), [[1.0, 0.0]])
    path = mf.integrate(problem, mf.DiagonalKeyQuery(), init=(k, q), until_margin=1e12)
    assert path.status.name == "minimal_loss"
    np.testing.assert_allclose(np.diag(path.W(-1)) / path.margin[-1], end, atol=2e-4)


def test_conserved_quantity_holds_unprojected():
    for rtol in (1e-6, 1e-9):
        assert run("digits:n=4", mf.KeyQuery(width=5), rtol=rtol, until_margin=1e4).conserved_drift <= 20 * rtol


def test_aligned_start_stays_diagonal():
    """Theory 6.5: on sign-orbit data diagonal K, Q stay diagonal, and the diagonal flow gives the same path."""
    k, q = np.array([0.3, 0.5]), np.array([0.1, -0.2])
    full = mf.integrate(named.load("sign-orbit"), mf.KeyQuery(2), init=(np.diag(k), np.diag(q)), until_margin=300)
    off = full.W(-1) - np.diag(np.diag(full.W(-1)))
    assert np.abs(off).max() < 1e-20  # exactly 0 in real numbers; the sums over the orbit round
    diagonal = mf.integrate(named.load("sign-orbit"), mf.DiagonalKeyQuery(), init=(k, q), until_margin=300)
    # Theory 3.8: arcsinh(2 beta_j / |c_j|) grows in the ratio of the forces, which is 2 : 1 here for ever.
    c = np.abs(k**2 - q**2)
    for path in (full, diagonal):
        grown = np.arcsinh(2 * np.diag(path.W(-1)) / c) - np.arcsinh(2 * k * q / c)
        assert grown[0] == pytest.approx(2 * grown[1], rel=1e-6)


def test_rank_cap_stops_above_the_nuclear_value():
    """Theory 5.5: width 1 below the nuclear rank drives the loss down and ends with a larger nuclear norm."""
    problem = named.load("sphere:n=5,T=4,d=6,seed=0")
    solution = mf.solve(problem, "nuclear")
    assert solution.rank is not None and solution.rank > 1
    found = [p for p in mf.integrate_many(problem, mf.KeyQuery(1), seeds=range(6)) if p.status.name == "minimal_loss"]
    assert found
    for path in found:
        size = np.linalg.svd(path.W(-1), compute_uv=False).sum() / path.margin[-1]
        assert size > solution.value * 1.001


def test_log_time_matches_an_explicit_integrator():
    """An independent referee: SciPy's DOP853 on dW/dt = G in log time, from the definition of the loss."""
    from scipy.integrate import solve_ivp

    problem = named.load("sphere:n=3,T=3,d=3,seed=0")
    path = mf.integrate(problem, mf.Combined(), seed=1, until_margin=8.0, rtol=1e-8)

    def rate(log_t, flat):
        W = flat.reshape(3, 3)
        s = np.einsum("nld,de,ne->nl", problem.X, W, problem.z)
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        mean = (p * problem.scores).sum(axis=1, keepdims=True)
        force = np.exp(-mean) * p * (problem.scores - mean) / problem.n
        return np.exp(log_t) * np.einsum("nl,nld,ne->de", force, problem.X, problem.z).ravel()

    start = path.W(0)
    first = -20.0
    got = solve_ivp(rate, (first, path.log_time[-1]), start.ravel(), method="DOP853", rtol=1e-11, atol=1e-13)
    assert got.success
    np.testing.assert_allclose(got.y[:, -1].reshape(3, 3), path.W(-1), rtol=0, atol=1e-6 * np.abs(path.W(-1)).max())
