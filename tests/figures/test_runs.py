"""Figures for papers: every kind, vector, fonts embedded, the same bytes twice, errors in one line."""

import re
from pathlib import Path

import pytest

from marginflow.cli.figure import figure
from marginflow.errors import InputError
from marginflow.figures.runs import KINDS, save_figure


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn(tmp_path, orbit, digits, kind):
    save_figure(orbit, kind, tmp_path / "a.svg")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    save_figure(digits, kind, tmp_path / "b.pdf")
    data = (tmp_path / "b.pdf").read_bytes()
    assert data.startswith(b"%PDF") and b"/FontFile2" in data and b"/Type3" not in data
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.svg", "b.pdf"]


def test_the_same_figure_twice_is_the_same_file(tmp_path, orbit):
    for name in ("a.pdf", "b.pdf", "a.svg", "b.svg", "a.png"):
        save_figure(orbit[:2], "norms", tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_of_the_readme_is_there_and_its_commands_are_those_that_draw_it():
    root = Path(__file__).parents[2]
    text = (root / "README.md").read_text()
    assert (root / re.search(r'<img src="([^"]+)"', text)[1]).read_text().count("<svg") == 1
    for line in (
        "flow digits --parameterization kq --seed 0 --save kq.npz",
        "figure kq.npz w.npz --kind norms -o norms.svg",
    ):
        assert f"marginflow {line}\n" in text


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [("pie", "a.pdf", "--kind"), ("norms", "a.gif", "suffix"), ("norms", "a", "suffix")],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, orbit, kind, name, message):
    with pytest.raises(InputError, match=message):
        save_figure(orbit, kind, tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_runs_on_two_problems_and_runs_that_never_separate(tmp_path, orbit, digits, trapped):
    with pytest.raises(InputError, match="2 problems"):
        save_figure([orbit[0], digits[0]], "norms", tmp_path / "a.pdf")
    for kind in set(KINDS) - {"time", "attention"}:
        with pytest.raises(InputError, match="at or below 0"):
            save_figure([trapped], kind, tmp_path / "a.pdf")
    for kind in ("time", "attention"):
        save_figure([trapped], kind, tmp_path / f"{kind}.svg")


def test_the_verb(tmp_path, orbit, capsys):
    run = tmp_path / "run.npz"
    orbit[0].save(run)
    assert figure([run], "time", tmp_path / "f.svg") == 0
    assert "wrote" in capsys.readouterr().out
    with pytest.raises(InputError, match="overwrite"):
        figure([run], "time", run)
