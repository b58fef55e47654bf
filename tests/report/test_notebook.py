"""Objects in a notebook: well-formed, escaped, nothing to load, readable in both themes."""

import dataclasses
import xml.etree.ElementTree as ElementTree
from typing import ClassVar

import pytest

import marginflow as mf
from marginflow.diagnostics.table import diagnose


HOSTILE = "</div><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>&amp;"
THEMES = {"light": ("#ffffff", "#1c2127"), "dark": ("#111111", "#e6e9ec")}


@pytest.fixture(scope="module")
def shown():
    problem = mf.Problem(
        [[[1.0, 0.0], [0.0, 1.0], [0.0, 0.5]], [[0.0, 1.0], [1.0, 0.0]]],
        [[1.0], [-1.0]],
        [[1.0, 0.0, 0.5], [2.0, 1.0]],
        name=HOSTILE,
        token_names=[[HOSTILE[:90], "plain", "ω"], ["<b>", "&"]],
    )
    path = mf.integrate(problem, mf.Combined(), until_margin=20)
    path = dataclasses.replace(path, verdict=dataclasses.replace(path.verdict, reason=HOSTILE))
    table = dataclasses.replace(diagnose(path), warnings=(HOSTILE,))
    solution = mf.solve(problem, "nuclear")
    return {
        "Problem": problem,
        "Trajectory": path,
        "Solution": solution,
        "Solution, unfinished": dataclasses.replace(solution, reason=HOSTILE),
        "Table": table,
        "Table, empty": dataclasses.replace(table, data={}, notes=()),
    }


@pytest.mark.parametrize("kind", ["Problem", "Trajectory", "Solution", "Solution, unfinished", "Table", "Table, empty"])
def test_html_is_small_well_formed_and_asks_for_nothing(shown, kind):
    html = shown[kind]._repr_html_()
    elements = list(ElementTree.fromstring(html).iter())
    assert {element.tag for element in elements} <= {"div", "strong", "b", "table", "thead", "tbody", "tr", "th", "td"}
    assert "http" not in html and "url(" not in html and "class=" not in html
    assert len(html) < 40_000
    styles = " ".join(element.get("style", "") for element in elements)
    assert "#" not in styles, "a colour of its own is wrong in one of the two themes"


def text_of(html: str) -> str:
    return "".join(ElementTree.fromstring(html).itertext())


def test_the_numbers_are_those_of_the_objects(shown):
    path, solution, table = shown["Trajectory"], shown["Solution"], shown["Table"]
    said = text_of(path._repr_html_())
    assert f"{path.margin[-1]:.6g}" in said and path.status.value in said and HOSTILE in said
    assert solution.certificate.interval(15) in text_of(solution._repr_html_())
    said = text_of(table._repr_html_())
    assert all(name in said for name in table.columns) and f"{table['margin'][-1]:.6g}" in said
    assert HOSTILE in said


def test_the_optimal_word_is_framed(shown):
    frames = ElementTree.fromstring(shown["Problem"]._repr_html_()).iter("b")
    assert [frame.text for frame in frames] == [HOSTILE[:90], "<b>"]


def test_words_are_framed_where_a_missing_token_stands_before_them():
    problem = mf.Problem(
        [[[9.0], [1.0], [2.0]]], [[1.0]], [[9.0, 1.0, 2.0]], mask=[[0, 1, 1]], token_names=[["x", "y", "z"]]
    )
    html = ElementTree.fromstring(problem._repr_html_())
    assert [frame.text for frame in html.iter("b")] == ["z"]
    assert "x" not in "".join(text_of(problem._repr_html_()).split("framed")[1:])


class Long:
    """Public objects whose text must stay a few lines."""

    lines: ClassVar = {"Table": 40}


def test_reprs_are_short(shown, orbit):
    path = orbit[0]
    things = [*shown.values(), path.snapshots, path.verdict, path.parameterization, path.problem.constraints()]
    for thing in things:
        text = repr(thing)
        assert text.count("\n") <= Long.lines.get(type(thing).__name__, 0), text
        assert len(text) < 3000, text


@pytest.mark.browser
@pytest.mark.parametrize("theme", THEMES)
def test_in_a_page_hostile_text_stays_text(chromium, shown, theme, tmp_path):
    background, text = THEMES[theme]
    style = f"body {{ background: {background}; color: {text} }} tr:nth-child(even) {{ background: #888 }}"
    body = "".join(thing._repr_html_() for thing in shown.values())
    file = tmp_path / "notebook.html"
    file.write_text(f'<!doctype html><html lang="en"><title>n</title><style>{style}</style>{body}</html>', "utf-8")
    context = chromium.new_context(viewport={"width": 900, "height": 700})
    page = context.new_page()
    requests, wrong = [], []
    page.on("request", lambda r: requests.append(r.url))
    page.on("console", lambda m: wrong.append(m.text))
    page.on("pageerror", lambda e: wrong.append(str(e)))
    page.goto(file.as_uri())
    assert page.evaluate("window.hacked") is None
    assert page.locator("img, script").count() == 0
    assert requests == [file.as_uri()] and wrong == []
    colours = page.evaluate(
        "[...new Set([...document.querySelectorAll('td, th, b')].map(e => getComputedStyle(e).color))]"
    )
    assert len(colours) == 1
    striped = page.evaluate(
        "[...document.querySelectorAll('tr')].filter(e => getComputedStyle(e).backgroundColor !== 'rgba(0, 0, 0, 0)')"
    )
    assert striped == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 900
    context.close()
