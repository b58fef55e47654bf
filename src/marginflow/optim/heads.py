"""What is expected of a run with several heads: of the heads together, or of each by itself (docs/optimisers.md)."""

import math
from dataclasses import replace

from marginflow.errors import InputError
from marginflow.norms import parse_norm
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.optim.prediction import Prediction
from marginflow.optim.rate import Speed
from marginflow.optim.setting import Setting


def expected_norm(rule: AbstractOptimiser, setting: Setting) -> Prediction:
    """`rule.norm`, and of several heads what follows from it for all of them.

    Steps of one length for all arrays (gradient descent, normalised or not) keep the heads at one margin, like the
    flow: the norm is that of the block-diagonal W. Any other rule here moves each head as if it were alone, but for the
    size of its gradient. Each head then goes to its own optimum, at a speed of its own, and together they minimise the
    largest of their norms: that of the block-diagonal W only where `across` is inf.
    """
    if setting.problem.counts[1] == 1 or rule.ball.joint:
        return rule.norm(setting)
    each = [rule.norm(own) for own in _alone(rule, setting)]
    for h, own in enumerate(each):
        if own.norm is None:
            return own.but(f"head {h}: {own.why}")
    norm = each[0].norm
    assert norm is not None
    why = "; ".join(f"head {h}: {own.why}" for h, own in enumerate(each))
    try:
        largest = parse_norm(norm).across == math.inf
    except InputError:
        return Prediction(None, f"of several heads nothing is known of the norm {norm}; {why}")
    if largest:
        return Prediction(norm, why)
    return Prediction(
        None,
        f"every head goes to its own least {norm} norm at a speed of its own, so all of them to the largest of these "
        f"norms and not to one of the whole; {why}",
    )


def _alone(rule: AbstractOptimiser, setting: Setting) -> list[Setting]:
    """Each head as a problem of its own, at the speed that it has among the others."""
    heads = [replace(setting, problem=setting.problem.of_head(h)) for h in range(setting.problem.counts[1])]
    norm = rule.ball.norm(setting.parameterization).norm
    if not isinstance(setting.rate, Speed) or norm is None:
        return heads
    margins = [own.gamma(norm) for own in heads]
    known = [gamma for gamma in margins if gamma is not None]
    if len(known) < len(margins):
        return heads
    # Steps are as long in every head, and the margin that grows by rho is the least one.
    return [
        replace(own, rate=Speed(setting.rate.rho * gamma / min(known))) for own, gamma in zip(heads, known, strict=True)
    ]
