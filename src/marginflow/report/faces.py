"""Faces: what the sentences of a run whose goal is faces say of where it stands."""

from marginflow.diagnostics.on_faces import OnFaces, on_faces, up
from marginflow.report.wording import listing, number
from marginflow.trajectory.trajectory import Trajectory


MOST = 6
"""Rows whose faces are told one by one."""


def sentence_of_faces(path: Trajectory) -> str:
    """Which faces, with which shares, and the finite part; "" of a goal of tokens."""
    if not path.goal.keeps_faces:
        return ""
    end = on_faces(path)
    if end is None:
        return "Its attention is on no faces yet."
    which = "the predicted faces" if end.predicted else "other faces than predicted"
    text = f"It is on {which} ({end.sizes}) by a lead of {number(end.lead)}: {_members(path, end)}. "
    text += f"The attention of its last W is within {up(end.shares_off)} of the shares of these faces"
    if end.finite > 0.0:
        text += f", and W's part along their equalities within {up(end.finite_off)} of the finite part that a convex "
        text += f"programme gives before training (Frobenius norm {number(end.finite)})"
    return f"{text}."


def _members(path: Trajectory, end: OnFaces) -> str:
    """The tokens of the first faces of several, with their shares."""
    rows = [i for i in range(path.problem.n) if end.faces.members[i].sum() > 1]
    if not rows:
        return "one token in each row"
    said = []
    for i in rows:
        tokens = [int(t) for t in end.faces.members[i].nonzero()[0]]
        each = ", ".join(f"{_token(path, i, t)} {100.0 * end.faces.shares[i, t]:.1f} %" for t in tokens)
        said.append(f"row {i}: {each}")
    return listing(said, MOST).replace(", row ", "; row ")


def _token(path: Trajectory, i: int, token: int) -> str:
    names = path.problem.token_names
    return f"token {token}" if names is None else f"“{names[i, token]}”"
