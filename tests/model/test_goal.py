"""What the least loss asks of attention, read off logits in two parts."""

import numpy as np

import marginflow as mf
from marginflow.losses import parse_loss
from marginflow.model.goal import TokenGoal


def test_a_lead_counts_both_parts_of_the_logits():
    """Far out leads differ in digits that the high parts no longer hold."""
    problem = mf.Problem([[[1.0], [0.0]], [[1.0], [0.0]]], [[1.0], [1.0]], [[1.0, 0.0], [1.0, 0.0]])
    high, low = np.full((1, 2, 2), 1e16), np.array([[[0.75, 0.25], [0.5, -0.5]]])
    assert TokenGoal(problem, parse_loss("exponential")).lead(high, low).tolist() == [0.5]
