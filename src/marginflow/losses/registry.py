"""Losses by their words."""

from inspect import isclass
from typing import Final

from marginflow.errors import InputError
from marginflow.losses.abstract import AbstractLoss, AbstractOutputLoss
from marginflow.losses.cross_entropy import CrossEntropy
from marginflow.losses.exponential import Exponential
from marginflow.losses.linear import Linear
from marginflow.losses.log import Log
from marginflow.losses.logistic import Logistic
from marginflow.losses.squared import Squared


EXPONENTIAL: Final = Exponential()
"""The loss where none is named."""

LOSSES: Final[dict[str, AbstractOutputLoss]] = {
    loss.word: loss for loss in (EXPONENTIAL, Logistic(), Log(), Linear(), CrossEntropy(), Squared())
}
"""One line per loss; `marginflow.register` adds a user's own."""

_OURS: Final = frozenset(LOSSES)
_SMOOTHED: Final = "cross-entropy:smoothing="


def register_loss(loss: AbstractOutputLoss) -> None:
    """Let `loss` be found by its word.

    Raises:
        InputError: its word is none, or that of a loss of this library.
    """
    word = loss.word
    if not isinstance(word, str) or not word.isprintable() or not word or word in _OURS:
        raise InputError(f"register: got a loss with the word {word!r}; expected one that is not {', '.join(_OURS)}")
    LOSSES[word] = loss


def parse_output_loss(loss: str | AbstractOutputLoss | None = None) -> AbstractOutputLoss:
    """The loss called `loss` (cross-entropy:smoothing=0.1 too), or the loss itself; the exponential one for None.

    Raises:
        InputError: neither a loss nor a word for one.
    """
    if loss is None:
        return EXPONENTIAL
    if isinstance(loss, AbstractOutputLoss):
        return loss
    if isinstance(loss, str) and loss.startswith(_SMOOTHED):
        text = loss.removeprefix(_SMOOTHED)
        try:
            return CrossEntropy(float(text))
        except ValueError:
            raise InputError(f"loss: got {loss!r}; expected a smoothing in [0, 1), such as {_SMOOTHED}0.1") from None
    if not isinstance(loss, str) or loss not in LOSSES:
        hint = f"; write {loss.__name__}()" if isclass(loss) else ""
        raise InputError(f"loss: got {loss!r}; expected {', '.join(map(repr, LOSSES))} or a loss object{hint}")
    return LOSSES[loss]


def parse_loss(loss: str | AbstractOutputLoss | None = None) -> AbstractLoss:
    """The same, of a scalar output: what works with scores.

    Raises:
        InputError: neither a loss nor a word for one, or one of outputs in R^k.
    """
    found = parse_output_loss(loss)
    if isinstance(found, AbstractLoss):
        return found
    raise InputError(
        f"loss: got {found.word!r}, a loss of outputs with values; expected one of scores, "
        f"{', '.join(map(repr, scalar_words()))}"
    )


def scalar_words() -> tuple[str, ...]:
    """The words of the losses of scores."""
    return tuple(word for word, loss in LOSSES.items() if isinstance(loss, AbstractLoss))
