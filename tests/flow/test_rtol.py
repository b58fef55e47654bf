"""rtol is honoured: parameters, log t and log excess within 10 rtol of references that share no code with the flow.

The comparison is at equal clock tau, where an error of phase counts too.
"""

from decimal import localcontext

import numpy as np
import pytest
from referee import DIGITS, explicit, fifty_digits

import marginflow as mf
from marginflow.problem.random import sphere


KINDS = [mf.Combined(), mf.KeyQuery(2), mf.DiagonalKeyQuery(), mf.Diagonal()]
SHORT_AND_LONG = [
    pytest.param(kind, loss, id=f"{kind.word}-{loss}", marks=[pytest.mark.long] if long else [])
    for kind in KINDS
    for loss, long in (("exponential", False), ("logistic", kind.word != "kq"))
]
"""Every kind with both losses; the logistic one is short for (K, Q) only."""


def flat(path):
    return np.concatenate([array.ravel() for array in path.parameters().values()])


def errors(path, flow, y):
    """Relative errors of the parameters, log t and log excess at the end of `path`, whose true state is `y`."""
    truth = y[:-1].astype(float)
    out = {"parameters": np.linalg.norm(flat(path) - truth) / np.linalg.norm(truth)}
    for name, ours, want in (
        ("log time", path.log_time[-1], float(flow.log_time(y))),
        ("log excess", path.log_excess[-1], float(flow.log_excess(y))),
        ("margin", path.margin[-1], float(flow.margin(y))),
    ):
        out[name] = abs(ours - want) / max(1.0, abs(want))
    return out


def rising(paths):
    """By their last clock: one reference serves all, and they end at clocks that differ by their errors."""
    return sorted(paths, key=lambda path: path.restart.tau[-1])


def agrees_with_fifty_digits(problem, kind, **options):
    paths = rising(mf.integrate(problem, kind, until_margin=20.0, rtol=rtol, **options) for rtol in (1e-6, 1e-9))
    with localcontext() as context:
        context.prec = DIGITS
        flow, ends = fifty_digits(paths[0], [path.restart.tau[-1] for path in paths])
        for path, y in zip(paths, ends, strict=True):
            assert path.ended.name == "margin"
            found = errors(path, flow, y)
            assert max(found.values()) <= 10 * path.rtol, (path.rtol, found)
    return paths[0]


@pytest.mark.parametrize(("kind", "loss"), SHORT_AND_LONG)
def test_two_samples_in_fifty_digits(kind, loss):
    agrees_with_fifty_digits(sphere(n=2, T=3, d=2, seed=1), kind, scale=0.3, loss=loss)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
def test_two_constraints_of_one_sample_in_fifty_digits(kind):
    agrees_with_fifty_digits(sphere(n=1, T=3, d=2, seed=4), kind, scale=0.3)


@pytest.mark.parametrize("kind", KINDS[:2], ids=lambda k: k.word)
def test_a_start_on_a_wrong_token_in_fifty_digits(kind):
    problem = mf.Problem([[[2.0, 1.0], [0.0, 0.5]], [[0.5, 2.0], [0.3, 0.0]]], np.eye(2), [[1.0, 0.0], [0.6, 0.1]])
    # The first sample starts on its worse token, at a lead of about 2.
    W = np.array([[-0.9, 0.2], [-0.3, 0.4]])
    init = W if kind.word == "w" else (W, np.eye(2))
    path = agrees_with_fifty_digits(problem, kind, init=init)
    assert path.margin[0] < -1.5 and path.status is mf.FlowStatus.minimal_loss


@pytest.mark.parametrize(("kind", "loss"), SHORT_AND_LONG)
def test_a_tight_explicit_integrator_agrees_to_margin_300(kind, loss):
    """DOP853 at rtol 1e-12, its logits computed from the parameters."""
    problem = sphere(n=3, T=3, d=4, seed=5)
    options = {"seed": 1, "until_margin": 300.0, "loss": loss}
    paths = rising(mf.integrate(problem, kind, rtol=rtol, **options) for rtol in (1e-6, 1e-8))
    flow, ends = explicit(paths[0], [path.restart.tau[-1] for path in paths])
    for path, y in zip(paths, ends, strict=True):
        assert path.ended.name == "margin"
        found = errors(path, flow, y)
        assert max(found.values()) <= 10 * path.rtol, (path.rtol, found)
