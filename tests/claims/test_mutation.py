"""Claims must notice when the code under them is wrong: each mutation is caught by a claim that holds without it."""

import numpy as np
import pytest
from few_faces import one_of_each

from marginflow.claims import registry, runs
from marginflow.diagnostics import balance
from marginflow.model import diagonal_key_query
from marginflow.norms import Frobenius, Nuclear, registry as norm_names
from marginflow.problem.constraints import Constraints
from marginflow.problem.problem import Problem


@pytest.fixture(autouse=True)
def fresh():
    """Each mutant makes its own runs, and leaves none behind."""
    runs.forget()
    yield
    runs.forget()


def test_the_frobenius_norm_in_place_of_the_nuclear_one_is_noticed(monkeypatch) -> None:
    for method in ("value", "dual_value", "value_upper", "dual_upper"):
        monkeypatch.setattr(Nuclear, method, getattr(Frobenius, method))
    (result,) = registry.run(["kq-nuclear"])
    assert not result.holds


def test_the_name_nuclear_giving_the_frobenius_norm_is_noticed(monkeypatch) -> None:
    monkeypatch.setitem(norm_names._NAMED, "nuclear", Frobenius())
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


@pytest.mark.parametrize("error", [1e-3, -1e-3])
def test_a_wrong_force_is_noticed(monkeypatch, error) -> None:
    """One coordinate of the force on k and q, off by a thousandth: the mirror coordinate does not follow it."""
    true = diagonal_key_query._Product.vjp

    def wrong(self, theta, G):
        out = true(self, theta, G)
        out[:, 0, 0] *= 1.0 + error
        return out

    monkeypatch.setattr(diagonal_key_query._Product, "vjp", wrong)
    (result,) = registry.run(["reparameterisation"])
    assert not result.holds and not result.failure


def test_the_faces_of_another_loss_are_noticed(monkeypatch) -> None:
    from marginflow.claims import faces
    from marginflow.losses import CrossEntropy

    one_of_each(monkeypatch)
    true = faces.faces
    monkeypatch.setattr(faces, "faces", lambda problem, loss: true(problem, CrossEntropy(0.01)))
    (result,) = registry.run(["faces-before-training"])
    assert not result.holds


def test_a_wrong_predicted_face_is_noticed(monkeypatch) -> None:
    """One member of one face left out, its share given to the others: all other rows are as predicted."""
    from dataclasses import replace

    from marginflow.claims import faces

    one_of_each(monkeypatch)
    true = faces.faces

    def wrong(problem, loss):
        found = true(problem, loss)
        row = int(np.argmax(found.members.sum(axis=1)))
        least = int(np.argmin(np.where(found.members[row], found.shares[row], np.inf)))
        members, shares = found.members.copy(), found.shares.copy()
        members[row, least], shares[row, least] = False, 0.0
        shares[row] /= shares[row].sum()
        return replace(found, members=members, shares=shares)

    monkeypatch.setattr(faces, "faces", wrong)
    (result,) = registry.run(["faces-before-training"])
    assert not result.holds and not result.failure
