"""Runs with several heads: the page tells of each head, and every other view of a run takes them."""

import re

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.diagnostics.subject import gather
from marginflow.figures.heads import panels_of_heads
from marginflow.figures.runs import pick
from marginflow.flow.integrate import resume
from marginflow.report.answer import answer
from marginflow.report.build import build_report
from marginflow.report.heads import columns_of_heads, ends_of_heads, sentence_of_heads
from marginflow.report.verdicts import verdict_table


DATA = "heads:n=2,T=3,d=6,H=2,seed=5"


@pytest.fixture(scope="module")
def runs():
    flows = {word: mf.integrate(DATA, word, seed=1, until_margin=30) for word in ("w", "kq", "diag", "diag-kq")}
    return flows | {"steps": mf.descend(DATA, "w", "spectral", seed=1, iterations=100)}


def said(path):
    (subject,) = gather([path], lambda text: None)
    return answer(subject).found[0][2], subject


@pytest.mark.parametrize("word", ["w", "kq", "diag", "diag-kq", "steps"])
def test_the_answer_tells_of_every_head(runs, word):
    path = runs[word]
    text, subject = said(path)
    margins = [float(m) for m in re.findall(r"head \d has least margin (-?[\d.]+)", text)]
    each = path.problem.constraints().per_head
    assert margins == pytest.approx([c.margins(W).min() for (_, c), W in zip(each, path.W(-1), strict=True)], rel=1e-4)
    assert path.margin[-1] == pytest.approx(min(margins), rel=1e-3)
    norm = subject.solutions[path.norm].norm
    told = re.findall(r"norm ([\d.]+) over it \(certified least \[(\S+), (\S+)\]", text)
    for h, (value, low, high) in enumerate(told):
        least = mf.solve(path.problem.of_head(h), norm).value
        assert float(low) <= least * (1 + 1e-9) and least <= float(high) * (1 + 1e-9) and float(value) > float(low)
    assert len(told) == 2


def test_a_trapped_run_is_told_by_leads_over_worse_tokens():
    path = mf.integrate("heads:n=3,T=4,d=5,H=2,seed=5", "w", seed=0, scale=3.0, until_margin=1.5e3)
    assert path.status is mf.FlowStatus.trapped
    text, _ = said(path)
    leads = [float(m) for m in re.findall(r"head \d has least lead ([\d.]+)", text)]
    assert len(leads) == 2 and min(leads) > 1e3


def test_one_head_says_nothing_of_heads():
    path = mf.integrate("trap:infinity", "w", until_margin=20.0)
    (subject,) = gather([path], lambda text: None)
    assert sentence_of_heads(path, subject) == ""


def test_the_page_names_rows_by_output_and_head(runs, tmp_path):
    build_report([runs["w"], runs["diag"], runs["steps"]], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "output 1, head 0" in page and "By head: head 0 has least margin" in page


@pytest.mark.parametrize("word", ["kq", "diag"])
def test_every_other_view_takes_several_heads(runs, word, tmp_path, capsys):
    path = runs[word]
    path.save(tmp_path / "run.npz")
    again = mf.Trajectory.load(tmp_path / "run.npz")
    np.testing.assert_array_equal(again.W(-1), path.W(-1))
    assert main(["export", str(tmp_path / "run.npz"), "-o", str(tmp_path / "run.csv")]) == 0
    capsys.readouterr()
    assert len((tmp_path / "run.csv").read_text().splitlines()) == len(path) + 1
    assert len(path.to_dataframe()) == len(path)
    assert {"kq": "least nuclear norm", "diag": "least l2 norm"}[word] in mf.compare([path]).sentence
    for kind in ("time", "norms", "heads", "ratio", "attention", "support", "balance", "spectrum"):
        try:
            drawn = path.plot(kind)
        except mf.InputError as error:
            assert word == "diag" and "\n" not in str(error), error
            continue
        assert drawn is not None
    further = resume(again, until_margin=60)
    assert further.margin[-1] >= 60 and further.W(-1).shape == path.W(-1).shape


def test_the_table_and_the_figure_have_a_row_and_a_panel_for_each_head(runs, tmp_path):
    path = runs["kq"]
    (subject,) = gather([path], lambda text: None)
    ends = ends_of_heads(path, subject)
    for end, (_, own), W in zip(ends, path.problem.constraints().per_head, path.W(-1), strict=True):
        least = mf.solve(path.problem.of_head(end.head), "nuclear").value
        assert end.least.lower <= least * (1 + 1e-9) and end.wrong == 0
        assert end.value == pytest.approx(np.linalg.svd(W, compute_uv=False).sum() / own.margins(W).min(), rel=1e-9)
    table = verdict_table([subject])
    rows = re.findall(r'class="part"><th scope="row">head (\d)</th>(.*?)</tr>', table)
    assert [row[0] for row in rows] == ["0", "1"] and all("on optimal tokens" in row[1] for row in rows)
    assert panels_of_heads(pick([path, runs["w"]], "heads").runs) == [
        (norm, h) for norm in ("nuclear", "frobenius") for h in (0, 1)
    ]
    assert panels_of_heads(pick([mf.integrate("trap:infinity", "w", until_margin=5.0)], "heads").runs) == [
        ("frobenius", 0)
    ]
    columns = columns_of_heads(path, ["nuclear"], np.array([len(path) - 1]))
    assert [columns[f"head{h}_nuclear"][0] for h in (0, 1)] == [end.value for end in ends]


def test_the_head_that_is_trapped_is_told_from_the_other():
    path = mf.integrate("heads:n=3,T=4,d=5,H=2,seed=5", "w", seed=0, scale=3.0, until_margin=1.5e3)
    (subject,) = gather([path], lambda text: None)
    wrong = path.selected(-1) != path.problem.optimal
    each = [int(wrong[path.problem.head == h].sum()) for h in range(2)]
    assert [end.wrong for end in ends_of_heads(path, subject)] == each and sorted(map(bool, each)) == [False, True]
    rows = re.findall(r'class="part"><th scope="row">head (\d)</th>(.*?)</tr>', verdict_table([subject]))
    assert ["on wrong tokens" in row[1] for row in rows] == list(map(bool, each))
