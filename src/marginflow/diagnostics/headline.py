"""One sentence about several runs: which least norm each kind of run came to, and which are trapped."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from marginflow.diagnostics.face_words import face_sentences
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.subject import Subject
from marginflow.losses import log_minimal_loss
from marginflow.norms import parse_norm
from marginflow.trajectory.trajectory import Trajectory
from marginflow.wording import above, number, plural, within


_CALLED: Final = {"kq": "separate K, Q", "w": "one W", "diag-kq": "diagonal k ∘ q", "diag": "one diagonal β"}
"""What is trained, in two words; others are called by their label."""

NEAR: Final = 0.05
"""Up to this relative distance a run is said to have ended within it of the least norm."""


@dataclass
class _Group:
    """The runs of one parameterisation made in one way, on all problems."""

    name: str
    runs: list[tuple[Subject, Trajectory]] = field(default_factory=list)

    def of(self, *statuses: str) -> list[tuple[Subject, Trajectory]]:
        return [(s, path) for s, path in self.runs if path.status.name in statuses]

    @property
    def predicted(self) -> str | None:
        found = {path.method.norm for _, path in self.runs}
        return found.pop() if len(found) == 1 else None

    def excess(self, norm: str, subjects: Sequence[Subject]) -> list[float]:
        """How far its settled runs on `subjects` are above the least `norm`, as far as that is certified."""
        out = []
        for s, path in self.of("minimal_loss"):
            solution = s.solution(norm)
            if s in subjects and solution is not None and norm in s.norms_of(path):
                value = comparison(path).norm_over_lead(norm)
                out += [value / solution.certificate.lower - 1.0] if np.isfinite(value) else []
        return out


def headline(subjects: Sequence[Subject]) -> str:
    """The sentence; what it compares is of runs that reached the minimal loss."""
    groups = _groups([subject for subject in subjects if not subject.goal.keeps_faces])
    onto = _groups([subject for subject in subjects if subject.goal.keeps_faces])
    faces = [text for group in onto for text in face_sentences(group.name, group.runs)]
    parts = [text for group in groups if (text := _came_to(group, groups))]
    text = "; ".join(parts)
    text = text[:1].upper() + text[1:] + ("." if text else "")
    stuck = [_trapped(group) for group in groups if group.of("trapped")]
    unsettled = sum(len(group.of("undecided")) for group in groups)
    open_ = [_undecided(unsettled, bool(text or faces))] if unsettled else []
    return " ".join([*([text] if text else []), *stuck, *open_, *faces])


def _groups(subjects: Sequence[Subject]) -> list[_Group]:
    out: dict[tuple[str, str], _Group] = {}
    for subject in subjects:
        for paths in subject.groups:
            key = (paths[0].parameterization.word, paths[0].method.label)
            group = out.setdefault(key, _Group(_name(paths[0])))
            group.runs += [(subject, path) for path in paths]
    said = [group.name for group in out.values()]
    for (_, label), group in out.items():
        if said.count(group.name) > 1:
            group.name += label.removeprefix(label.partition(",")[0])
    return list(out.values())


def _name(path: Trajectory) -> str:
    """What is trained, and by which rule; the numbers of the rule only where they tell two apart."""
    name = _CALLED.get(path.parameterization.word, path.parameterization.label)
    return name if path.method.is_flow else f"{name} by {path.method.label.partition(',')[0]}"


def _came_to(group: _Group, groups: Sequence[_Group]) -> str:
    """ "separate K, Q ended within 0.01 % of the least nuclear norm (one W: 31 % above)"."""
    reached = group.of("minimal_loss")
    if not reached:
        return ""
    if group.predicted is None:
        return f"{group.name}, of which no norm is predicted, {_each_norm(group, reached)}"
    norm = parse_norm(group.predicted)
    here = [s for s, _ in reached]
    own = group.excess(norm.name, here)
    if not own:
        return f"{group.name} reached the minimal loss; its {norm.label} SVM has no certified value"
    where = f" on {plural(len(set(map(id, here))), 'problem')}" if len({id(s) for s in here}) > 1 else ""
    least = f"the least {norm.label} norm{where}"
    found = f"ended {within(max(own))} {least}" if max(own) <= NEAR else f"stood {above(max(own))} {least}"
    others = {
        other.name: other.excess(norm.name, here)
        for other in groups
        if other is not group and all(other.excess(norm.name, [s]) for s in here)
    }
    return f"{group.name} {found}{_others(others)}"


def _each_norm(group: _Group, reached: Sequence[tuple[Subject, Trajectory]]) -> str:
    subject, path = reached[0]
    found = [(parse_norm(norm).label, group.excess(norm, [subject])) for norm in subject.norms_of(path)]
    said = [f"{above(max(x))} the least {label} norm" for label, x in found if x]
    return f"stood {' and '.join(said)}" if said else "reached the minimal loss"


def _others(others: dict[str, list[float]]) -> str:
    if not others:
        return ""
    if len(others) > _NAMED:
        every = [x for found in others.values() for x in found]
        return f" (the others: {_range(every)})"
    return f" ({', '.join(f'{name}: {_range(found)}' for name, found in others.items())})"


_NAMED: Final = 2
"""Other kinds of runs that are named one by one."""


def _range(found: Sequence[float]) -> str:
    low, high = above(min(found)), above(max(found))
    return high if low == high else f"{low.removesuffix(' above')} to {high}"


def _trapped(group: _Group) -> str:
    """How many are trapped, on which loss, and how far from the SVM of their own tokens."""
    stuck = group.of("trapped")
    one = len(stuck) == 1
    if len(group.runs) == 1:
        count = f"{group.name[:1].upper()}{group.name[1:]} is trapped on a wrong token"
    else:
        count = f"{len(stuck)} of {len(group.runs)} runs of {group.name} {'is' if one else 'are'} trapped"
    subject, path = stuck[0]
    least = log_minimal_loss(path.problem, path.scalar_loss)
    loss = np.logaddexp(least, float(path.log_excess[-1]))
    text = f"{count}: {'its' if one else 'the first one’s'} loss stays at {_loss(loss)} ({_loss(least)} is least)"
    solution = subject.compared(path)
    value = comparison(path).norm_over_lead(path.norm)
    if solution is not None and solution.status.name == "optimal" and np.isfinite(value):
        excess = value / solution.certificate.lower - 1.0
        text += f", and it is {within(excess)} the least {parse_norm(path.norm).label} norm for the tokens it selects"
    return f"{text}."


def _loss(log: float) -> str:
    return number(float(np.exp(log)), 4) if -600 < log < 600 else f"e^{number(float(log), 4)}"


def _undecided(count: int, more: bool) -> str:
    word = "is" if count == 1 else "are"
    text = f"{plural(count, 'run')} {word} undecided: run to a larger margin."
    return text if more else f"Nothing is settled yet: {text}" if count else text
