"""Claims must notice when the code under them is wrong: three mutations, each caught by a claim."""

import numpy as np
import pytest

from marginflow import norms
from marginflow.claims import diagonal, registry, runs
from marginflow.diagnostics import balance
from marginflow.norms import Frobenius, Nuclear
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem


@pytest.fixture(autouse=True)
def fresh():
    """Each mutant makes its own runs, and leaves none behind."""
    runs.forget()
    yield
    runs.forget()


def test_nothing_fails_unmutated() -> None:
    assert all(result.holds for result in registry.run(["kq-nuclear", "conservation", "dead-start"]))


def test_the_frobenius_norm_in_place_of_the_nuclear_one_is_noticed(monkeypatch) -> None:
    for method in ("value", "dual_value", "value_upper", "dual_upper"):
        monkeypatch.setattr(Nuclear, method, getattr(Frobenius, method))
    (result,) = registry.run(["kq-nuclear"])
    assert not result.holds


def test_the_name_nuclear_giving_the_frobenius_norm_is_noticed(monkeypatch) -> None:
    monkeypatch.setitem(norms._NAMED, "nuclear", Frobenius())
    (result,) = registry.run(["kq-nuclear"])
    assert not result.holds


def test_a_flipped_sign_in_the_conserved_quantity_is_noticed(monkeypatch) -> None:
    monkeypatch.setattr(balance, "conserved", lambda K, Q: K.T @ K + Q.T @ Q)
    (result,) = registry.run(["conservation"])
    assert not result.holds


def test_a_dropped_constraint_is_noticed(monkeypatch) -> None:
    whole = Problem.constraints

    def dropped(self, *args, **options) -> Constraints:
        rows = whole(self, *args, **options)
        return rows.restrict(np.arange(len(rows)) > 0)

    monkeypatch.setattr(Problem, "constraints", dropped)
    (result,) = registry.run(["kq-nuclear"])
    assert not result.holds


def test_a_wrong_force_is_noticed(monkeypatch) -> None:
    # beta' = g o beta would be another flow: its mirror coordinate is log beta.
    monkeypatch.setattr(diagonal, "mirror_coordinate", lambda beta, c: np.log(np.abs(beta)))
    (result,) = registry.run(["reparameterisation"])
    assert not result.holds
