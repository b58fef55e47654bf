"""`marginflow gallery`: the object on stdout, the folder, exit codes, Ctrl-C."""

import json
from dataclasses import replace

import pytest

from marginflow.claims.claim import Check
from marginflow.cli import completion
from marginflow.cli.main import main
from marginflow.gallery import registry
from marginflow.gallery.page import cells, page, text
from marginflow.gallery.row import Found, Row, RowResult


def row(name, measured=1.0):
    """A row that takes no time and holds where `measured` is 1."""

    def make():
        if measured is None:
            raise KeyboardInterrupt
        checks = (Check("one", 1.0, measured, 0.1, "why"),)
        return Found({"one|two": measured, "words": ["a", "a"]}, {"one|two": 1e-9}, checks, draw)

    def draw(figure):
        figure.subplots().plot([1.0, 2.0])

    return Row(name, "one is |one|", "arXiv 0", "none", make)


@pytest.fixture
def rows(monkeypatch):
    def use(*given):
        monkeypatch.setattr(registry, "_known", lambda: {each.name: each for each in given})

    return use


def test_json_has_the_fixed_fields(rows, capsys):
    rows(row("a"), row("b", 2.0))
    assert main(["gallery", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert [each["holds"] for each in said["rows"]] == [True, False]
    assert said["hold"] == 1
    assert {"name", "source", "peer", "ours", "certificate", "holds", "cpu"} <= set(said["rows"][0])


def test_out_has_a_page_and_a_figure_for_each_row(rows, tmp_path, capsys):
    rows(row("a"), row("b"))
    assert main(["gallery", "--out", str(tmp_path / "new" / "folder")]) == 0
    out = tmp_path / "new" / "folder"
    assert sorted(p.name for p in (out / "gallery").iterdir()) == ["a.svg", "b.svg"]
    assert "![Figure of the row b](gallery/b.svg)" in (out / "gallery.md").read_text()
    assert "2 of 2 rows hold" in capsys.readouterr().out


def test_the_page_says_what_does_not_hold_and_why(rows):
    rows(row("a", 2.0))
    said = page(registry.run())
    assert "One is |one|: does NOT hold. one: expected = 1 within 0.1, got 2." in said
    assert "| one\\|two |  | 2 | 1.1e-09 |" in said  # the float64 next to 1e-9 is above it
    assert "| [a](#a) | one is \\|one\\| | NO |" in said
    assert "0 of 1 hold" in said


def test_ctrl_c_leaves_only_what_was_finished(rows, tmp_path, capsys):
    rows(row("a"), row("b", None), row("c"))
    assert main(["gallery", "--json", "--out", str(tmp_path)]) == 130
    out = capsys.readouterr()
    said = json.loads(out.out)
    assert [each["name"] for each in said["rows"]] == ["a"]
    assert said["interrupted"] is True
    assert "1 of 3 rows were made, 1 of them hold" in out.err
    assert not (tmp_path / "gallery.md").exists()


def test_a_file_in_place_of_the_folder_is_refused_before_any_work(rows, tmp_path, capsys):
    rows(row("a", None))
    (tmp_path / "taken").write_text("")
    assert main(["gallery", "--out", str(tmp_path / "taken")]) == 2
    assert "expected a folder" in capsys.readouterr().err


def test_an_unknown_name_is_one_line(capsys):
    assert main(["gallery", "nothing"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "expected some of visualization1" in err


def test_list_runs_nothing(rows, capsys):
    rows(row("a", None))
    assert main(["gallery", "--list"]) == 0
    assert "one is |one|" in capsys.readouterr().out
    assert main(["gallery", "--list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["name"] == "a"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, ""),
        (0.00012345, "0.00012"),
        (1.23456789, "1.234568"),
        ([1.23456, 2.0], "1.235, 2"),
        (["x", "x"], "x, all 2"),
    ],
)
def test_values_as_people_read_them(value, said):
    assert text(value) == said


def test_what_a_proof_leaves_open_is_rounded_upwards():
    nearest = row("a")
    found = replace(nearest.run().found, certificate={"one|two": 1.2000001e-9, "gaps": [0.20000001, 3.125]})
    shown = {what: proof for what, _, _, proof in cells(RowResult(nearest, found, "", 0.0))}
    assert shown["one|two"] == "1.3e-09"
    assert shown["gaps"] == "0.2001, 3.125"


def test_shells_complete_the_names_of_rows():
    assert [name for name, _ in completion.gallery("vis")] == ["visualization1", "visualization2"]
