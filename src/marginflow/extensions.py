"""What users add: a parameterisation, an optimiser, a loss or a norm of their own, known wherever ours are."""

from collections.abc import Callable
from inspect import isclass
from typing import Any

from marginflow.errors import InputError
from marginflow.losses import AbstractLoss, register_loss
from marginflow.model import registry
from marginflow.model.parameterization import AbstractParameterization
from marginflow.norms import AbstractNorm, register_norm
from marginflow.optim import registry as optimisers
from marginflow.optim.optimiser import AbstractOptimiser
from marginflow.svm import solve


def register(thing: Any, *, solver: Callable[..., Any] | None = None) -> Any:
    """Make something of your own known to words, files, reports, studies and the command line; a decorator too.

    Args:
        thing: a class of parameterisations (docs/parameterization.md) or of optimisers (docs/optimisers.md); a loss,
            that is an instance of a class derived from `AbstractLoss` or such a class without arguments; or a norm, an
            instance of a class derived from `AbstractNorm`.
        solver: for a norm, (svm, tol, *, progress, start) -> Candidate, as the solvers in `svm/` are. What it returns
            is certified by the norm's own bounds, whatever the solver claims.

    Returns:
        `thing`.

    Raises:
        InputError: nothing that can be registered, or its word is taken.
    """
    made = thing() if isclass(thing) and issubclass(thing, AbstractLoss) else thing
    if (solver is not None) != isinstance(made, AbstractNorm):
        raise InputError(
            f"register: got solver={solver!r} with {thing!r}; a norm needs one, and nothing else takes one"
        )
    if isinstance(made, AbstractLoss):
        register_loss(made)
    elif isinstance(made, AbstractNorm):
        register_norm(made)
        solve.SOLVERS[made.name] = solver
    elif isclass(thing) and issubclass(thing, AbstractParameterization):
        registry.register(thing)
    elif isclass(thing) and issubclass(thing, AbstractOptimiser):
        optimisers.register(thing)
    else:
        raise InputError(
            f"register: got {thing!r}; expected a class derived from AbstractParameterization or AbstractOptimiser, a "
            "loss derived from AbstractLoss, or a norm derived from AbstractNorm with its solver"
        )
    return thing
