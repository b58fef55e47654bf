"""Wrong shapes are caught while tests run, also those that NumPy would broadcast without a word."""

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import TypeCheckError

import marginflow as mf
from marginflow.claims import aligned
from marginflow.diagnostics import alignment
from marginflow.diagnostics.kkt import factored_residual
from marginflow.losses import parse_loss
from marginflow.model.force import force
from marginflow.model.logits import Logits
from marginflow.problem.random import sphere
from shapes import DOORS, F, checked


WRONG = (TypeCheckError, BeartypeCallHintViolation)


def at_random(problem):
    logits = Logits(
        np.random.default_rng(0).standard_normal((2, problem.n, problem.T)), np.zeros((2, problem.n, problem.T))
    )
    return force(logits, problem.scores[None], parse_loss("exponential"))


def test_a_column_in_place_of_a_row_is_caught():
    """(B, n, 1) broadcasts to (B, n, T): a wrong number without an error."""
    problem = sphere(n=3, T=4, d=5, seed=0)
    here = at_random(problem)
    assert here.jvp(np.ones((2, 3, 4))).shape == (2, 3, 4)
    for wrong in (np.ones((2, 3, 1)), np.ones((1, 3, 4)), np.ones(4)):
        with pytest.raises(WRONG):
            here.jvp(wrong)
        with pytest.raises(WRONG):
            here.psi_rate(wrong)


def test_dimensions_that_should_agree_are_compared():
    draw = np.random.default_rng(0)
    K, Q, G = draw.standard_normal((5, 2)), draw.standard_normal((4, 2)), draw.standard_normal((5, 4))
    alignment.alignment(K, Q, G)
    with pytest.raises(WRONG):
        alignment.alignment(K, Q, G.T)
    with pytest.raises(WRONG):
        factored_residual(np.ones(3), np.ones(3), np.ones(4), np.ones(1), 2)


def test_a_type_that_is_no_float64_matrix_is_caught():
    rows = sphere(n=3, T=4, d=5, seed=0).constraints()
    with pytest.raises(WRONG):
        rows.adjoint(np.ones(len(rows), dtype=int))
    with pytest.raises(WRONG):
        rows.adjoint(np.ones((len(rows), 1)))


def test_the_copies_stand_everywhere_the_doors_are_known():
    """Also where a module took the function by name before the check was made."""
    assert hasattr(aligned.alignment, "__shapes__") and aligned.alignment is alignment.alignment
    assert hasattr(mf.Constraints.margins, "__shapes__") and len(DOORS) >= 15


def test_a_door_that_changed_its_arguments_is_named():
    def door(W):
        return W

    with pytest.raises(AssertionError, match="no \\['dual'\\]"):
        checked(door, {"dual": np.ndarray})


def test_what_differs_from_a_call_that_passed_is_checked():
    """In the shape or type of an argument, in a size that only `self` has, in what comes out of the same arguments."""

    class Rows:
        def __init__(self, size, makes=3):
            self.size, self.makes = size, makes

        def door(self, x):
            return np.ones(self.makes)

    Rows.door = checked(Rows.door, {"x": F("{self.size} n"), "return": F("n")})
    for _ in range(2):
        assert Rows(2).door(np.ones((2, 3))).shape == Rows(4).door(x=np.ones((4, 3))).shape == (3,)
    for rows, x in (
        (Rows(2), np.ones((2, 4))),
        (Rows(2), np.ones((2, 3), dtype=int)),
        (Rows(2), [[1.0, 1.0, 1.0]] * 2),
        (Rows(4), np.ones((2, 3))),
        (Rows(2, makes=4), np.ones((2, 3))),
    ):
        for _ in range(2):
            with pytest.raises(WRONG):
                rows.door(x)
