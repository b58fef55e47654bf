"""`solve` with a loss: the graph SVM of next tokens, faces of values, heads, and what files and the command say."""

import json

import cvxpy as cp
import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.svm.referee.verify import verify_saved


TABLE = [
    # inequalities and equalities that differ, dimension of the span, Frobenius, nuclear, least loss inside the cycles
    (15, 2, 1, 2.032925, 3.181154, 0.231049),
    (13, 5, 2, 2.230522, 3.748304, 0.462098),
    (11, 2, 1, 1.877720, 2.832077, 0.231049),
    (11, 7, 3, 3.328949, 4.890715, 0.693147),
    (15, 2, 1, 2.030248, 2.886591, 0.231049),
    (16, 2, 1, 3.749042, 5.366896, 0.231049),
    (12, 4, 2, 2.352086, 3.635035, 0.462098),
    (16, 2, 1, 2.489252, 4.481270, 0.231049),
    (16, 2, 1, 4.988112, 7.449764, 0.231049),
    (14, 2, 1, 4.130904, 6.855974, 0.231049),
]
"""A prototype's, which shares no code with this package (other solver, components by Tarjan)."""


@pytest.mark.parametrize("number", range(10))
def test_the_ten_next_token_sets(number):
    problem = mf.load(f"next-token:number={number}")
    inequalities, equalities, dimension, frobenius, nuclear, least = TABLE[number]
    one, two = (mf.solve(problem, norm, loss="log") for norm in ("frobenius", "nuclear"))
    for solution, value in ((one, frobenius), (two, nuclear)):
        assert solution.status is mf.SvmStatus.optimal and solution.certificate.gap < 1e-9
        assert solution.value == pytest.approx(value, abs=6e-7)
    faces, rows = one.faces, one.constraints
    assert faces.minimal_loss == pytest.approx(least, abs=6e-7) and faces.gap < 1e-13
    assert faces.members.sum() - problem.n == equalities and rows.equal.sum() == dimension
    outside = np.column_stack([rows.a, rows.queries])[~rows.equal]
    assert len(np.unique(outside, axis=0)) == inequalities
    assert one.finite_decrement <= 1e-20
    # W and the finite part keep their sides of the equalities.
    np.testing.assert_allclose(rows.margins(one.W)[rows.equal], 0.0, atol=1e-13)
    assert rows.margins(one.W)[~rows.equal].min() >= 1.0 - 1e-12
    s = np.einsum("ntd,de,ne->nt", problem.X, one.finite, problem.z)
    e = np.where(faces.members, np.exp(s), 0.0)
    np.testing.assert_allclose(e / e.sum(axis=1, keepdims=True), faces.shares, atol=1e-12)


@pytest.fixture(scope="module")
def classes():
    """Three outputs of two heads each, classes as labels; some rows keep two tokens."""
    draw = np.random.default_rng(0)
    X, V = draw.standard_normal((6, 5, 8)), 2.0 * draw.standard_normal((6, 5, 6))
    z = draw.standard_normal((6, 8))
    return mf.Problem(X, z, values=V, labels=[0, 1, 2], output=[0, 0, 1, 1, 2, 2], head=[0, 1, 0, 1, 0, 1])


def test_values_heads_and_equalities_against_cvxpy(classes):
    solution = mf.solve(classes, "nuclear", loss="cross-entropy")
    faces, W = solution.faces, [cp.Variable((8, 8)) for _ in range(2)]
    rules = []
    for i in range(6):
        for t in range(5):
            margin = (classes.X[i, faces.reference[i]] - classes.X[i, t]) @ W[classes.head[i]] @ classes.z[i]
            if t != faces.reference[i]:
                rules.append(margin == 0 if faces.members[i, t] else margin >= 1)
    peer = cp.Problem(cp.Minimize(cp.normNuc(W[0]) + cp.normNuc(W[1])), rules)
    peer.solve(solver="CLARABEL")
    assert solution.status is mf.SvmStatus.optimal and (faces.members.sum(axis=1) > 1).any()
    assert solution.value == pytest.approx(peer.value, rel=1e-6)
    assert solution.W.shape == solution.finite.shape == (2, 8, 8)


def test_files_hold_the_loss_and_are_verified(classes, tmp_path):
    for problem, loss in ((classes, "cross-entropy"), (mf.load("next-token:number=3"), "log")):
        solution = mf.solve(problem, "frobenius", loss=loss)
        solution.save(tmp_path / "s.npz")
        again = mf.Solution.load(tmp_path / "s.npz")
        assert again.value == solution.value and again.faces.loss == loss
        np.testing.assert_array_equal(again.finite, solution.finite)
        np.testing.assert_array_equal(again.dual, solution.dual)
        assert verify_saved(tmp_path / "s.npz").holds
        inside = mf.load(tmp_path / "s.npz")
        for key in ("X", "mask", "output", "head", "values", "labels"):
            np.testing.assert_array_equal(getattr(inside, key), getattr(problem, key))


@pytest.mark.parametrize("change", ["members", "loss", "selection", "equality"])
def test_files_whose_faces_are_others_are_refused(tmp_path, change):
    from marginflow.npz import write_npz
    from marginflow.svm.referee.verify import digest

    mf.solve(mf.load("next-token:number=3"), "frobenius", loss="log").save(tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as data:
        arrays = {key: data[key] for key in data if key != "digest"}
    e = int(np.flatnonzero(arrays["equal"])[0])
    if change == "members":
        arrays["members"][arrays["sample"][e], arrays["token"][e]] = False
    elif change == "loss":
        arrays["loss"] = np.array("linear")
    elif change == "selection":
        arrays["selection"][0] = (arrays["selection"][0] + 1) % 4
    else:
        arrays["equal"][e], arrays["level"][e] = False, 1.0
    write_npz(tmp_path / "t.npz", **arrays, digest=digest(arrays))
    if change == "loss":  # the referee proves the SVM of the members in the file; the loss is for `load` to recompute
        with pytest.raises(mf.InputError, match="solve and save it again"):
            mf.Solution.load(tmp_path / "t.npz")
        return
    try:
        assert not verify_saved(tmp_path / "t.npz").holds
    except mf.InputError:
        pass
    with pytest.raises(mf.InputError, match=r"solve and save it again|no solution is so"):
        mf.Solution.load(tmp_path / "t.npz")


def test_a_loss_goes_with_a_problem_and_no_selection(classes):
    sphere = mf.load("sphere:n=3,T=3,d=5")
    for call in (
        lambda: mf.solve(sphere.constraints(), "frobenius", loss="log"),
        lambda: mf.solve(sphere, "frobenius", selection=[0, 0, 0], loss="exponential"),
    ):
        with pytest.raises(mf.InputError, match="loss: got it with"):
            call()
    plain, lossy = mf.solve(sphere, "frobenius"), mf.solve(sphere, "frobenius", loss="logistic")
    np.testing.assert_array_equal(plain.W, lossy.W)
    assert plain.finite is None and not lossy.finite.any()


def test_faces_that_are_not_one_point_are_refused():
    draw = np.random.default_rng(1)
    X, V = draw.standard_normal((2, 8, 6)), 3.0 * draw.standard_normal((2, 8, 2))
    problem = mf.Problem(X, draw.standard_normal((2, 6)), values=V, labels=[[0.0, 0.0], [0.1, 0.0]])
    with pytest.raises(mf.InputError, match="is not one point"):
        mf.solve(problem, "nuclear", loss="squared")


def test_the_verbs_say_faces(classes, tmp_path, capsys):
    from marginflow.problem.files import write_problem

    assert main(["svm", "next-token", "--loss", "log", "--norm", "nuclear", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["status"] == "optimal" and found["equalities"] == 1 and found["constraints"] == 17
    assert found["value"] == pytest.approx(3.181154, abs=1e-6) and found["minimal_loss"] == pytest.approx(
        0.231049, abs=1e-6
    )
    write_problem(tmp_path / "p.npz", classes)
    assert main(["svm", str(tmp_path / "p.npz"), "--loss", "cross-entropy", "--norm", "frobenius"]) == 0
    text = capsys.readouterr().out
    assert "equalities), W is 2 x 8 x 8" in text and "finite part" in text and "least loss" in text
    assert main(["describe", str(tmp_path / "p.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["outputs"], found["heads"], found["values"], found["loss"]) == (3, 2, 6, "cross-entropy")
    assert found["separable"] is True and found["faces"]["unique"] is True and found["score_gap"] is None
    assert main(["describe", "next-token", "--loss", "log"]) == 0
    assert "2 of 6 samples end on several tokens" in capsys.readouterr().out
    assert main(["svm", str(tmp_path / "p.npz")]) == 2
    assert "expected scores, or ask marginflow.faces" in capsys.readouterr().err
    assert main(["svm", "next-token", "--loss", "log", "--select", "0,0,0,0,0,0"]) == 2


def test_the_command_says_which_least_loss_is_not_proved(capsys, tmp_path):
    """Rows beside a cycle whose tokens depend on each other: that they can be left behind is what `solve` proves."""
    E = np.random.default_rng(3).standard_normal((7, 3))
    rows = [((0, 1, 4), 0), ((1, 0, 4), 1), ((2, 3, 5), 2)]
    X, z = E[[prefix for prefix, _ in rows]], E[[prefix[-1] for prefix, _ in rows]]
    place = np.array([prefix.index(label) for prefix, label in rows])
    np.savez(tmp_path / "few.npz", X=X, z=z, labels_token=place)
    words = []
    for data in (str(tmp_path / "few.npz"), "next-token:number=3"):
        assert main(["svm", data, "--loss", "log", "--norm", "frobenius"]) == 0
        words.append("members not proved" in capsys.readouterr().out)
    assert words == [True, False]
