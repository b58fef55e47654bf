"""The bounds of a run of one head, as numbers instead of a list of one."""

from marginflow.selection.trap import Part, confine


def confine_one(problem, model, *rest):
    """`rest`: the attributes of `Part` after the problem."""
    found = confine(model, [Part(problem, *rest)])
    return None if found is None else found[0]
