"""The page of records: sentences without scripts, linked curves and map, nothing to load, nothing injected."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest

import marginflow as mf
from marginflow.cli.main import main
from marginflow.report.watch_page import FIGURES, build_watch_report
from marginflow.watch.figures import WATCHED
from marginflow.watch.record import OVER_LEAD


RUNS = [Path(__file__).parents[1] / "watch" / f"{name}.npz" for name in ("gpt", "paper", "vit")]
"""Records of real trainings, stored from benchmarks/watch.py --save, without cores."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    out = tmp_path_factory.mktemp("records") / "report.html"
    assert main(["report", *map(str, RUNS), "-o", str(out)]) == 0
    return out


def test_the_page_says_everything_without_scripts(page):
    text = page.read_text()
    for file in RUNS:
        record = mf.Record.load(file)
        assert f"law {record.law}" in text
        for said in record.sentences:
            assert said.replace("&", "&amp;").replace("'", "&#x27;").replace(">", "&gt;") in text
    assert text.count("→") >= 7 * sum(len(mf.Record.load(file).layers) for file in RUNS)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert set(FIGURES) == set(WATCHED + OVER_LEAD)


def settled(tab, true):
    """Two frames on, `true` holds: the page's policy lets no test wait for an expression."""
    tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert tab.evaluate(true), true


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_curves_map_and_table_follow_one_head_and_one_record(page, chromium, width, theme):
    tab = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    tab.goto(page.as_uri())
    tab.wait_for_selector("html[data-ready=yes]")
    record = mf.Record.load(RUNS[0])
    shown = 2 + sum(panel for _, panel, *_ in FIGURES.values())
    assert tab.locator("#panels svg.panel").count() == shown
    assert tab.locator("#map-frame rect:not(.here)").count() == len(record) * len(record.names)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    if width == 390:
        tab.click(".more")
    tab.select_option("#layer", "1")
    settled(tab, "document.getElementById('head').value === '4'")
    tab.locator("#step").fill("3")
    settled(tab, "document.querySelector('#table tr.chosen th').textContent === '3'")
    assert "layers.1.attn.0" in tab.locator("#lede").inner_text()
    assert f"step {record.step[3]}" in tab.locator("#panels .panel-title").last.inner_html()
    tab.select_option("#figure", "0")
    settled(tab, "document.getElementById('legend').textContent.startsWith('largest logit')")
    tab.locator('#map-frame rect[data-k="5"][data-i="2"]').click()
    settled(tab, "document.getElementById('head').value === '2'")
    assert tab.locator("#step").input_value() == "5"
    tab.select_option("#record", "1")
    settled(tab, "document.getElementById('lede').textContent.includes('head head')")
    before = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.click("#theme")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != before
    assert not errors
    tab.close()


@pytest.mark.browser
def test_the_csv_has_every_number(page, chromium, tmp_path):
    tab = chromium.new_page()
    tab.goto(page.as_uri())
    with tab.expect_download() as asked:
        tab.click("#csv")
    asked.value.save_as(tmp_path / "record.csv")
    with open(tmp_path / "record.csv", newline="") as file:
        rows = list(csv.reader(file))
    record = mf.Record.load(RUNS[0])
    assert len(rows) == 1 + len(record) * len(record.names)
    column = rows[0].index("entropy, nats")
    entropy = np.array([float(row[column]) for row in rows[1:]]).reshape(len(record), -1)
    np.testing.assert_allclose(entropy, record.figure("entropy"), rtol=1e-6)
    tab.close()


@pytest.mark.browser
def test_a_record_without_logits_or_loss_opens(chromium, tmp_path):
    recorder = mf.Recorder(model="</script><script>alert(1)</script>")
    for step in (0, 1):
        recorder.record(step, None, [("only", *np.random.default_rng(step).standard_normal((2, 3, 5)))])
    build_watch_report([recorder.result], ["</script>.npz"], tmp_path / "a.html")
    assert "<script>alert" not in (tmp_path / "a.html").read_text()
    tab = chromium.new_page()
    errors = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto((tmp_path / "a.html").as_uri())
    tab.wait_for_selector("html[data-ready=yes]")
    said = tab.locator("#panels").text_content()
    assert "Logits were not seen." in said and "No loss was handed in." in said
    assert not errors
    tab.close()


def test_kinds_do_not_mix(tmp_path, capsys):
    np.savez(tmp_path / "other.npz", kind="audit")
    assert main(["report", str(RUNS[0]), str(tmp_path / "other.npz"), "-o", str(tmp_path / "out.html")]) == 2
    assert "one kind" in capsys.readouterr().err and not (tmp_path / "out.html").exists()


def test_stored_records_are_those_of_real_trainings():
    gpt, paper, vit = (mf.Record.load(file) for file in RUNS)
    assert gpt.law == "rope+gqa" and gpt.model == "GPT" and len(gpt.layers) == 2
    # An unbroken run: the drift by the law starts at 0 and the loss falls.
    assert (gpt.figure("drift")[0] == 0).all() and gpt.loss[-1] < 0.5 * gpt.loss[0]
    # Gradient descent at a rate of .025 stays with the flow: conserved to first order in the rate.
    assert paper.law == "plain" and paper.figure("drift").max() < 1e-3
    # A rate of .1 leaves the flow in one layer, and the record says so.
    assert vit.law == "plain" and any("layers.1.self_attn by step" in said for said in vit.sentences)
    assert dataclasses.replace(gpt, cores=None).sentences == gpt.sentences


def test_one_record_is_not_several(tmp_path, capsys):
    assert main(["report", str(RUNS[0]), "-o", str(tmp_path / "one.html")]) == 0
    assert capsys.readouterr().out.rstrip().endswith("MB, 1 record)")
