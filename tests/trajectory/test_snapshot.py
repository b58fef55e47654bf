"""What a snapshot reads off the force: multipliers only where a token is held down."""

import numpy as np

import marginflow as mf
from marginflow.problem import named


def test_a_token_that_is_pulled_up_has_no_multiplier():
    """Early on tokens above the mean score are pulled up; their constraints get nothing, the others their pull."""
    path = mf.integrate(named.load("sphere:n=4,T=5,d=6,seed=0"), mf.Combined(), seed=0, until_margin=5.0)
    snapshot = path.at(0)
    c = snapshot.constraints
    pull = -snapshot.f[c.sample, c.token]
    assert (pull < 0.0).any() and (pull > 0.0).any()
    np.testing.assert_array_equal(snapshot.dual, np.where(pull > 0.0, pull, 0.0))
