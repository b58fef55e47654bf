"""The constraints of a file: exact differences of its tokens, with the kind and the head of each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from marginflow.arrays import Floats
from marginflow.svm.referee.claims import Check
from marginflow.svm.referee.exact import Exact


Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Row:
    """<a z_sample', W> >= level, or = 0 where `equal`, on the W of `head`; `a` is the exact x_selected - x_token."""

    sample: int
    token: int
    a: Exact
    level: int = 1
    equal: bool = False
    head: int = 0

    @property
    def name(self) -> tuple[int, int]:
        """(sample, token)."""
        return self.sample, self.token


def rebuilt(arrays: Arrays) -> list[Row]:
    """Every constraint of the problem in the file, from its tokens if saved.

    Every other token constrains (or only worse, or only better ones), except one that equals the selected token in
    features and score (theory 3.7). In a face of several tokens the others of it are equalities, but for those whose
    two tokens equalities before have made level under the same query and head.
    """
    head = arrays.get("row_head")
    if "X" not in arrays:
        names = zip(arrays["sample"].tolist(), arrays["token"].tolist(), arrays["a"], _said(arrays), strict=True)
        return [Row(i, t, Exact.of(row), int(kind[0]), bool(kind[1]), int(kind[2])) for i, t, row, kind in names]
    out = []
    against, members = str(arrays["against"]), arrays.get("members")
    level: dict[tuple[Any, ...], int] = {}
    for i, own in enumerate(arrays["selection"].tolist()):
        tokens, scores = arrays["X"][i], arrays["scores"][i]
        h = 0 if head is None else int(head[i])
        for t in np.flatnonzero(arrays["mask"][i]).tolist():
            if t == own:
                continue
            a = Exact.of(tokens[own]) - Exact.of(tokens[t])
            if members is not None:
                same = bool(members[i, t])
                if not same:
                    out.append(Row(i, t, a, head=h))
                elif _parts(level, [(*arrays["z"][i], h, *tokens[k]) for k in (own, t)]):
                    out.append(Row(i, t, a, 0, True, h))
                continue
            worse, better = scores[t] < scores[own], scores[t] > scores[own]
            if (against == "worse" and not worse) or (against == "better" and not better):
                continue
            if not worse and not better and np.array_equal(tokens[t], tokens[own]):
                continue
            out.append(Row(i, t, a, head=h))
    return out


def _said(arrays: Arrays) -> list[tuple[int, bool, int]]:
    """Level, equality and head of every saved row; files without them speak of plain rows of one head."""
    if "level" not in arrays:
        return [(1, False, 0)] * len(arrays["a"])
    return list(zip(*(arrays[name].tolist() for name in ("level", "equal", "head")), strict=True))


def _parts(level: dict[tuple[Any, ...], int], two: list[tuple[Any, ...]]) -> bool:
    """Whether `two` tokens (query, head, features) were not level before; from now on they are."""
    one, other = (level.setdefault(token, len(level)) for token in two)
    if one == other:
        return False
    level.update({token: one for token, group in level.items() if group == other})
    return True


def check_list(arrays: Arrays, rows: list[Row]) -> Check:
    """Whether the saved list is that of the problem: names, differences and kinds."""
    saved = list(zip(arrays["sample"].tolist(), arrays["token"].tolist(), strict=True))
    wanted = [row.name for row in rows]
    if saved != wanted:
        missing = sorted(set(wanted) - set(saved))[:3]
        extra = sorted(set(saved) - set(wanted))[:3]
        return Check("constraints", False, f"missing (sample, token) {missing}, not in the problem {extra}")
    if "X" not in arrays:
        return Check("constraints", True, f"{len(wanted)}, as saved, without tokens to rebuild them from")
    X, own = arrays["X"], arrays["selection"]
    for a, (i, t) in zip(arrays["a"], wanted, strict=True):
        if not np.array_equal(a, X[i, own[i]] - X[i, t]):
            return Check("constraints", False, f"a of sample {i}, token {t} is not the difference of its tokens")
    for row, told in zip(rows, _said(arrays), strict=True):
        if (row.level, row.equal, row.head) != told:
            return Check("constraints", False, f"sample {row.sample}, token {row.token} is of another kind or head")
    if "members" in arrays:
        return Check("constraints", True, f"{len(wanted)}, rebuilt from the tokens and the faces in the file, as saved")
    return Check("constraints", True, f"{len(wanted)}, rebuilt from the tokens")


def in_order(arrays: Arrays, rows: list[Row]) -> Floats:
    """(C,) the saved multipliers of the rebuilt constraints; none where the lists differ."""
    names = list(zip(arrays["sample"].tolist(), arrays["token"].tolist(), strict=True))
    dual = arrays["dual"]
    if names == [row.name for row in rows]:
        kept = np.array([row.equal for row in rows], dtype=bool)
        return np.where(kept, dual, np.maximum(dual, 0.0))
    saved = dict(zip(names, np.maximum(dual, 0.0), strict=True))
    return np.array([saved.get(row.name, 0.0) for row in rows])
