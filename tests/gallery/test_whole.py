"""The whole gallery, and the page in docs/ that it wrote."""

from pathlib import Path

import pytest

from marginflow.gallery.page import cells
from marginflow.gallery.registry import listing, run


PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"

PUBLISHED = {
    "visualization1": [8.685735, 9.754810],
    "visualization2": [1.526360, 1.872604],
    "mirror-1.75": [3.459492, 4.792356, 4.609979],
    "mirror-2": [2.660157, 3.649005, 3.524880],
    "mirror-3": [1.417869, 1.894833, 1.886858],
}
"""Least norms, measured on prototypes before the gallery was written (CVXPY and other code)."""


def test_the_page_in_docs_has_every_row_and_its_figure():
    page = PAGE.read_text()
    for row in listing():
        assert f"\n## {row.name}\n" in page
        assert row.source in page
        assert (PAGE.parent / "gallery" / f"{row.name}.svg").stat().st_size > 2000
    assert "NOT hold" not in page


@pytest.mark.long
def test_every_row_holds_and_is_what_the_page_says():
    page = PAGE.read_text()
    results = run()
    assert [result.row.name for result in results if not result.holds] == []
    for result in results:
        # The first quantity of a row is a least norm or a rank: it does not depend on the machine.
        what, paper, here, _ = cells(result)[0]
        assert f"| {what.replace('|', chr(92) + '|')} | {paper} | {here} |" in page, result.row.name
        values = [v for w, v in result.found.ours.items() if w.startswith("least") and "norm" in w]
        flat = [x for v in values for x in (v if isinstance(v, list) else [v])]
        expected = PUBLISHED.get(result.row.name, [])
        assert [round(x, 6) for x in flat][: len(expected)] == expected


@pytest.mark.long
def test_counts_of_multi_token():
    (result,) = run(["multi_token"])
    ours = result.found.ours
    assert ours["seeds with a sample whose best set has several tokens"] == [239, 442, 592, 642]
    assert ours["of them with a token to leave behind"] == [239, 442, 592, 638]


@pytest.mark.long
def test_counts_of_local_converge():
    (result,) = run(["local_converge"])
    ours = result.found.ours
    assert ours["runs of W at minimal loss"] == 72
    assert ours["runs of W trapped"] + ours["runs of W undecided"] == 28
    assert ours["runs of K Q' at minimal loss"] + ours["runs of K Q' trapped"] >= 97
