"""Newton's system solved by products, against its factors; first-order steps in single precision."""

import numpy as np
import pytest
from peers import unit_sphere

import marginflow as mf
from marginflow.svm.scaling import query_blocks
from marginflow.svm.scaling.conjugate_gradients import conjugate_gradients
from marginflow.svm.scaling.presolve import presolve
from marginflow.svm.spectral import face_newton, first_order, nuclear_conjugate, solve_spectral
from marginflow.svm.spectral.nuclear import Nuclear


def near(constraints, gap):
    """The operator of the constraints and the first point of first-order steps below this gap."""
    A = presolve(constraints).operator
    for _, point, _ in first_order.iterate(A, Nuclear()):
        if point.gap < gap:
            return A, point
    raise AssertionError


def systems(constraints):
    """What both ways of solving take, at a point close to the optimum."""
    A, point = near(constraints, 1e-3)
    B = A.adjoint(point.dual) / Nuclear().dual_value(A.adjoint(point.dual))
    dual, W = point.dual / Nuclear().dual_value(A.adjoint(point.dual)), point.W
    omega = 2.0 * np.linalg.norm(B) / np.linalg.norm(W)
    U, s, Vt = np.linalg.svd(omega * W + B)
    face = Nuclear().face(s, omega, A.shape)
    J = np.flatnonzero(dual > 0.0)
    return A, face, U, Vt, J, dual, A.margins((U[:, : len(s)] * face.w) @ Vt[: len(s)])


CASES = [unit_sphere(12, 8, 10), unit_sphere(12, 8, 10, d_z=15), unit_sphere(12, 8, 16, d_z=7)]


@pytest.mark.parametrize("case", range(3))
@pytest.mark.parametrize("block, few", [(1, 0), (3, 0), (64, 0), (64, 1000)])
def test_products_solve_the_system_that_is_factored(case, block, few, monkeypatch):
    monkeypatch.setattr(nuclear_conjugate, "FEW", few)
    monkeypatch.setattr(query_blocks, "BLOCK", block)
    monkeypatch.setattr(nuclear_conjugate, "ROUNDS", 30)
    monkeypatch.setattr(nuclear_conjugate, "ACCURACY", 1e-4)
    A, face, U, Vt, J, dual, margins = systems(CASES[case])
    want, free = face_newton._solve(A, face, (U, Vt), J, dual, margins)
    got, S = face.without_matrix(A.restrict(J), U, Vt).solve(dual[J], margins[J], 1e-9)
    assert np.abs(got - want).max() <= 1e-4 * np.abs(want).max()
    assert np.abs(S - free).max() <= 1e-4 * max(np.abs(free).max(), face.w.max())


def test_the_preconditioner_inverts_a_single_query():
    """All constraints of one block: the first residual is the last but for its ridge."""
    A, face, U, Vt, J, _, _ = systems(mf.Constraints(unit_sphere(1, 6, 8).a, np.zeros(5, dtype=int), np.ones((1, 4))))
    curvature = nuclear_conjugate._Curvature.of(face.without_matrix(A.restrict(J), U, Vt))
    x = np.arange(1.0, len(J) + 1, dtype=np.float32)
    back = curvature.inverse_by_query()(curvature.product(x))
    assert np.abs(back - x).max() <= 1e-2 * x.max()


def test_blocks_by_query_save_most_products(monkeypatch):
    """All rows of a query share its selected token: without the blocks each round takes several times the products."""
    counts = []

    def counted(product, b, target, **options):
        x, steps = conjugate_gradients(product, b, target, **options)
        counts[-1] += steps
        return x, steps

    monkeypatch.setattr(nuclear_conjugate, "conjugate_gradients", counted)
    monkeypatch.setattr(nuclear_conjugate, "FEW", 0)
    A, point = near(unit_sphere(30, 20, 30), 1e-2)
    for block in (64, 1):
        monkeypatch.setattr(query_blocks, "BLOCK", block)
        counts.append(0)
        polished, _ = face_newton.face_newton(A, Nuclear(), point, 1e-9, direct=0)
        assert polished.gap <= 1e-9
    assert 1.5 * counts[0] < counts[1]


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("size", [(30, 20, 30), (20, 8, 40)])
def test_values_and_certificates_do_not_depend_on_how_newton_is_solved(size, few, monkeypatch):
    monkeypatch.setattr(nuclear_conjugate, "FEW", few)
    constraints, systems = unit_sphere(*size), []
    solve = nuclear_conjugate.NuclearSystem.solve

    def counted(self, *system):
        systems.append(self)
        return solve(self, *system)

    monkeypatch.setattr(nuclear_conjugate.NuclearSystem, "solve", counted)
    factored = mf.solve(constraints, "nuclear")
    assert systems == []
    monkeypatch.setattr("marginflow.svm.spectral.solve_spectral._Search.direct", 0)
    products = mf.solve(constraints, "nuclear")
    assert len(systems) >= 3
    assert products.status is factored.status is mf.SvmStatus.optimal
    assert products.value == pytest.approx(factored.value, rel=2e-9)
    assert products.rank == factored.rank


@pytest.mark.parametrize("size", [(30, 10, 30), (20, 8, 20)])
def test_products_take_as_many_newton_steps_as_factors(size, monkeypatch):
    """As rough near the optimum as far from it they take seven, where factors take five."""
    monkeypatch.setattr(nuclear_conjugate, "FEW", 0)
    steps = []
    for direct in (4000, 0):
        monkeypatch.setattr("marginflow.svm.spectral.solve_spectral._Search.direct", direct)
        steps.append(mf.solve(unit_sphere(*size), "nuclear").iterations["newton"])
    assert steps[1] <= steps[0] + 1


@pytest.mark.parametrize("near, then", [(0.0, 0), (1.0, face_newton.FACTORED)])
def test_an_attempt_that_fails_is_made_again_soon(near, then, monkeypatch):
    """By products again where it set out from far away, by factors from near."""
    attempts, polished = [], solve_spectral.face_newton

    def watched(A, norm, start, tol, **options):
        attempts.append((options["direct"], start.gap))
        return (start, 0) if len(attempts) == 1 else polished(A, norm, start, tol, **options)

    monkeypatch.setattr(solve_spectral._Search, "direct", 0)
    monkeypatch.setattr(solve_spectral, "NEAR", near)
    monkeypatch.setattr(solve_spectral, "face_newton", watched)
    solution = mf.solve(unit_sphere(30, 10, 30), "nuclear")
    assert [direct for direct, _ in attempts] == [0, then]
    assert solution.status is mf.SvmStatus.optimal and solution.iterations["first_order"] <= 70
    assert attempts[1][1] > attempts[0][1] / 5.0


def test_a_factor_in_single_precision_leaves_one_product_a_round(monkeypatch):
    """As many Newton steps as by factors in double precision, four rounds each; without its larger rho ten."""
    counts = []

    def counted(product, b, target, **options):
        x, steps = conjugate_gradients(product, b, target, **options)
        counts.append(steps)
        return x, steps

    constraints = unit_sphere(40, 8, 16)
    factored = mf.solve(constraints, "nuclear")
    monkeypatch.setattr(nuclear_conjugate, "conjugate_gradients", counted)
    monkeypatch.setattr(solve_spectral._Search, "direct", 0)
    found = mf.solve(constraints, "nuclear")
    assert found.iterations["newton"] <= factored.iterations["newton"] + 1
    assert sum(counts) <= 1.2 * len(counts) and len(counts) <= 6 * found.iterations["newton"]


def test_a_matrix_that_is_not_positive_in_single_precision_is_not_factored(monkeypatch):
    A, face, U, Vt, J, _, _ = systems(CASES[0])
    curvature = nuclear_conjugate._Curvature.of(face.without_matrix(A.restrict(J), U, Vt))
    x = np.arange(1.0, len(J) + 1, dtype=np.float32)
    by_factor, by_query = curvature.inverse_by_factor()(x), curvature.inverse_by_query()(x)
    assert np.array_equal(curvature.inverse()(x), by_factor) and not np.allclose(by_factor, by_query, rtol=1e-2)
    monkeypatch.setattr(nuclear_conjugate, "RIDGE", -1.0)
    assert np.array_equal(curvature.inverse()(x), by_query)


def steps_to(A, gap, most=2000):
    """First-order steps to this gap, and the precision of the products of each ten of them."""
    seen = []
    margins = type(A).margins

    def watched(self, W):
        seen.append(W.dtype)
        return margins(self, W)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(A), "margins", watched)
        for total, point, _ in first_order.iterate(A, Nuclear()):
            if point.gap < gap or total >= most:
                return total, point, seen
    raise AssertionError


def test_first_order_steps_change_to_double_precision(monkeypatch):
    A = presolve(unit_sphere(20, 8, 20)).operator
    total, _, seen = steps_to(A, 1e-9)
    assert {np.dtype(np.float64)} == set(seen)
    monkeypatch.setattr(first_order, "FOCUS_SIZE", 0)
    again, point, seen = steps_to(A, 1e-9)
    assert point.gap < 1e-9 and again <= 1.3 * total
    assert point.W.dtype == point.dual.dtype == np.float64
    assert seen.count(np.dtype(np.float32)) > 50 and seen[-1] == np.float64
    # what single precision alone cannot do
    monkeypatch.setattr(first_order, "SINGLE", 0.0)
    assert steps_to(A, 1e-9, most=2 * again)[1].gap > 1e-9


def test_a_ray_is_looked_for_in_double_precision(monkeypatch):
    monkeypatch.setattr(first_order, "FOCUS_SIZE", 0)
    rng = np.random.default_rng(0)
    A = presolve(mf.Constraints(rng.standard_normal((60, 3)), np.arange(60), rng.standard_normal((60, 3)))).operator
    for unseparated, proves in ((100, True), (10**9, False)):
        monkeypatch.setattr(first_order, "UNSEPARATED", unseparated)
        lowest = 0.0
        with np.errstate(all="ignore"):
            for total, point, _ in first_order.iterate(A, Nuclear()):
                lowest = max(lowest, point.lower)
                if total >= 400:
                    break
        assert (lowest > 1e11) is proves


@pytest.mark.parametrize("direct", [0, 4000])
def test_a_solve_stops_at_the_tolerance_asked(direct, monkeypatch):
    """Fewer first-order and Newton steps for fewer digits; from 1e-2 on a gap no tighter than Newton's last step."""
    monkeypatch.setattr("marginflow.svm.spectral.solve_spectral._Search.direct", direct)
    constraints = unit_sphere(30, 20, 30)
    found = [mf.solve(constraints, "nuclear", tol) for tol in (0.3, 1e-2, 1e-4, 1e-9)]
    assert all(s.certificate.gap <= s.tol for s in found)
    steps = [s.iterations["first_order"] for s in found]
    newton = [s.iterations.get("newton", 0) for s in found]
    assert steps[0] < steps[1] and newton[0] == 0
    assert newton[1] < newton[2] < newton[3]
    assert found[0].certificate.gap > 1e-2 and found[1].certificate.gap > 1e-5


def test_bounds_of_single_precision_steps_count_what_cancels_there_only(monkeypatch):
    """Rows that are opposed up to 2e-9: in single precision their dual matrix is 0, which would prove anything.

    Entries are powers of two there, so that it is 0 in whatever order and with whatever roundings it is added.
    """
    monkeypatch.setattr(first_order, "FOCUS_SIZE", 0)
    one, other = np.full(4, 0.5), np.full(4, -0.5) + 1e-9 * np.array([1.0, -1.0, 1.0, -1.0])
    A = presolve(mf.Constraints([one, other] * 2, [0] * 4, [[1.0, 0.0]])).operator
    assert np.array_equal(A.a.astype(np.float32), np.float32([[0.5] * 4, [-0.5] * 4] * 2))
    points = [point for (_, point, _), _ in zip(first_order.iterate(A, Nuclear()), range(9), strict=False)]
    assert 0.0 < max(point.lower for point in points) <= 3e9 * A.h.max()
