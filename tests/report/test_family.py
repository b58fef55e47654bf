"""Every kind of page is one of a family: the answer first, then a picture; nothing too small or beyond an edge."""

import re
from pathlib import Path

import fake_work
import pytest
from opened import Opened
from own_logits import write_stored
from plans import plan
from stored_families import stored

import marginflow as mf
from marginflow.cli.main import main
from marginflow.pages.kind import STYLES, asset
from marginflow.report.audit_page import build_audit_report
from marginflow.report.build import build_report
from marginflow.report.watch_page import build_watch_report
from marginflow.study.coordinator import run_study
from marginflow.study.engines.serial import Serial
from marginflow.study.outcome.outcome import outcome
from marginflow.study.page.page import page
from marginflow.study.results.folder import Folder


pytestmark = pytest.mark.browser

RECORDS = [Path(__file__).parents[1] / "watch" / f"{name}.npz" for name in ("gpt", "vit")]

FIRST = {
    "runs": "#figure-norms svg",
    "steps": "#figure-norms svg",
    "faces": "#figure-norms svg",
    "heads": "#figure-norms svg",
    "study": "table.phase",
    "attractors": "#map-frame svg",
    "audit": "#map-frame svg",
    "watch": "#panels svg",
}
"""The picture that each kind shows first."""


def steps(file, _):
    build_report([mf.descend("equal:n=3,T=3,d=4,seed=0", "w", rule, iterations=200) for rule in ("gd", "sign")], file)


def faces(file, _):
    runs = [mf.integrate("next-token:number=3", word, loss="log", until_margin=100) for word in ("w", "kq")]
    build_report([*runs, mf.integrate("classes:seed=3", "w", loss="squared", until_margin=100)], file)


def heads(file, _):
    build_report([mf.integrate("heads:n=2,T=3,d=6,H=3,seed=5", "w", seed=1, until_margin=30)], file)


def study(file, folder):
    held = Folder(folder / "study")
    run_study(plan(), held, Serial(), work=fake_work.quick)
    ledger = held.read_ledger(plan(), print)
    file.write_text(page(outcome(plan(), ledger)), "utf-8")
    ledger.close()


def attractors(file, _):
    words = "attractors trap:infinity -p w --sample 4 --scale 1 --scale 4 --until-margin 100 --html".split()
    assert main([*words, str(file)]) == 0


def audit(file, folder):
    (folder / "gpt2").mkdir()
    build_audit_report([mf.audit(write_stored(stored("gpt2"), folder / "gpt2"), controls=4)], file)


def watch(file, _):
    build_watch_report([mf.Record.load(name) for name in RECORDS], list(map(str, RECORDS)), file)


@pytest.fixture(scope="module")
def pages(orbit, trapped, tmp_path_factory):
    folder = tmp_path_factory.mktemp("family")
    makers = {
        "steps": steps,
        "faces": faces,
        "heads": heads,
        "study": study,
        "attractors": attractors,
        "audit": audit,
        "watch": watch,
    }
    makers["runs"] = lambda file, _: build_report([*orbit[:2], trapped], file)
    for kind, make in makers.items():
        make(folder / f"{kind}.html", folder)
    return {kind: folder / f"{kind}.html" for kind in FIRST}


TOP = "(name) => document.querySelector(name).getBoundingClientRect().top + scrollY"


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (390, "dark")])
@pytest.mark.parametrize("kind", FIRST)
def test_every_page(chromium, pages, kind, width, theme):
    found = Opened(chromium, pages[kind], width=width, theme=theme)
    tab = found.page
    screens = 1 if width == 1280 else 2
    assert tab.evaluate(TOP, "h1") < 100 and len(found.text("h1")) > 30
    assert tab.evaluate(TOP, FIRST[kind]) < 900 * screens - 100
    for fold in tab.locator("details > summary").all():
        fold.evaluate("(summary) => { summary.parentElement.open = true; }")
    found.settle()
    assert found.smallest() >= 9
    assert found.unreachable() == []
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    mute = "[...document.querySelectorAll('.scroll, .map-frame')].filter((box) => box.checkVisibility() && "
    mute += "box.scrollWidth > box.clientWidth + 1 && !box.nextElementSibling.checkVisibility()).length"
    assert tab.evaluate(mute) == 0
    assert found.violations() == []
    before = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.click("#theme")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != before
    found.close(pages[kind])


def test_they_share_one_stylesheet_one_frame_and_one_chart_module(pages):
    style = "".join(asset(f"pages/assets/{name}") for name in STYLES)
    for kind, file in pages.items():
        text = file.read_text("utf-8")
        assert text.count("<style>") == 1 and f"<style>\n{style}\n</style>" in text, kind
        assert text.count("\nfunction drawPanel(") == 1 and text.count("\nfunction makeScale(") == 1, kind
        assert re.search(r"\{\{\w+\}\}", text) is None, kind
