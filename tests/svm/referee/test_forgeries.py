"""Files that claim what their arrays do not prove: the verifier and `Solution.load` refuse every kind."""

import re

import numpy as np
import pytest

import bank
import marginflow as mf
from marginflow.npz import read_npz, write_npz
from marginflow.svm.referee.verify import digest, verify_saved


def _zero(arrays, **more):
    return {"W": 0 * arrays["W"], "upper": np.inf, "value": np.nan, "gap": np.inf, **more}


def _called_infeasible(arrays, **more):
    return _zero(arrays, status="infeasible", reason=_TWO, **more)


_TWO = "2 constraints contradict each other: positive multiples of them add up to zero exactly, in rational arithmetic"

_FORGERIES = {
    # A separable problem called infeasible.
    "infeasible": ("optimal", lambda a: _called_infeasible(a)),
    "infeasible, multipliers of one": (
        "optimal",
        lambda a: _called_infeasible(a, dual=np.ones(len(a["dual"])), lower=0.0),
    ),
    "infeasible, no multipliers": ("optimal", lambda a: _called_infeasible(a, dual=0 * a["dual"], lower=0.0)),
    "infeasible, W kept": ("optimal", lambda a: {"status": "infeasible"}),
    "infeasible for want of weights": ("near", lambda a: _called_infeasible(a)),
    "infeasible, the reason of a zero row": (
        "optimal",
        lambda a: (
            _called_infeasible(a)
            | {"reason": "token 1 of sample 0 has the selected token's logit whatever the weights"}
        ),
    ),
    "infeasible, nothing in float64": ("near", lambda a: _called_infeasible(a, dual=np.ones(len(a["dual"])))),
    # What was solved is another problem.
    "a doubled": ("optimal", lambda a: {"a": 2 * a["a"]}),
    "a halved, bounds doubled": (
        "optimal",
        lambda a: {
            "a": a["a"] / 2,
            "W": a["W"] * 2,
            "lower": a["lower"] * 2,
            "upper": a["upper"] * 2,
            "value": a["value"] * 2,
        },
    ),
    "one entry of a": ("optimal", lambda a: {"a": _moved(a["a"], 1e-12)}),
    "selection": ("optimal", lambda a: {"selection": (a["selection"] + 1) % 4}),
    "one selection": ("optimal", lambda a: {"selection": np.r_[(a["selection"][0] + 1) % 4, a["selection"][1:]]}),
    "sample": ("optimal", lambda a: {"sample": np.minimum(a["sample"] + 1, 2)}),
    "token": ("optimal", lambda a: {"token": a["token"][::-1].copy()}),
    "queries": ("optimal", lambda a: {"z": -a["z"]}),
    "tokens": ("optimal", lambda a: {"X": a["X"][:, ::-1].copy()}),
    "scores": ("optimal", lambda a: {"scores": a["scores"][:, ::-1].copy(), "against": "worse"}),
    "against": ("optimal", lambda a: {"against": "better"}),
    "against, unknown": ("optimal", lambda a: {"against": "some"}),
    "mask": ("optimal", lambda a: {"mask": _hidden(a)}),
    "a constraint dropped": ("optimal", lambda a: {k: a[k][1:] for k in ("a", "sample", "token", "dual")}),
    "a constraint twice": ("optimal", lambda a: {k: np.r_[a[k][:1], a[k]] for k in ("a", "sample", "token", "dual")}),
    "a zero row dropped": ("zero", lambda a: {k: a[k][a["dual"] == 0] for k in ("a", "sample", "token", "dual")}),
    "the norm": ("optimal", lambda a: {"norm": "frobenius"}),
    "the norm, unknown": ("optimal", lambda a: {"norm": "trace"}),
    # Weights and multipliers that prove less.
    "W negated": ("optimal", lambda a: {"W": -a["W"]}),
    "W shaken": ("optimal", lambda a: {"W": a["W"] * (1 + 1e-6 * np.arange(a["W"].size).reshape(a["W"].shape))}),
    "W off the diagonal": ("diagonal", lambda a: {"W": a["W"] + 1e-9}),
    "W of zeros": ("optimal", lambda a: {"W": 0 * a["W"]}),
    "multipliers reversed": ("optimal", lambda a: {"dual": a["dual"][::-1].copy()}),
    "multipliers negated": ("optimal", lambda a: {"dual": -a["dual"]}),
    "one multiplier negative": (
        "infeasible",
        lambda a: {"dual": a["dual"] - 2 * a["dual"].max() * (a["dual"] == a["dual"].max())},
    ),
    "one multiplier halved": (
        "infeasible",
        lambda a: {"dual": a["dual"] * np.r_[1.0, 0.5, np.ones(len(a["dual"]) - 2)]},
    ),
    # Words.
    "status exact": ("optimal", lambda a: {"status": "exact"}),
    "status inaccurate": ("optimal", lambda a: {"status": "inaccurate"}),
    "status optimal": ("loose", lambda a: {"status": "optimal", "reason": ""}),
    "status optimal of an infeasible one": ("infeasible", lambda a: {"status": "optimal", "reason": ""}),
    "status inaccurate of an infeasible one": ("infeasible", lambda a: {"status": "inaccurate"}),
    "a reason given": ("optimal", lambda a: {"reason": "proved by theorem 3.2"}),
    "another reason": ("loose", lambda a: {"reason": "the problem is degenerate"}),
    "another number in the reason": (
        "loose",
        lambda a: {"reason": re.sub("f [^ ]* w", "f 2.0e-09 w", str(a["reason"]))},
    ),
    "another count in the reason": (
        "infeasible",
        lambda a: {"reason": str(a["reason"]).replace("2 constr", "3 constr")},
    ),
    "a reason of nothing": ("infeasible", lambda a: {"reason": ""}),
    # Numbers.
    "lower raised": ("optimal", lambda a: {"lower": a["lower"] * (1 + 1e-8)}),
    "upper lowered": ("optimal", lambda a: {"upper": a["upper"] * (1 - 1e-8)}),
    "lower infinite": ("infeasible", lambda a: {"lower": np.inf}),
    "lower nan": ("optimal", lambda a: {"lower": np.nan}),
    "lower negative": ("optimal", lambda a: {"lower": -1.0}),
    "upper nan": ("optimal", lambda a: {"upper": np.nan}),
    "value": ("optimal", lambda a: {"value": 0.5}),
    "value below the bounds": ("optimal", lambda a: {"value": a["lower"] * (1 - 1e-9)}),
    "value above the bounds": ("optimal", lambda a: {"value": a["upper"] * (1 + 1e-9)}),
    "value nan": ("optimal", lambda a: {"value": np.nan}),
    "value of nothing": ("infeasible", lambda a: {"value": 1.0}),
    "value infinite": ("infeasible", lambda a: {"value": np.inf}),
    "gap zero": ("loose", lambda a: {"gap": 0.0}),
    "gap nan": ("optimal", lambda a: {"gap": np.nan}),
    "gap negative": ("optimal", lambda a: {"gap": -1.0}),
    "tol tightened": ("optimal", lambda a: {"tol": 1e-30}),
    "tol widened": ("loose", lambda a: {"tol": 0.9}),
    "tol of one": ("optimal", lambda a: {"tol": 1.0}),
    "tol nan": ("optimal", lambda a: {"tol": np.nan}),
    "a value of three": ("optimal", lambda a: {"value": np.full(3, a["value"])}),
    "format": ("optimal", lambda a: {"format": 99}),
    "steps": ("optimal", lambda a: {"steps": -a["steps"] - 1}),
    # Not numbers at all.
    "nan in W": ("optimal", lambda a: {"W": _nan(a["W"])}),
    "nan in the multipliers": ("optimal", lambda a: {"dual": _nan(a["dual"])}),
    "nan in a": ("optimal", lambda a: {"a": _nan(a["a"])}),
    "nan in the queries": ("optimal", lambda a: {"z": _nan(a["z"])}),
    "nan in the tokens": ("optimal", lambda a: {"X": _nan(a["X"])}),
    "nan in the scores": ("optimal", lambda a: {"scores": _nan(a["scores"])}),
    "nan in the scores, against worse": (
        "worse",
        lambda a: {"scores": _nan_at_the_busiest(a)} | _without_the_busiest(a),
    ),
    "infinite W": ("optimal", lambda a: {"W": np.full_like(a["W"], np.inf)}),
    # Nothing constrains.
    "value of no constraint": ("empty", lambda a: {"value": 1.0, "upper": 1.0}),
    "W of no constraint": ("empty", lambda a: {"W": a["W"] + 1.0}),
    "infeasible without constraints": ("empty", lambda a: {"status": "infeasible"}),
}


def _moved(x, size):
    x = x.copy()
    x.reshape(-1)[0] *= 1 + size
    return x


def _nan(x):
    x = x.copy()
    x.reshape(-1)[0] = np.nan
    return x


def _hidden(arrays):
    mask = arrays["mask"].copy()
    mask[arrays["sample"][0], arrays["token"][0]] = False
    return mask


def _nan_at_the_busiest(arrays):
    scores, c = arrays["scores"].copy(), arrays["dual"].argmax()
    scores[arrays["sample"][c], arrays["token"][c]] = np.nan
    return scores


def _without_the_busiest(arrays):
    keep = np.arange(len(arrays["dual"])) != arrays["dual"].argmax()
    return {k: arrays[k][keep] for k in ("a", "sample", "token", "dual")}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """One saved file of every kind: each verifies and loads."""
    folder, problem = tmp_path_factory.mktemp("honest"), bank.sphere(3, 4, 6, 1)
    empty = mf.Constraints(np.zeros((0, 3)), np.zeros(0, dtype=int), np.ones((2, 3)))
    contradiction = mf.Problem(
        [[[1.0, 2], [0, 0], [2, 4]], [[0, 1], [1, 0], [1, 1]]], [[1.0, 1], [1, 2]], np.eye(3)[:2]
    )
    twin = mf.Problem([[[1.0, 0], [1, 0], [0, 1]]], [[1.0, 1.0]], [[1.0, 0.5, 0]])
    solved = {
        "optimal": mf.solve(problem, "nuclear"),
        "diagonal": mf.solve(bank.sphere(2, 3, 6, 4), "l1"),
        "loose": _loose(problem),
        "infeasible": mf.solve(contradiction, "nuclear"),
        "zero": mf.solve(twin, "nuclear"),
        "near": mf.solve(mf.Constraints([[1.0, 0], [-1, 1e-40]], [0, 0], [[1.0]]), "frobenius"),
        "empty": mf.solve(empty, "l1"),
        "worse": mf.solve(problem, "nuclear", selection=[0, 0, 0], against="worse"),
    }
    for name, solution in solved.items():
        solution.save(folder / f"{name}.npz")
        assert verify_saved(folder / f"{name}.npz").holds, name
        assert mf.Solution.load(folder / f"{name}.npz").status is solution.status
    assert [s.status.name for s in solved.values()] == (
        ["optimal"] * 2 + ["inaccurate"] + ["infeasible"] * 2 + ["optimal", "optimal", "optimal"]
    )
    return folder


def _loose(problem):
    """A solution whose bounds are a tenth apart, by multipliers that are not the best."""
    from dataclasses import replace

    from marginflow.svm.candidate import Candidate
    from marginflow.svm.proof.status import answer

    fine = mf.solve(problem, "nuclear")
    found = answer(fine.svm, 1e-9, Candidate(fine.W, fine.dual + 0.02 * fine.dual.max()))
    arrays = found.certified
    return replace(
        fine,
        W=arrays.W,
        dual=arrays.dual,
        value=arrays.value(fine.svm),
        certificate=arrays.certificate,
        status=found.status,
        reason=found.reason,
    )


@pytest.mark.parametrize("kind", _FORGERIES)
def test_a_forgery_is_refused(honest, tmp_path, kind):
    base, forge = _FORGERIES[kind]
    arrays = read_npz(honest / f"{base}.npz")
    changes = {name: np.asarray(value) for name, value in forge(arrays).items()}
    assert any(not np.array_equal(arrays[name], value) for name, value in changes.items()), "nothing was forged"
    arrays |= changes
    arrays.pop("digest")
    write_npz(tmp_path / "a.npz", **arrays, digest=digest(arrays))
    try:
        verification = verify_saved(tmp_path / "a.npz")
    except mf.InputError as error:
        assert "\n" not in str(error)
    else:
        failed = {check.name for check in verification.checks if not check.holds}
        assert failed - {"unchanged"}, str(verification)
    with pytest.raises(mf.InputError):
        mf.Solution.load(tmp_path / "a.npz")


def test_there_are_many_kinds():
    assert len(_FORGERIES) >= 70
