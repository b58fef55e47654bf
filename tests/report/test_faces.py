"""Runs whose goal is faces: the page, the figures and the comparison say which faces, how near, and what is proved."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.diagnostics.on_faces import on_faces
from marginflow.diagnostics.ratio import comparison
from marginflow.diagnostics.spectrum import attention
from marginflow.diagnostics.subject import gather
from marginflow.figures.runs import pick
from marginflow.report.answer import answer
from marginflow.report.build import build_report
from marginflow.report.page import KIND
from marginflow.report.verdicts import verdict_table


@pytest.fixture(scope="module")
def runs():
    """On predicted faces, proved and not; and on others, which a token outside has a larger score than."""
    cyclic = {word: mf.integrate("next-token:number=3", word, loss="log", until_margin=200) for word in ("w", "kq")}
    return cyclic | {"other": mf.integrate("classes:seed=3", "w", loss="squared", until_margin=200)}


def subject_of(*paths):
    (subject,) = gather(paths, lambda text: None)
    return subject


def data_of(file):
    return json.loads(
        re.search(r'<script type="application/json"[^>]*>(.*?)</script>', file.read_text("utf-8"), re.S)[1]
    )


def unpacked(packed):
    kind = {"f4": "<f4", "u1": "<u1", "u2": "<u2"}[packed["k"]]
    return np.frombuffer(base64.b64decode(packed["b"]), kind).reshape(packed["s"])


def test_how_a_run_stands_on_its_faces(runs):
    for word, path in runs.items():
        end = on_faces(path)
        assert end.predicted == (word != "other") and end.lead == pytest.approx(200, rel=1e-3)
        W, problem = path.W(-1), path.problem
        s = np.array([[x @ W @ z for x in row] for row, z in zip(problem.X, problem.z, strict=True)])
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        assert np.abs(p - attention(problem, W)).max() < 1e-12
        assert end.shares_off == pytest.approx(np.abs(p - end.faces.shares).max()) and end.shares_off < 1e-9
        assert end.finite_off < 1e-8 < 0.1 < end.finite
        # Weights with another part along the equalities are told apart.
        rows = end.faces.constraints.restrict(end.faces.constraints.equal)
        moved = replace(path, snapshots=replace(path.snapshots, theta=path.snapshots.theta.copy()))
        if word != "kq":
            moved.snapshots.theta[-1] += 1e-3 * np.outer(rows.a[0], rows.queries[0])
            assert on_faces(moved).finite_off > 1e-5 and on_faces(moved).shares_off > 1e-6


def test_a_run_on_no_faces_yet_says_so():
    path = mf.integrate("next-token:number=3", "w", loss="log", until_margin=15)
    assert path.held is not None and on_faces(path) is None and "on no faces yet" in mf.compare([path]).sentence
    assert "Its attention is on no faces yet." in answer(subject_of(path)).found[0][2]


def test_the_answer_says_which_faces_and_the_norm_beside_their_svm(runs):
    for word, path in runs.items():
        subject = subject_of(path)
        said, sentence = answer(subject).found[0][2], mf.compare([path]).sentence
        assert ("other faces than predicted" if word == "other" else "on the predicted faces") in said
        assert ("is not proved" in sentence) == (word != "w") and ("One W reached" in sentence) == (word == "w")
        value, low, high = map(
            float, re.search(r"is ([\d.]+), a relative .*, in \[([\d.]+), ([\d.]+)\]", said).groups()
        )
        held = path.held.held_back
        least = mf.solve(held, path.norm, 1e-10).value
        assert low <= least * (1 + 1e-9) and least <= high * (1 + 1e-9) and value >= low
        grows = path.W(-1) - path.held.finite(False)
        lead = held.margins(grows)[~held.equal].min()
        norm = np.linalg.svd(grows, compute_uv=False).sum() if word == "kq" else np.linalg.norm(grows)
        assert value == pytest.approx(norm / lead, rel=1e-6)
        assert subject.compared(path).value == pytest.approx(least, rel=1e-8)
    shares = re.findall(r"(\d+\.\d) %", said)
    assert sum(map(float, shares[: int(path.held.members[0].sum())])) == pytest.approx(100.0, abs=0.2)


def test_runs_of_one_problem_under_two_losses_have_pages_of_their_own(runs):
    other = mf.integrate("classes:seed=3", "w", loss="cross-entropy", until_margin=30)
    subjects = gather([runs["other"], other], lambda text: None)
    assert [subject.heading.rpartition(", ")[2] for subject in subjects] == ["squared loss", "cross-entropy loss"]
    values = [subject.solutions["frobenius"].value for subject in subjects]
    for subject, value in zip(subjects, values, strict=True):
        again = mf.solve(subject.problem, "frobenius", loss=subject.goal.loss).value
        assert value == pytest.approx(again, rel=1e-8)
    assert abs(values[0] / values[1] - 1.0) > 0.1


def test_the_table_tells_of_faces_only_where_there_are_some(runs, orbit):
    assert "faces" not in verdict_table([subject_of(orbit[0])])
    table = verdict_table([subject_of(runs["w"], runs["kq"]), subject_of(runs["other"])])
    cells = re.findall(r'data-label="faces" class="text">(\w+)<', table)
    assert cells == ["predicted", "predicted", "others"] or sorted(cells) == ["others", "predicted", "predicted"]
    assert "* of the faces it is on: norm over its lead" in table
    assert re.search(r'data-label="shares off" class="">[\d.]+×10⁻', table)


def test_the_page_holds_every_token_of_a_face(runs, tmp_path):
    """An equality that follows from others is no constraint; its token keeps a share, which the map draws."""
    build_report([runs["w"], runs["kq"]], tmp_path / "page.html")
    data = data_of(tmp_path / "page.html")
    (problem,) = data["problems"]
    path = runs["w"]
    sample, token, led = (unpacked(problem[name]) for name in ("sample", "token", "led"))
    assert len(sample) == int(path.problem.mask.sum()) - path.problem.n > len(path.limit.constraints)
    assert led.sum() == len(path.limit.outside)
    margins = unpacked(data["runs"][0]["detail"]["margins"])[-1]
    gaps = np.full(path.problem.mask.shape, np.inf)
    gaps[np.arange(path.problem.n), path.limit.reference] = 0.0
    gaps[sample, token] = margins
    p = np.exp(-gaps) / np.exp(-gaps).sum(axis=1, keepdims=True)
    assert np.abs(p - path.limit.shares).max() < 1e-6
    assert (unpacked(problem["members"]) == path.limit.members).all()
    dual = unpacked(data["runs"][0]["detail"]["dual"])[-1]
    assert dual.sum() == pytest.approx(1.0, abs=1e-5) and not dual[led == 0].any()
    assert KIND.template == "page.html"


def test_figures_draw_faces_or_say_what_they_leave_out(runs):
    pair = [runs["w"], runs["kq"]]
    for kind in ("time", "norms", "ratio", "spectrum", "attention", "support"):
        assert len(pick(pair, kind).runs) == 2, kind
    for kind in ("norms", "ratio", "spectrum", "support"):
        with pytest.raises(mf.InputError, match="ends on other faces than those of the least loss"):
            pick([runs["other"]], kind)
    with pytest.raises(mf.InputError, match="multipliers have any sign"):
        pick(pair, "balance")
    assert runs["w"].plot("attention").svg.count("in the face") >= 1


def test_comparisons_and_tables_are_of_what_grows(runs, tmp_path, capsys):
    path = runs["other"]
    (row,) = mf.compare([path]).rows
    assert row["own"] == "the faces it is on" and 0.0 < row["frobenius_above"] < 0.1
    assert "* over the lead of the faces it is on" in repr(mf.compare([path]))
    for path in runs.values():
        path.save(tmp_path / "run.npz")
        assert main(["export", str(tmp_path / "run.npz"), "-o", str(tmp_path / "run.csv")]) == 0
        last = (tmp_path / "run.csv").read_text().splitlines()[-1].split(",")
        assert float(last[-1]) == pytest.approx(comparison(path).ratio(path.norm), rel=1e-12)
    capsys.readouterr()
