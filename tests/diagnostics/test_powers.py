"""Off-support powers of real runs, and what has no power."""

import pytest

from marginflow.diagnostics.powers import direction_powers
from marginflow.errors import InputError
from marginflow.flow.integrate import integrate
from marginflow.model.registry import KeyQuery
from marginflow.problem.planted import spiked
from marginflow.svm.solve import solve


@pytest.fixture(scope="module")
def path():
    return integrate(spiked(5, 0.4).problem, KeyQuery(width=5), seed=0, until_margin=1e8, rtol=1e-8)


def test_the_equal_directions_of_spiked_data(path) -> None:
    found = direction_powers(path, solve(path.problem, "nuclear"))
    rho = (0.6 / 2.6) ** 0.5
    assert [power.direction for power in found] == [1, 2, 3, 4]
    for power in found:
        assert power.rho == pytest.approx(rho, abs=1e-6) and power.fit is not None
        # Next order: the off-support share, 1e-2 at margin 1e4.
        assert power.fit.power == pytest.approx(rho, abs=1e-2)
        assert abs(power.fit.power - rho) <= 10 * power.fit.error


def test_refuses_too_few_snapshots_and_other_norms(path) -> None:
    with pytest.raises(InputError, match="at least 4"):
        direction_powers(path, solve(path.problem, "nuclear"), low=1e7, high=1.1e7)
    with pytest.raises(InputError, match="frobenius"):
        direction_powers(path, solve(path.problem, "frobenius"))
