"""What decay and mini-batches do to a prediction."""

from marginflow.optim.decay import L2
from marginflow.optim.prediction import Prediction
from marginflow.optim.setting import Setting


def with_decay_and_batch(expected: Prediction, setting: Setting, *, linear: bool) -> Prediction:
    """`expected` with what is known of decay and of mini-batches.

    Args:
        expected: without them.
        setting: with them.
        linear: steps are linear in the gradient, so that sums of them stay in the cone of the constraints.
    """
    if expected.norm is None:
        return expected
    decay = setting.decay
    if isinstance(decay, L2):
        flow_norm = setting.parameterization.flow_norm
        if expected.norm != flow_norm:
            return expected.but("with decay in the gradient the end is that of the ridge, whatever the step's norm")
        expected = Prediction(
            flow_norm, f"stationary points of the ridge with lambda {decay.lam:g}: the margin stays finite"
        )
    elif decay is not None:
        expected = Prediction(
            expected.norm, f"{expected.why}; decay bounds the weights, so the margin stays finite and the gap with it"
        )
    if setting.batch is not None and setting.batch < setting.problem.counts[0] and not linear:
        return expected.but(
            f"steps from {setting.batch} of {setting.problem.counts[0]} samples: a step that is not linear in the "
            "gradient weighs samples by how often they are drawn"
        )
    return expected
