"""The search of several heads: each by itself, sampled runs together."""

import numpy as np

from marginflow.attractors.one_head import Effort, search
from marginflow.attractors.product import EndsOfHeads
from marginflow.attractors.question import Question
from marginflow.attractors.sampled_ends import Starts
from marginflow.attractors.shares import missing
from marginflow.selection.stability import Verdict


def ends_of_heads(question: Question, effort: Effort, starts: Starts) -> EndsOfHeads:
    """The list of every head, and where runs of the whole model from `starts` end."""
    problem = question.problem
    H = problem.counts[1]
    rows = [np.flatnonzero(problem.head == h) for h in range(H)]
    searched = [search(question.of_head(h), effort) for h in range(H)]
    ended = []
    for scale, path in starts.runs(question, effort.progress):
        selected, parameters = path.selected(-1), path.parameters(-1)
        decisions = [
            own.ends.meet(selected[rows[h]], scale, {name: a[h] if H > 1 else a for name, a in parameters.items()})
            for h, own in enumerate(searched)
        ]
        ended.append((scale, selected, all(d.verdict is Verdict.attractor for d in decisions)))
    heads = tuple(own.listed(starts) for own in searched)
    met = dict[tuple[int, ...], dict[float, int]]()
    for scale, selected, whole in ended:
        if not whole:
            continue
        found = [(own, own.find(selected[rows[h]])) for h, own in enumerate(heads)]
        counts = met.setdefault(tuple(own.attractors.index(end) for own, end in found if end is not None), {})
        counts[scale] = counts.get(scale, 0) + 1
    return EndsOfHeads(
        problem,
        question.model,
        question.loss,
        heads,
        met,
        starts.count,
        starts.scales,
        sum(not whole for _, _, whole in ended),
        missing([(selected, whole) for _, selected, whole in ended]) if ended else None,
    )
