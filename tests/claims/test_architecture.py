"""The law of each architecture, and that the claim notices a wrong one."""

import numpy as np
import pytest

from marginflow.claims.architecture import ARCHITECTURES, _Layer, drifts
from marginflow.heads.law import Law


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_are_those_of_the_loss(name):
    """Against central differences of the loss written out on its own."""
    law = ARCHITECTURES[name]
    layer = _Layer.draw(law, 3)
    random = np.random.default_rng(4)
    K, Q = random.standard_normal((6, 6)), random.standard_normal((len(layer.worth), 6, 6))

    def loss(K, Q):
        total = np.zeros(len(layer.z))
        for worth, q_rows in zip(layer.worth, Q):
            for i in range(len(layer.z)):
                k, q = layer.X[i] @ K.T, layer.z[i] @ q_rows.T
                if law.normed:
                    k, q = k / np.sqrt((k**2).mean(-1, keepdims=True)), q / np.sqrt((q**2).mean())
                if law.rotation is not None:
                    k, q = law.rotation.apply(k, np.arange(5.0)), law.rotation.apply(q, 5.0)
                p = np.exp(k @ q)
                total[i] += (p / p.sum()) @ worth[i]
        return np.log1p(np.exp(-total)).sum()

    d_K, d_Q = layer.gradients(K, Q)
    for place in [(0, 0), (3, 5), (5, 2)]:
        step = np.zeros_like(K)
        step[place] = 1e-6
        assert d_K[place] == pytest.approx((loss(K + step, Q) - loss(K - step, Q)) / 2e-6, rel=1e-6, abs=1e-9)
        step = np.zeros_like(Q)
        step[(0, *place)] = 1e-6
        assert d_Q[(0, *place)] == pytest.approx((loss(K, Q + step) - loss(K, Q - step)) / 2e-6, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", ["grouped heads", "partial rotary"])
def test_the_ratio_nears_four_as_the_steps_shrink(name):
    law = ARCHITECTURES[name]
    coarse, middle, fine = (drifts(law, h)[0] for h in (0.04, 0.01, 0.0025))
    assert abs(middle / fine - 4) < abs(coarse / middle - 4) / 3


@pytest.mark.parametrize(
    ("true", "assumed"), [("grouped heads", "plain, bias as a column"), ("partial rotary", "plain, bias as a column")]
)
def test_a_law_too_many_does_not_fall_with_the_step(true, assumed):
    """The law of another architecture, on the run of this one: what `drifts` reports as the textbook's."""
    (_, coarse), (_, fine) = (drifts(ARCHITECTURES[true], h) for h in (0.02, 0.005))
    assert coarse / fine < 1.1 and ARCHITECTURES[assumed].word == "plain"


def test_partial_rotary_keeps_its_unrotated_block_only():
    law = ARCHITECTURES["partial rotary"]
    gram = np.arange(36.0).reshape(6, 6)
    gram = gram + gram.T
    kept = law.conserved(gram, np.zeros((6, 6)))
    assert kept.tolist() == [gram[0, 0] + gram[1, 1], gram[2, 2] + gram[3, 3], *gram[4:, 4:].ravel()]


def test_balance_and_drift_by_law():
    one, two = np.eye(3), 2 * np.eye(3)
    plain = Law(None, grouped=False, normed=False)
    assert plain.balance(one, one) == 0 and plain.balance(one, two) == pytest.approx(1 / 3)
    assert plain.balance(0 * one, 0 * one) == 0
    assert plain.drift((one, one), (two, two)) == 0
    assert Law(None, grouped=False, normed=True).drift((one, one), (two, two)) > 0.5
