"""The sentence about runs whose goal is faces: which they are on, how near, and what is proved of that."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from marginflow.diagnostics.on_faces import OnFaces, on_faces, up
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject
from marginflow.norms import parse_norm
from marginflow.trajectory.trajectory import Trajectory
from marginflow.wording import within


Placed = tuple[Subject, Trajectory]

_OPEN: Final = "that attention stays there is not proved"


def face_sentences(name: str, runs: Sequence[Placed]) -> list[str]:
    """What the runs called `name` end on: the predicted faces, proved or not, other faces, or none."""
    ends = [(pair, on_faces(pair[1])) for pair in runs]
    on = [(pair, end) for pair, end in ends if end is not None]
    proved = [one for one in on if one[1].predicted and one[0][1].status.name == "minimal_loss"]
    seen = [one for one in on if one[1].predicted and one[0][1].status.name != "minimal_loss"]
    other = [one for one in on if not one[1].predicted]
    said = []
    for some, verb, open_ in (
        (proved, "reached the predicted faces", ""),
        (seen, "stands on the predicted faces", _OPEN),
        (other, "stands on other faces than predicted", _OPEN),
    ):
        if some:
            many = verb if len(some) == 1 else verb.replace("stands", "stand")
            parts = [f"{_who(name, len(some), len(runs))} {many}{_numbers(some)}", *([open_] if open_ else [])]
            said.append(f"{'; '.join(parts)}.")
    none = len(ends) - len(on)
    if none:
        said.append(f"{_who(name, none, len(runs))} {'is' if none == 1 else 'are'} on no faces yet: run on.")
    return said


def _numbers(some: Sequence[tuple[Placed, OnFaces]]) -> str:
    """How near runs with one kind of end are to what is known of their faces; of several the farthest in each."""
    ends = [end for _, end in some]
    sizes, most = (f" ({ends[0].sizes}): ", "") if len(some) == 1 else (": ", "at most ")
    said = [f"shares off by {most}{up(max(end.shares_off for end in ends))}"]
    if any(end.finite > 0.0 for end in ends):
        said.append(f"finite part by {up(max(end.finite_off for end in ends))}")
    excess = [found for (subject, path), _ in some if np.isfinite(found := _excess(subject, path))]
    if excess:
        said.append(f"norm {within(max(excess))} the least {parse_norm(some[0][0][1].norm).label} norm there")
    return sizes + ", ".join(said)


def _excess(subject: Subject, path: Trajectory) -> float:
    """How far the norm over the lead is above the certified least for the faces compared with; nan for neither."""
    solution = subject.compared(path)
    value = comparison(path).norm_over_lead(path.norm)
    if solution is None or solution.status.name != "optimal":
        return np.nan
    return value / solution.certificate.lower - 1.0


def _who(name: str, count: int, of: int) -> str:
    if of == 1:
        return name[:1].upper() + name[1:]
    return f"{count} of {of} runs of {name}"
