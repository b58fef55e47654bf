"""Forged files of problems with equalities, levels and heads: verifier and `Solution.load` refuse every kind."""

import numpy as np
import pytest
from equality_problems import faces_of

import marginflow as mf
from marginflow.npz import read_npz, write_npz
from marginflow.svm.referee.verify import digest, verify_saved


def _flipped(a, name, rows, value):
    out = a[name].copy()
    out[rows] = value
    return {name: out}


def _off(a, size):
    """Weights that give up the first equality by `size`."""
    c = np.flatnonzero(a["equal"])[0]
    shift = np.outer(a["a"][c], a["z"][a["sample"][c]])
    return {"W": a["W"] + size * np.linalg.norm(a["W"]) * shift / np.linalg.norm(shift)}


def _shorter(a):
    """Weights of a smaller norm than any on the equalities, with the bounds that they would have there."""
    some = ~a["equal"]
    relaxed = mf.solve(mf.Constraints(a["a"][some], a["sample"][some], a["z"], level=a["level"][some]), "nuclear").W
    W = 0.999 * a["W"] + 0.001 * relaxed
    rows = mf.Constraints(a["a"], a["sample"], a["z"], level=a["level"], equal=a["equal"])
    size = np.linalg.svd(W, compute_uv=False).sum() / rows.margins(W)[a["level"] > 0].min() * (1 + 1e-11)
    assert size < a["lower"]
    return {"W": W, "lower": size, "value": size, "upper": size, "gap": 0.0}


def _infeasible(a, dual):
    return {
        "dual": dual,
        "W": 0 * a["W"],
        "status": "infeasible",
        "upper": np.inf,
        "value": np.nan,
        "gap": np.inf,
        "lower": 0.0,
        "reason": f"{int((dual != 0).sum())} constraints contradict each other: multiples of them, positive but for "
        "equalities, add up to zero exactly, in rational arithmetic",
    }


def _nothing(a):
    """W = 0, optimal where no row of level 1 is left."""
    return {"W": 0 * a["W"], "dual": 0 * a["dual"], "value": 0.0, "lower": 0.0, "upper": 0.0, "gap": 0.0}


def _lead(a):
    """The constraint of level 1 with the largest multiplier."""
    return int((a["dual"] * (a["level"] > 0)).argmax())


_FORGERIES = {
    "an equality called an inequality": ("faces", lambda a: _flipped(a, "equal", a["dual"] < 0, False)),
    "all equalities called inequalities": ("faces", lambda a: {"equal": np.zeros_like(a["equal"])}),
    "an inequality called an equality": (
        "faces",
        lambda a: _flipped(a, "equal", _lead(a), True) | _flipped(a, "level", _lead(a), 0.0),
    ),
    "level 1 called 0": ("faces", lambda a: _flipped(a, "level", _lead(a), 0.0)),
    "an equality of level 1": ("faces", lambda a: _flipped(a, "level", a["equal"], 1.0)),
    "another level": ("faces", lambda a: {"level": 0.5 * a["level"]}),
    "W off an equality": ("faces", lambda a: _off(a, 1e-3)),
    "W off an equality by little": ("faces", lambda a: _off(a, 1e-7)),
    "a smaller value off an equality": ("faces", _shorter),
    "multipliers of equalities negated": ("faces", lambda a: {"dual": np.where(a["equal"], -1, 1) * a["dual"]}),
    "multipliers of equalities dropped": ("faces", lambda a: {"dual": np.where(a["equal"], 0, 1) * a["dual"]}),
    "multipliers of inequalities negated": ("faces", lambda a: {"dual": np.where(a["equal"], 1, -1) * a["dual"]}),
    "an older format": ("faces", lambda a: {"format": np.array(2)}),
    "no equalities in the file": ("faces", lambda a: {"equal": None}),
    "equalities of another length": ("faces", lambda a: {"equal": a["equal"][1:]}),
    "a head beyond the last": ("faces", lambda a: {"head": a["head"] + 1}),
    "infeasible by equalities alone": ("faces", lambda a: _infeasible(a, np.where(a["equal"], a["dual"], 0.0))),
    "infeasible by equalities that cancel": ("twins", lambda a: _infeasible(a, np.array([1.0, 1.0, 0.0]))),
    "a contradiction of another count": (
        "contradiction",
        lambda a: {"reason": str(a["reason"]).replace("3 constraints", "4 constraints")},
    ),
    "a contradiction without its equality": ("contradiction", lambda a: _flipped(a, "dual", 0, 0.0)),
    "heads exchanged": ("heads", lambda a: {"W": a["W"][::-1].copy()}),
    "a row given to another head": ("heads", lambda a: {"head": 1 - a["head"]}),
    "one head more": ("heads", lambda a: {"heads": np.array(3)}),
    "the sum of the heads": ("heads", lambda a: {"value": a["value"] * 1.1}),
    "the reason of a head that is not there": ("loose", lambda a: {"reason": "head 7" + str(a["reason"])[6:]}),
    "the reason of no head": ("loose", lambda a: {"reason": str(a["reason"])[8:]}),
    "weights that nothing keeps from 0": ("level", lambda a: {"W": a["W"] + 1.0}),
    "weights of a head that nothing keeps from 0": ("free", lambda a: {"W": a["W"] + [[[0.0]], [[1.0]]]}),
    "every sample of another head, rows plain": ("plain", lambda a: _nothing(a) | {"row_head": 1 - 0 * a["selection"]}),
    "every token a member, rows plain": ("plain", lambda a: _nothing(a) | {"members": a["mask"]}),
    "heads of the samples of another length": ("plain", lambda a: {"row_head": a["selection"][1:]}),
    "members of another shape": ("tokens", lambda a: {"members": a["members"][1:]}),
    "a selected token that is no member": ("tokens", lambda a: {"members": ~a["members"]}),
    "a norm that heads do not have": ("free", lambda a: {"norm": np.array("cut")}),
    "a norm that is not computed of so large weights": ("large", lambda a: {"norm": np.array("cut")}),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    folder, rows = tmp_path_factory.mktemp("kinds"), faces_of(5)
    both = mf.Constraints(
        np.vstack((rows.a, -1.5 * rows.a[::-1])),
        np.append(rows.sample, rows.sample[::-1]),
        rows.z,
        level=np.append(rows.level, rows.level[::-1]),
        equal=np.append(rows.equal, rows.equal[::-1]),
        head=np.repeat([0, 1], len(rows)),
    )
    against = mf.Constraints([[1.0, 0.5], [0.25, 1.0], [1.25, 1.5]], [0] * 3, [[1.0]], equal=[True, True, False])
    twins = mf.Constraints([[1.0, 2.0], [-1.0, -2.0], [0.5, 0.1]], [0] * 3, [[1.0]], equal=[True, True, False])
    solved = {
        "faces": mf.solve(rows, "nuclear"),
        "contradiction": mf.solve(against, "nuclear"),
        "twins": mf.solve(twins, "nuclear"),
        "heads": mf.solve(both, "frobenius"),
        "loose": _loose(both),
        "level": mf.solve(mf.Constraints([[1.0], [-1.0]], [0, 0], [[1.0]], level=[0.0, 0.0]), "nuclear"),
        "free": mf.solve(
            mf.Constraints([[1.0], [1.0]], [0, 0], [[1.0]], level=[1.0, 0.0], equal=[False, True], head=[0, 1]),
            "nuclear",
        ),
        "plain": mf.solve("sphere:n=3,T=3,d=3,seed=0", "frobenius"),
        "tokens": mf.solve("next-token:number=3", "frobenius", loss="log"),
        "large": mf.solve(mf.Constraints(np.eye(22)[:1], [0], np.eye(22)[:1]), "frobenius"),
    }
    for name, solution in solved.items():
        solution.save(folder / f"{name}.npz")
        found = verify_saved(folder / f"{name}.npz")
        assert found.holds, f"{name}: {found}"
        assert mf.Solution.load(folder / f"{name}.npz").status is solution.status
    words = [solution.status.name for solution in solved.values()]
    assert words == ["optimal", "infeasible", "optimal", "optimal", "inaccurate", *["optimal"] * 5]
    return folder


def _loose(rows):
    """Bounds of two heads a tenth apart, by multipliers that are not the best."""
    from marginflow.svm.heads import Asked, stated

    fine = mf.solve(rows, "frobenius")
    rough = fine.dual + 0.05 * fine.dual.max() * (rows.level > 0)
    return stated(Asked(rows, fine.norm, 1e-9, {}), fine.W, rough, {})


@pytest.mark.parametrize("kind", _FORGERIES)
def test_forged_kinds_are_refused(kind, honest, tmp_path):
    source, forge = _FORGERIES[kind]
    arrays = read_npz(honest / f"{source}.npz")
    forged = {k: v for k, v in {**arrays, **forge(arrays)}.items() if v is not None and k != "digest"}
    path = tmp_path / "forged.npz"
    write_npz(path, **forged, digest=digest(forged))
    with pytest.raises(mf.InputError):
        mf.Solution.load(path)
    try:
        found = verify_saved(path)
    except mf.InputError:
        return
    assert not found.holds, str(found)
