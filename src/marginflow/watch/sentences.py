"""What a record says in words: the first records at which figures of a layer pass their marks."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from marginflow.arrays import Bools, Floats
from marginflow.wording import listing


if TYPE_CHECKING:
    from marginflow.watch.record import Record

LARGE_LOGIT: Final = 50.0
LOW_ENTROPY: Final = 0.1
"""Share of the log of how many tokens are seen."""

LARGE_DRIFT: Final = 0.1
"""Of the conserved quantity, over its size at the first record; gradient flow has none, and gradient descent with a
rate small enough for the flow to speak of it stays far below (docs/watch.md)."""

_MOST: Final = 6


def sentences(record: "Record") -> tuple[str, ...]:
    """One sentence an event, naming the layers and the steps; then what did not happen."""
    last = int(record.step[-1])
    events = [
        ("Effective rank has halved", _ranks(record), "halving of an effective rank"),
        (f"The largest logit passes {LARGE_LOGIT:g}", _logits(record), f"logit above {LARGE_LOGIT:g}"),
        (
            f"Entropy falls below {LOW_ENTROPY:.0%} of log T",
            _heads(record, "entropy_share", lambda x: x < LOW_ENTROPY),
            f"entropy below {LOW_ENTROPY:.0%} of log T",
        ),
        (
            f"What gradient flow conserves has drifted by more than {LARGE_DRIFT:g}",
            _heads(record, "drift", lambda x: x > LARGE_DRIFT),
            f"drift above {LARGE_DRIFT:g}",
        ),
    ]
    said = []
    for text, found, _ in events:
        if found:
            more = f" and in {len(found) - _MOST} more layers" if len(found) > _MOST else ""
            end = ": there the run is not in the flow's regime." if "drifted" in text else "."
            said.append(f"{text} in {'; '.join(found[:_MOST])}{more}{end}")
    quiet = [word for _, found, word in events if not found]
    if np.isnan(record.figure("max_logit")).all():
        quiet = [word for word in quiet if "logit" not in word and "entropy" not in word]
        said.append("Logits were not seen: nothing is said of entropy or leads.")
    if quiet:
        said.append(f"Up to step {last} there is no {', no '.join(quiet)}.")
    return (*said, *([record.note] if record.note else []))


def _ranks(record: "Record") -> list[str]:
    """Layers whose mean effective rank has halved, with the largest logit at that record."""
    rank, logit = record.figure("effective_rank"), record.figure("max_logit")
    found = []
    for layer, places in record.layers.items():
        mean = rank[:, places].mean(axis=1)
        k = _first(np.asarray(mean <= mean[0] / 2.0))
        if k:
            of = int(record.components[places].max())
            at = logit[k, places].max()
            beside = f", largest logit {at:.3g}" if np.isfinite(at) else ""
            whose = "" if len(places) == 1 else f", mean of {len(places)} heads"
            found.append(f"{layer} by step {record.step[k]} ({mean[0]:.1f} -> {mean[k]:.1f} of {of}{whose}{beside})")
    return found


def _logits(record: "Record") -> list[str]:
    return _heads(record, "max_logit", lambda x: x > LARGE_LOGIT)


def _heads(record: "Record", figure: str, passed: Callable[[Floats], Bools]) -> list[str]:
    """Layers with a head that passes a mark, and the first such head."""
    values = record.figure(figure)
    found = []
    for layer, places in record.layers.items():
        with np.errstate(invalid="ignore"):
            hit = np.asarray(passed(values[:, places]))
        k = _first(np.asarray(hit.any(axis=1)))
        if k is not None:
            heads = [record.names[places[i]].removeprefix(f"{layer}.") for i in np.nonzero(hit[k])[0]]
            which = f" (head {listing(heads, 4)})" if len(places) > 1 else ""
            found.append(f"{layer} by step {record.step[k]}{which}")
    return found


def _first(hit: Bools) -> int | None:
    places = np.nonzero(hit)[0]
    return int(places[0]) if len(places) else None
