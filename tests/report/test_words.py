"""Words in the page: on the map, in the sentence, in tables and CSV, and never as markup."""

import csv
import dataclasses

import numpy as np
import pytest
from opened import Opened

import marginflow as mf
from marginflow.diagnostics.spectrum import attention
from marginflow.diagnostics.subject import gather
from marginflow.problem.problem import Problem
from marginflow.report import payload
from marginflow.report.answer import answer
from marginflow.report.build import build_report
from marginflow.report.payload import problem_data
from marginflow.trajectory.verdict import FlowStatus, Verdict


pytestmark = pytest.mark.browser

HOSTILE = [
    ["</script><script>window.hacked=1</script>", "<img src=x onerror='window.hacked=1'>", "=1+1"],
    ["{{data}}", "\u202eright to left", "two\nlines"],
    [" space", "", "é\U0001f600"],
]


def named(problem, token_names, sample_names=None):
    return Problem(
        problem.X,
        problem.z,
        problem.scores,
        mask=problem.mask,
        name=problem.name,
        token_names=token_names,
        sample_names=sample_names,
    )


@pytest.fixture(scope="module")
def sentences(trained):
    return trained("sentences", "kq")


@pytest.fixture
def opened(chromium, sentences, tmp_path):
    file = tmp_path / "r.html"
    build_report([sentences], file)
    found = Opened(chromium, file)
    yield found
    found.close(file)


def csv_of(page, figure, file):
    with page.expect_download() as waiting:
        page.click(f"#figure-{figure} button.csv")
    waiting.value.save_as(file)
    with file.open(newline="", encoding="utf-8") as stream:
        header, *lines = csv.reader(stream)
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_a_sentence_is_tinted_by_its_attention_and_its_optimal_word_framed(opened, sentences):
    problem, page = sentences.problem, opened.page
    page.evaluate("update({snapshot: 3})")
    opened.settle()
    stored = page.evaluate("detailAt(DATA.runs[0], 3).snapshot")
    weights = attention(problem, sentences.W(stored))
    for i in (0, 5, 10):
        page.select_option("#sample", str(i))
        opened.settle()
        assert page.locator(".sentence .word").all_inner_texts() == problem.token_names[i][problem.mask[i]].tolist()
        assert opened.text(".sentence .optimal") == problem.token_names[i, problem.optimal[i]]
        tints = page.evaluate("[...document.querySelectorAll('.sentence .word')].map((w) => w.getAttribute('style'))")
        shown = [float(tint.split("--accent) ")[1].split("%")[0]) / 45 for tint in tints]
        np.testing.assert_allclose(shown, weights[i][problem.mask[i]], atol=2e-3)
        assert problem.sample_names[i] in opened.text("#figure-attention .tokens caption")


def test_words_are_drawn_on_the_map(opened):
    """The pixels of a cell with a word, against those of an empty one beyond the end of a shorter sentence."""
    greys = """() => {
      const map = document.querySelector('canvas.map'), r = devicePixelRatio, w = DATA.problems[0].wordWidth;
      const whole = map.getContext('2d').getImageData(0, 0, map.width, map.height);
      return [0, 8].map((l) => {
        const seen = new Set();
        for (let y = MAP.top + 22 + 5; y < MAP.top + 44 - 5; y++) {
          const from = y * r * map.width + (MAP.left + l * w) * r;
          for (let x = 5; x < w - 5; x++) seen.add(whole.data[4 * (from + x * r)]);
        }
        return seen.size;
      });
    }"""
    drawn, empty = opened.page.evaluate(greys)
    assert drawn > 5 > empty


def test_tables_and_csv_name_the_words(opened, sentences, tmp_path):
    problem = sentences.problem
    rows = csv_of(opened.page, "attention", tmp_path / "a.csv")
    assert len(rows) == problem.mask.sum()
    for row in rows:
        i, place = int(row["sample"]), int(row["token"])
        assert row["word"] == problem.token_names[i, place]
        assert row["sample name"] == problem.sample_names[i]
        assert (row["optimal"] == "yes") == (problem.optimal[i] == place)
    rows = csv_of(opened.page, "support", tmp_path / "s.csv")
    assert len(rows) == len(problem.constraints())
    top = rows[0]
    i = int(top["sample"])
    assert top["word"] == problem.token_names[i, int(top["token"])]
    assert top["optimal word"] == problem.token_names[i, problem.optimal[i]]
    heads = opened.page.evaluate("columnsOf(supportFigure, DATA.problems[0])")
    assert list(top)[3:] == heads


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_with_words_fits_and_axe_finds_nothing(chromium, sentences, tmp_path, width, theme):
    from axe_playwright_python.sync_playwright import Axe

    file = tmp_path / "r.html"
    build_report([sentences], file)
    found = Opened(chromium, file, width=width, theme=theme)
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    assert [violation["id"] for violation in Axe().run(found.page).response["violations"]] == []
    found.close(file)


def test_hostile_words_stay_text(chromium, trained, tmp_path):
    path = trained("sphere:n=3,T=3,d=6,seed=0", "w", until=50)
    path = dataclasses.replace(path, problem=named(path.problem, HOSTILE, ["<b>", "=cmd", "plain"]))
    file = tmp_path / "r.html"
    build_report([path], file)
    assert file.read_text("utf-8").count("<script") == 2
    found = Opened(chromium, file)
    for i, row in enumerate(HOSTILE):
        found.page.select_option("#sample", str(i))
        found.settle()
        for figure in ("attention", "support"):
            details = found.page.locator(f"#figure-{figure} details")
            details.evaluate("(e) => { e.open = true; }")
        words = found.page.locator(".sentence .word").all_text_contents()
        assert words == [word.replace("\n", "⏎").replace(" space", "␣space") or "token 1" for word in row]
    assert found.page.evaluate("window.hacked") is None
    assert found.page.locator("img").count() == 0 and found.page.locator("main script").count() == 0
    rows = csv_of(found.page, "attention", tmp_path / "a.csv")
    assert [row["word"] for row in rows[:3]] == [*HOSTILE[0][:2], "'=1+1"]
    assert rows[3]["sample name"] == "'=cmd" and rows[5]["word"] == "two\nlines"
    found.close(file)


def test_a_run_without_names_is_shown_with_those_of_another_on_the_same_data(sentences):
    bare = dataclasses.replace(sentences, problem=named(sentences.problem, None))
    (subject,) = gather([bare, sentences], lambda text: None)
    assert problem_data(subject)["words"][0][:2] == ["a", "superb"]


def test_names_that_would_make_the_file_large_are_left_out_and_that_is_said(sentences, monkeypatch):
    (subject,) = gather([sentences], lambda text: None)
    monkeypatch.setattr(payload, "NAMES", 100)
    found = problem_data(subject)
    assert found["words"] is None and "left out" in found["words_note"]
    monkeypatch.undo()
    assert problem_data(subject)["words_note"] == ""


def test_the_answer_names_the_words_of_a_trap(trapped):
    problem = named(trapped.problem, [[f"word {place}" for place in range(trapped.problem.T)]] * trapped.problem.n)
    path = dataclasses.replace(trapped, problem=problem, verdict=Verdict(FlowStatus.trapped, "for good", proof="svm"))
    (subject,) = gather([path], lambda text: None)
    text = answer(subject).found[0][2]
    i = int(np.flatnonzero(path.selected(-1) != problem.optimal)[0])
    assert f"{i} (on “word {path.selected(-1)[i]}”, not “word {problem.optimal[i]}”)" in text


def test_digits_keep_their_patches(chromium, digits, tmp_path):
    file = tmp_path / "r.html"
    build_report([digits[0]], file)
    found = Opened(chromium, file)
    assert found.page.locator("canvas.digit").count() == 1 and found.page.locator(".sentence").count() == 0
    assert mf.Problem.token_names is None
    found.close(file)


@pytest.mark.parametrize("width", [1280, 390])
def test_long_texts_and_long_names_fit(chromium, tmp_path, width):
    """Too many words for the cells of a map: they stand in the sentence and in the table."""
    draw = np.random.default_rng(0)
    problem = Problem(
        draw.standard_normal((3, 120, 4)),
        draw.standard_normal((3, 4)),
        draw.standard_normal((3, 120)),
        token_names=[[f"uncharacteristically{place}" for place in range(120)]] * 3,
        sample_names=["a name as long as names may be ".ljust(100, "n")] * 3,
    )
    path = mf.integrate(problem, mf.Combined(), until_margin=5, max_steps=20)
    file = tmp_path / "r.html"
    build_report([path], file)
    found = Opened(chromium, file, width=width)
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    assert not found.page.evaluate("wordsOnMap(DATA.problems[0])")
    assert found.page.locator(".sentence .word").count() == 120
    assert found.page.locator("#figure-attention .tokens tbody tr").count() == 120
    for card in found.page.locator("#figures > .card").all():
        box = card.bounding_box()
        assert box is None or box["x"] + box["width"] <= width
    found.close(file)
