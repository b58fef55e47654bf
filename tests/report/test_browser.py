"""The page in real Chromium: no error, no request, every figure drawn, every control followed."""

import csv
import dataclasses

import numpy as np
import pytest
from opened import Opened

import marginflow as mf
from marginflow.cli.flow import summary
from marginflow.cli.output import plain
from marginflow.diagnostics.spectrum import attention
from marginflow.problem.problem import Problem
from marginflow.report.build import build_report
from saved_runs import asked


pytestmark = pytest.mark.browser

FIGURES = ["time", "norms", "ratio", "spectrum", "attention", "support", "balance"]


@pytest.fixture(scope="session")
def report(digits, orbit, trapped, tmp_path_factory):
    file = tmp_path_factory.mktemp("report") / "report.html"
    build_report([*digits, *orbit, trapped], file)
    return file


@pytest.fixture
def opened(chromium, report):
    found = Opened(chromium, report)
    yield found
    found.close(report)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_figure_is_drawn(chromium, report, width, theme):
    found = Opened(chromium, report, width=width, theme=theme)
    found.open_bar()
    for run in range(7):
        found.page.select_option("#problem", str(found.page.evaluate(f"DATA.runs[{run}].problem")))
        found.settle()
        found.page.select_option("#run", str(run))
        found.settle()
        for name in FIGURES:
            card = found.page.locator(f"#figure-{name}")
            assert card.is_visible(), name
            assert card.locator("svg.panel, canvas.map").count() >= 1, name
        assert found.page.locator("#figure-time path.curve").count() >= 2
        plane = found.page.evaluate(f"DATA.problems[DATA.runs[{run}].problem].plane !== null")
        assert found.page.locator("#figure-plane").is_visible() == plane
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    background = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 384) == (theme == "light")
    found.close(report)


def test_time_is_moved_by_the_keyboard_and_everything_follows(opened):
    page = opened.page
    before = {k: page.inner_html(f"#figure-{k} .panels") for k in ("time", "support")}
    said = opened.text(".map-host p")
    last = opened.state("snapshot")
    page.focus("#snapshot")
    for _ in range(12):
        page.keyboard.press("ArrowLeft")
    opened.settle()
    assert opened.state("snapshot") == last - 12
    assert opened.text("#now").startswith(f"{last - 11}/")
    assert page.get_attribute("#snapshot", "aria-valuetext").startswith(f"snapshot {last - 11} of")
    for name, html in before.items():
        assert page.inner_html(f"#figure-{name} .panels") != html
    assert opened.text(".map-host p") != said


def test_hovering_moves_time_and_clicking_chooses_the_run(opened):
    page = opened.page
    panel = page.locator("#figure-norms svg").first
    panel.scroll_into_view_if_needed()
    box = panel.bounding_box()
    page.mouse.move(box["x"] + 0.45 * box["width"], box["y"] + 0.4 * box["height"])
    opened.settle()
    assert opened.state("snapshot") < page.evaluate("DATA.runs[0].snapshots - 1")
    run, x, y = opened.text("#tip").split(" · ")
    assert run in ("K, Q, seed 0", "W, seed 0") and x.startswith("least margin ") and y.startswith("nuclear norm")
    point = page.evaluate(
        """() => { const labels = [...document.querySelectorAll('#figure-norms svg text.curve-label')];
        const box = labels.find((l) => l.textContent === 'W').getBoundingClientRect();
        return [box.left - 15, box.top + box.height / 2]; }"""
    )
    page.mouse.click(*point)
    opened.settle()
    assert opened.state("run") == 1 and opened.state("norm") == "frobenius"
    assert page.input_value("#run") == "1" and page.input_value("#norm") == "frobenius"
    assert "W, seed 0" in opened.text("#figure-attention .lede")
    assert page.locator("tr.chosen").get_attribute("data-run") == "1"


def test_a_box_zooms_and_a_double_click_shows_all_again(opened):
    page = opened.page
    panel = page.locator("#figure-ratio svg").first
    panel.scroll_into_view_if_needed()
    box = panel.bounding_box()
    ticks = (
        "[...document.querySelector('#figure-ratio svg').querySelectorAll('.axes text')].map(t => t.textContent).join()"
    )
    before = page.evaluate(ticks)
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 330, box["y"] + 150, steps=4)
    page.mouse.up()
    assert page.evaluate(ticks) != before
    page.locator("#figure-ratio svg").first.dblclick(position={"x": 200, "y": 100})
    assert page.evaluate(ticks) == before


def test_norm_problem_axis_sample_and_theme_controls(opened):
    page = opened.page
    page.select_option("#norm", "frobenius")
    opened.settle()
    assert "Frobenius" in page.locator("#figure-ratio .focus .panel-title").text_content()
    assert "Frobenius SVM" in opened.text("#figure-support .lede")
    before = page.inner_html("#figure-time .panels")
    page.select_option("#time-axis", "linear")
    opened.settle()
    assert page.inner_html("#figure-time .panels") != before
    page.select_option("#sample", "3")
    opened.settle()
    assert opened.text("#figure-attention .tokens caption").startswith("Sample 3")
    assert page.locator("#figure-attention canvas.digit").count() == 1
    page.select_option("#problem", "1")
    opened.settle()
    assert opened.state("run") == 2 and page.locator("#run option").count() == 4
    assert page.locator("#figure-norms svg").count() == 4
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    opened.settle()
    assert page.evaluate(background) != light
    page.click("#all-runs button[data-run='6']")
    opened.settle()
    assert opened.state("run") == 6 and page.input_value("#problem") == "2"


def test_playing_goes_to_the_end(opened):
    page = opened.page
    page.evaluate("update({snapshot: DATA.runs[0].snapshots - 4})")
    page.click("#play")
    # The page forbids eval, which `wait_for_function` needs: look until it stops.
    for _ in range(50):
        page.wait_for_timeout(100)
        if opened.text("#play") == "▶":
            break
    assert opened.state("snapshot") == page.evaluate("DATA.runs[0].snapshots - 1")


def test_the_numbers_are_those_of_json(opened, digits, orbit):
    for index, path in enumerate([*digits, *orbit]):
        wanted = plain(summary(path))
        found = opened.page.evaluate(f"DATA.runs[{index}].final")
        for key in ("margin", "log_time", "log_excess", "ratio"):
            assert found[key] == wanted[key], key
        norm = {"nuclear": "nuclear_over_margin", "frobenius": "frobenius_over_margin"}.get(wanted["norm"])
        if norm:
            # --json divides by the carried margin, the page by that of W: they differ by the integration error.
            assert found["norm_over_margin"] == pytest.approx(wanted[norm], rel=1e-6)
        assert opened.page.evaluate(f"DATA.runs[{index}].status") == wanted["status"]
        drawn = opened.page.evaluate(f"column(DATA.runs[{index}], 'margin').at(-1)")
        assert drawn == pytest.approx(wanted["margin"], rel=1e-6)


def attention_in_page(found, run, k):
    return found.page.evaluate(
        f"DATA.problems[DATA.runs[{run}].problem].samples.map((_, i) => [...attention("
        f"DATA.problems[DATA.runs[{run}].problem], i, detailAt(DATA.runs[{run}], {k}).margins).p])"
    )


def test_attention_in_the_page_is_the_runs(opened, digits):
    """Softmax in the page, from stored margins, against the weights themselves."""
    path = digits[0]
    assert opened.page.evaluate("DATA.runs[0].snapshots") == len(path.log_time)
    for k in (0, len(path.log_time) // 3, len(path.log_time) - 1):
        for ours, theirs in zip(attention_in_page(opened, 0, k), attention(path.problem, path.W(k)), strict=True):
            assert ours == pytest.approx(list(theirs), abs=1e-5)


def test_attention_with_missing_tokens_and_copies_of_the_optimal_one(chromium, tmp_path):
    draw = np.random.default_rng(5)
    X, z, scores = draw.standard_normal((3, 5, 4)), draw.standard_normal((3, 4)), draw.standard_normal((3, 5))
    X[0, 4], scores[0, 4] = X[0, 0], scores[0].max() + 1
    scores[0, 0] = scores[0, 4]
    mask = np.ones((3, 5), dtype=bool)
    mask[1, 2] = mask[2, 4] = False
    path = mf.integrate(Problem(X, z, scores, mask=mask), mf.Combined(), seed=0, until_margin=100)
    file = tmp_path / "r.html"
    build_report([path], file)
    found = Opened(chromium, file)
    for k in (0, len(path.log_time) - 1):
        for ours, theirs in zip(attention_in_page(found, 0, k), attention(path.problem, path.W(k)), strict=True):
            assert ours == pytest.approx(list(theirs)[: len(ours)], abs=1e-5)
    found.page.select_option("#sample", "1")
    found.settle()
    assert found.page.locator("#figure-attention .tokens tbody tr").count() == 4
    found.close(file)


@pytest.mark.parametrize("name", [*FIGURES])
def test_tables_and_csv(opened, name, tmp_path):
    page = opened.page
    card = page.locator(f"#figure-{name}")
    card.locator("summary").click()
    rows = card.locator("details table tbody tr")
    rows.first.wait_for()
    assert rows.count() >= 10
    heads = card.locator("details table thead th").all_inner_texts()
    with page.expect_download() as waiting:
        card.locator("button.csv").click()
    file = tmp_path / "figure.csv"
    waiting.value.save_as(file)
    assert waiting.value.suggested_filename == f"{name}.csv"
    with file.open(newline="") as stream:
        header, *lines = csv.reader(stream)
    assert header == ["run", "parameterisation", "seed", *heads]
    assert {line[0] for line in lines} == {"K, Q, seed 0", "W, seed 0"}
    assert all(len(line) == len(header) for line in lines)


def test_axe_finds_nothing_in_tables_either(chromium, report):
    """In the other theme and width: test_family.py."""
    found = Opened(chromium, report, theme="dark")
    found.page.click("#figure-time summary")
    assert found.violations() == []
    found.close(report)


def test_a_hostile_name_does_nothing(chromium, orbit, tmp_path):
    name = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>"
    p = orbit[0].problem
    path = dataclasses.replace(orbit[0], problem=Problem(p.X, p.z, p.scores, name=name))
    file = tmp_path / "r.html"
    build_report([path], file)
    found = Opened(chromium, file)
    assert found.page.evaluate("window.hacked") is None
    assert name in found.page.text_content(".fold .answer h3") and name in found.text("#figure-norms .lede")
    assert found.page.locator("img").count() == 0
    found.close(file)


def test_trapped_and_undecided_are_told(chromium, trapped, undecided, tmp_path):
    file = tmp_path / "r.html"
    build_report([trapped, undecided], file)
    found = Opened(chromium, file)
    assert "1 trapped above it, 1 undecided" in found.text(".summary")
    assert "did not reach the minimal loss" in found.text(".limits")
    assert found.text("td.trapped") == "trapped" and found.text("td.undecided") == "undecided"
    assert found.page.evaluate("document.documentElement.scrollWidth") <= 1280
    # The one reason, and the SVM that a trapped run does approach.
    assert "for the chosen run: it is trapped." in found.text("#figure-spectrum .lede")
    assert "No law is drawn for the chosen run: it is trapped." in found.text("#figure-time .lede")
    assert "no run here reaches the minimal loss" in found.text("#figure-norms .lede")
    assert found.page.locator("#figure-norms path.curve.front").count() == 2
    assert found.text(".onward pre").count("marginflow ") == 3
    found.close(file)


def test_the_sentences_need_no_script_and_print_without_controls(chromium, report):
    found = Opened(chromium, report, script=False)
    assert "7 runs on 3 problems" in found.text(".summary")
    assert "certified nuclear SVM value" in found.page.text_content("main")
    found.close(report)
    printed = Opened(chromium, report)
    printed.page.emulate_media(media="print")
    assert not printed.page.locator(".controls").is_visible()
    assert printed.page.locator("#figure-norms svg").first.is_visible()
    assert printed.page.pdf().startswith(b"%PDF")
    printed.close(report)


def test_paper_is_white_also_from_the_dark_theme(chromium, report):
    found = Opened(chromium, report, theme="dark")
    corner = "[...document.querySelector('canvas.map').getContext('2d').getImageData(60, 50, 1, 1).data].slice(0, 3)"
    dark = found.page.evaluate(corner)
    found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    white = found.page.evaluate(corner)
    assert min(white) > 200 > max(dark)
    found.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert found.page.evaluate(corner) == dark
    found.close(report)


def test_a_link_opens_the_run_and_time_it_names(chromium, report):
    found = Opened(chromium, report)
    found.page.evaluate("update({run: 3, snapshot: 5})")
    found.settle()
    found.page.wait_for_timeout(400)
    link = found.page.evaluate("location.href")
    found.page.goto("about:blank")
    found.page.goto(link)
    found.page.wait_for_selector("html[data-ready=yes]")
    assert (found.state("run"), found.state("snapshot")) == (3, 5)
    found.context.close()


def test_a_hundred_seeds_are_small_and_fast(chromium, trained, tmp_path):
    """100 runs of 60 snapshots: under 6 MB, drawn in under 2 s."""
    file = tmp_path / "many.html"
    path = trained("sphere:n=6,T=8,d=10,seed=1", "kq", until=1e6)
    assert len(path.log_time) >= 60
    size = build_report([asked(path, seed=k) for k in range(100)], file)
    assert size < 6_000_000
    times = []
    for _ in range(3):
        found = Opened(chromium, file)
        times.append(found.page.evaluate("performance.now()") / 1000)
        assert found.page.locator("#run option").count() == 100
        found.close(file)
    assert min(times) < 2, times


def test_the_title_of_a_norm_chooses_it_and_not_the_nearest_run(opened):
    page = opened.page
    for figure in ("norms", "ratio"):
        page.select_option("#norm", "nuclear")
        opened.settle()
        page.locator(f"#figure-{figure} .panel-title", has_text="Frobenius").click()
        opened.settle()
        assert opened.state("norm") == "frobenius" and page.input_value("#norm") == "frobenius"
        assert "Frobenius SVM" in opened.text("#figure-support .lede")
        assert opened.state("run") == 0


def test_on_a_phone_time_and_choices_stay_in_sight_and_lists_are_a_press_away(chromium, report):
    found = Opened(chromium, report, width=390)
    page = found.page
    page.locator("#figure-balance").scroll_into_view_if_needed()
    bar = "document.querySelector('.controls').getBoundingClientRect().height"
    assert page.evaluate(bar) < 120 and page.locator("#snapshot").bounding_box()["y"] < 90
    assert "K, Q, seed 0" in found.text(".more") and not page.locator("#run").is_visible()
    found.open_bar()
    page.select_option("#norm", "frobenius")
    found.open_bar()
    assert not page.locator("#norm").is_visible() and "Frobenius" in found.text(".more")
    found.close(report)


def test_what_is_rounding_is_greyed(opened):
    """A panel whose curves stay above it has no grey."""
    drawn = "(below) => { const host = document.createElement('div'); document.body.append(host);"
    drawn += "drawPanel(host, {title: '', xLabel: '', x: 'log', y: 'log', rounding: 1e-12, curves: [{run: 0, word: 'w',"
    drawn += (
        "xs: [1, 10, 100], ys: [1, 1e-6, below]}]}, {}); const count = host.querySelectorAll('rect.rounding').length;"
    )
    drawn += "host.remove(); return count; }"
    assert opened.page.evaluate(drawn, 1e-15) == 1 and opened.page.evaluate(drawn, 1e-9) == 0
    assert opened.page.evaluate("DATA.rounding") == 1e-12


def test_the_quotient_of_the_law_is_drawn_from_where_it_stays(opened):
    kept = "(ys) => settled({ys}).ys.map(Number.isFinite)"
    assert opened.page.evaluate(kept, [1e9, 2, 1e-5, 3, 1.1, 1]) == [False, False, False, True, True, True]
    assert opened.page.evaluate(kept, [1, 1e5]) == [False, False]


def test_panels_are_drawn_for_the_width_of_paper(chromium, report):
    found = Opened(chromium, report)
    width = "Number(document.querySelector('#figure-norms svg').getAttribute('width'))"
    screen = found.page.evaluate(width)
    found.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert found.page.evaluate(width) < 350 < screen
    found.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert found.page.evaluate(width) == screen
    found.close(report)


def test_predictions_are_named_where_they_are_drawn(opened):
    """One label in every panel with a grey line, none in the others."""
    counts = """(f) => [...document.querySelectorAll(`#figure-${f} svg`)].map(
      (panel) => ['.guide', '.guide-label'].map((kind) => panel.querySelectorAll(kind).length))"""
    for figure in ("time", "ratio", "spectrum", "norms"):
        found = opened.page.evaluate(counts, figure)
        assert [min(guides, 1) for guides, _ in found] == [labels for _, labels in found]
        assert any(labels for _, labels in found) == (figure != "norms")


@pytest.mark.parametrize("width", [1280, 390])
def test_tab_reaches_every_control_in_sight_and_marked(chromium, report, width):
    found = Opened(chromium, report, width=width)
    wanted = """[...document.querySelectorAll('a, button, select, input, summary, [tabindex="0"]')]
      .filter((e) => e.checkVisibility() && !e.closest('details:not([open]) > :not(summary)')).length"""
    focused = """() => {
      const e = document.activeElement, box = e.getBoundingClientRect();
      const top = document.elementFromPoint(box.left + 4, Math.min(box.top + box.height / 2, innerHeight - 1));
      const seen = box.top > -1 && box.top < innerHeight && (e.contains(top) || top.contains(e));
      return [e.tagName, e.id || e.textContent.slice(0, 20), seen && getComputedStyle(e).outlineStyle !== 'none'];
    }"""
    count = found.page.evaluate(wanted)
    assert count > 30
    stops = []
    for _ in range(count):
        found.page.keyboard.press("Tab")
        stops.append(found.page.evaluate(focused))
    assert "BODY" not in {tag for tag, _, _ in stops}
    assert [stop for stop in stops if not stop[2]] == []
    found.page.keyboard.press("Tab")
    assert found.page.evaluate("document.activeElement.tagName") == "BODY"
    found.close(report)
