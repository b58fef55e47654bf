"""Pictures of ends: written whole, readable with many ends, refused in one line."""

import dataclasses

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import marginflow as mf
from marginflow.attractors.find import attractors
from marginflow.attractors.shares import Share
from marginflow.figures import attractors as pictures
from marginflow.figures.attractors import draw_basins, draw_shares
from marginflow.figures.style import LEGEND
from marginflow.problem import named


@pytest.fixture(scope="module")
def found():
    return attractors(named.load("trap:infinity"), "w", sample=6, scales=(0.1, 5.0))


def with_ends(found, count):
    """The same list with `count` ends, each met by some runs."""
    worst = next(a for a in found.attractors if not a.optimal)
    best = next(a for a in found.attractors if a.optimal)
    shares = tuple(Share(scale, 2, 2 * count) for scale in found.scales)
    ends = [dataclasses.replace(a, shares=shares) for a in [best, *[worst] * (count - 1)]]
    return dataclasses.replace(found, attractors=tuple(ends))


def test_pictures(found, tmp_path):
    draws = ((draw_shares, "svg", {}), (draw_shares, "png", {}), (draw_basins, "svg", {"points": 3}))
    for draw, kind, options in draws:
        path = tmp_path / f"{draw.__name__}.{kind}"
        draw(found, path, **options)
        assert path.stat().st_size > 2000
    with pytest.raises(mf.InputError, match=r"expected .pdf"):
        draw_shares(found, tmp_path / "picture.txt")
    with pytest.raises(mf.InputError, match="two numbers"):
        draw_basins(attractors(named.load("sphere:n=2,T=3,d=3"), "w"), tmp_path / "a.svg")
    with pytest.raises(mf.InputError, match="no sampled runs"):
        draw_shares(attractors(named.load("trap:finite"), "w"), tmp_path / "a.svg")


def boxes(figure):
    """Legend, title and the axes' own frame, in pixels."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    renderer = canvas.get_renderer()
    return axes.get_legend().get_window_extent(renderer), axes.title.get_window_extent(renderer), axes.bbox


@pytest.mark.parametrize("count", [2, LEGEND, LEGEND + 1, 19, 60])
def test_a_legend_of_many_ends_covers_nothing_and_is_not_cut(found, tmp_path, count):
    many = with_ends(found, count)
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    pictures._shares(figure, many)
    legend, title, axes = boxes(figure)
    assert not legend.overlaps(title) and not legend.overlaps(axes)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(names) <= LEGEND + 1 and names[0] == "minimal loss"
    # Every end is named or counted, and what the bars show adds up to all of them.
    others = [int(name.split()[0]) for name in names if name.endswith("other ends")]
    assert len(names) - len(others) + sum(others, 0) == count and 1 not in others
    assert sum(bar.get_height() for bar in figure.axes[0].patches if bar.get_x() < 0) == pytest.approx(1.0)
    draw_shares(many, tmp_path / "a.png")
    width, height = np.frombuffer((tmp_path / "a.png").read_bytes()[16:24], dtype=">u4")
    inches = figure.get_tightbbox()
    assert width >= 300 * (inches.width - 0.05) and height >= 300 * (inches.height - 0.05)
    assert legend.y0 / figure.dpi >= inches.y0 - 1e-6 and legend.x1 / figure.dpi <= inches.x1 + 1e-6


def test_a_legend_of_many_basins_is_capped(found):
    many = with_ends(found, 30)
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    starts = np.array(np.meshgrid([-1.0, 1.0], [-1.0, 1.0])).reshape(2, -1).T
    pictures._basins(figure, many, starts, np.array([0, 1, 29, 29]), 1.0)
    legend, title, axes = boxes(figure)
    assert not legend.overlaps(title) and not legend.overlaps(axes)
    names = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert len(names) == LEGEND and names[-1].startswith("24 other ends")
    assert names[1].endswith("50% of this square")
