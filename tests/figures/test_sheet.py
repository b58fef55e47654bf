"""Figures for other people's pages: size, font, text as text, a panel for each run, nothing that leaves the picture."""

import re
from functools import cache

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import marginflow as mf
from marginflow.cli.main import main
from marginflow.errors import InputError
from marginflow.figures.picture import plot
from marginflow.figures.runs import KINDS, MOST_PANELS, draw, pick, save_figure
from marginflow.figures.style import Sheet, figure_of


SHEETS = [Sheet(), Sheet(5.0, font_size=9), Sheet(17.0, font="serif", font_size=11)]


@pytest.fixture(scope="module")
def steps():
    made = [mf.descend("sign-orbit", "w", rule, iterations=300, rate=0.05) for rule in ("gd", "adam", "sign")]
    return [*made, mf.integrate("sign-orbit", "w", until_margin=1e3)]


def drawn(paths, kind, sheet):
    """A figure as it is written: the layout done, and the renderer that did it."""
    with figure_of(sheet.inches, sheet.tall(3.0), sheet, "svg") as figure:
        draw(figure, pick(paths, kind), kind, sheet)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return figure, canvas.get_renderer()


@pytest.fixture(scope="module")
def plain(orbit):
    """The function that draws a kind of figure of the orbit on a plain sheet, each once."""
    return cache(lambda kind: drawn(orbit, kind, Sheet()))


@pytest.mark.parametrize("sheet", SHEETS, ids=["column", "narrow", "page"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].each])
def test_no_legend_leaves_the_picture_or_covers_an_axis(orbit, plain, steps, kind, sheet):
    first = plain(kind) if sheet == Sheet() else drawn(orbit, kind, sheet)
    for figure, renderer in (first, drawn(steps, kind, sheet)):
        (legend,) = figure.legends
        box = legend.get_window_extent(renderer)
        page = figure.bbox
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
        for axes in figure.axes:
            shown = [axes.xaxis.label, axes.yaxis.label, *axes.texts]
            boxes = [axes.get_window_extent(renderer), *(text.get_window_extent(renderer) for text in shown)]
            # A pixel of the legend's own padding.
            assert not any(box.padded(-1.0).overlaps(other) for other in boxes)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_inside_the_page(plain, kind):
    figure, renderer = plain(kind)
    for axes in figure.axes:
        box = axes.get_tightbbox(renderer)
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].each])
def test_a_panel_for_each_run(orbit, plain, kind):
    figure, _ = plain(kind)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"{name}, seed 0" for name in ("K, Q", "W", "k $\\circ$ q", "β")]
    picked = pick([orbit[0]] * (MOST_PANELS + 2), kind)
    assert len(picked.runs) == MOST_PANELS and [place for place, _ in picked.notes] == [MOST_PANELS, MOST_PANELS + 1]


def test_size_and_font_are_those_asked_for(tmp_path, orbit):
    save_figure(orbit, "norms", tmp_path / "a.svg", sheet=Sheet(12.7, 10.16, "serif", 10))
    text = (tmp_path / "a.svg").read_text()
    assert re.search(r'<svg[^>]* width="360pt"', text) and re.search(r'<svg[^>]* height="288pt"', text)
    assert set(re.findall(r"font-size: ([0-9.]+)px", text)) >= {"10", "9"} and "serif; text-anchor" in text
    assert "least margin" in text and "<title>marginflow: norms of sign-orbit</title>" in text
    for sheet, said in (
        ({"font": "No Such Font"}, "--font"),
        ({"width": 1.0}, "--width"),
        ({"font_size": 99}, "points"),
    ):
        with pytest.raises(InputError, match=said):
            save_figure(orbit, "norms", tmp_path / "b.svg", sheet=Sheet(**sheet))
    assert not (tmp_path / "b.svg").exists()


def test_eps_has_text_and_pgf_says_what_it_needs(tmp_path, orbit, monkeypatch):
    save_figure(orbit[:1], "ratio", tmp_path / "a.eps")
    text = (tmp_path / "a.eps").read_text(errors="replace")
    assert text.startswith("%!PS-Adobe-3.0 EPSF") and ".part" not in text
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"\.pgf needs a LaTeX"):
        save_figure(orbit[:1], "ratio", tmp_path / "a.pgf")
    assert not (tmp_path / "a.pgf").exists()


def test_words_stand_on_the_map_and_absent_tokens_are_hatched():
    names = [["plain", "$5", "unreadably" * 4], ["a", "b", ""]]
    draw_from = np.random.default_rng(0)
    X = [draw_from.standard_normal((3, 4)), draw_from.standard_normal((2, 4))]
    z, scores = draw_from.standard_normal((2, 4)), [[1.0, 0.0, 0.5], [0.0, 1.0]]
    problem = mf.Problem(X, z, scores, token_names=[names[0], names[1][:2]])
    figure, renderer = drawn([mf.integrate(problem, "w", until_margin=10)], "attention", Sheet())
    axes = figure.axes[0]
    shown = [text.get_text() for text in axes.texts]
    assert shown[:2] == ["plain", r"\$5"] and shown[3:] == ["a", "b"] and shown[2].endswith("…")
    width = axes.get_window_extent(renderer).width / 3
    assert all(text.get_window_extent(renderer).width < 1.05 * width for text in axes.texts)
    hatched = [patch.get_xy() for patch in axes.patches if patch.get_hatch()]
    assert hatched == [(1.5, 0.5)]
    # Too narrow for words: rings, and no frame.
    many = mf.Problem(draw_from.standard_normal((1, 12, 4)), z[:1], np.eye(12)[:1], token_names=[["word"] * 12])
    figure, _ = drawn([mf.integrate(many, "w", until_margin=10)], "attention", Sheet(4.5, font_size=9))
    assert not figure.axes[0].texts


def test_text_that_leaves_no_room_is_refused(orbit, tmp_path):
    with pytest.raises(InputError, match="too small for its text"):
        save_figure(orbit, "attention", tmp_path / "a.svg", sheet=Sheet(3.0, 2.0, font_size=20))
    assert not list(tmp_path.iterdir())


def test_runs_of_one_parameterisation_by_several_methods_are_told_apart(steps):
    figure, _ = drawn(steps, "ratio", Sheet(17))
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert len(names) == 4 and names[-1] == "W" and names[0].startswith("W, gradient descent")
    dashes = {str(line._dash_pattern) for line in legend.get_lines()}
    assert len(dashes) == 4


def test_what_cannot_be_drawn_is_left_out_and_named(tmp_path, trapped, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    trapped.save("stuck.npz")
    mf.integrate("trap:infinity", "w", until_margin=1e4).save("good.npz")
    assert main(["figure", "stuck.npz", "good.npz", "--kind", "norms", "-o", "a.svg"]) == 0
    assert "note: stuck.npz is left out: it is trapped and ends with a margin at or below 0" in capsys.readouterr().out
    assert main(["figure", "stuck.npz", "--kind", "norms", "-o", "b.svg"]) == 2
    assert "none of 1 runs can be drawn" in capsys.readouterr().err


def test_a_run_and_several_plot_themselves(orbit, tmp_path):
    picture = orbit[0].plot("ratio", width=10)
    assert picture._repr_svg_().startswith("<svg") and "Picture(ratio of 1 run)" == repr(picture)
    picture.save(tmp_path / "a.pdf")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    assert "K, Q" in plot(orbit, "norms").svg
    with pytest.raises(InputError, match="--kind"):
        orbit[0].plot("pie")
