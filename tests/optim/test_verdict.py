"""What is said of the end of a run of steps: what the flow's theorems give, and that they are of the flow."""

import numpy as np
import pytest

import marginflow as mf


def test_below_the_barrier_the_proof_is_an_observation():
    path = mf.descend("sphere:n=3,T=4,d=5,seed=2", "w", "ngd", iterations=1500)
    v = path.verdict
    assert v.status.name == "minimal_loss" and v.proof == "observed" and v.log_excess < v.log_barrier
    since = int(v.reason.split("since iteration ")[1].split(":")[0])
    i = list(path.iteration).index(since)
    assert (path.log_excess[i:] < v.log_barrier).all() and path.log_excess[i - 1] >= v.log_barrier


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("ngd", "rule calls these tokens"),
        ("spectral", "in the operator norm"),
        ("muon", "none is predicted"),
    ],
)
def test_off_the_optimal_tokens_nothing_is_proved(optimizer, words):
    path = mf.descend("trap:finite", "w", optimizer, seed=3, scale=2.0, iterations=1500)
    assert path.margin[-1] < -20
    assert path.status.name == "undecided" and path.verdict.wrong and not path.verdict.proof
    assert words in path.reason
    assert path.verdict.wrong == tuple(
        (int(i), int(path.selected(-1)[i])) for i in np.flatnonzero(path.selected(-1) != path.problem.optimal)
    )


def test_a_short_run_says_that_it_is_short():
    path = mf.descend("sphere:n=3,T=4,d=5,seed=2", "w", "ngd", iterations=3)
    assert path.status.name == "undecided" and ("below the 20" in path.reason or "not yet below" in path.reason)


def test_what_steps_reach_is_called_observed():
    """The flow's sentence says where the loss goes; of steps nothing proves that."""
    path = mf.descend("trap:infinity", "w", "ngd", iterations=100, rate=0.3)
    flow = mf.integrate("trap:infinity", "w", until_margin=20.0)
    assert path.verdict.proof == "observed" and path.status is flow.status is mf.FlowStatus.minimal_loss
    assert "observed, not proved" in path.verdict.sentence and "goes to its minimum" not in path.verdict.sentence
    assert flow.verdict.sentence == flow.status.value
    assert "observed, not proved" in path._repr_html_()
