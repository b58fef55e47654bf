"""Experiments one after another, none of which can hide what another found."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


T = TypeVar("T")
Result = TypeVar("Result", covariant=True)


class Experiment(Protocol[Result]):
    """What has a name and can be run."""

    @property
    def name(self) -> str:
        """What the user types."""

    def run(self) -> Result:
        """Do the work; an error is a result that does not hold."""


def run_each(
    experiments: Sequence[Experiment[T]],
    progress: Callable[[str], None] | None = None,
    finished: Callable[[T], None] | None = None,
) -> list[T]:
    """The results of all `experiments`, in order.

    Args:
        experiments: run one after another.
        progress: called with a line before each.
        finished: called with each result; Ctrl-C raises KeyboardInterrupt, and these are then all there are.
    """
    results = []
    for i, experiment in enumerate(experiments):
        if progress is not None:
            progress(f"{i + 1} of {len(experiments)}: {experiment.name}")
        results.append(experiment.run())
        if finished is not None:
            finished(results[-1])
    return results


def attempt(work: Callable[[], T]) -> tuple[T | None, str, float]:
    """What `work` gives, or None and the error in words; and its CPU seconds."""
    started = time.process_time()
    try:
        return work(), "", time.process_time() - started
    except Exception as error:
        # Whatever went wrong in one experiment must not hide the others.
        return None, f"{type(error).__name__}: {error}", time.process_time() - started
