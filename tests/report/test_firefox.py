"""The page in Debian's Firefox: it opens from disk, nothing complains, every figure is drawn and follows."""

import pytest
from firefox import firefox

from marginflow.report.build import build_report


pytestmark = pytest.mark.browser

PLANE = [False, True, True, False]
"""Which of digits, sign orbit, trap and sentences are problems in the plane."""

SETTLED = "requestAnimationFrame(() => requestAnimationFrame(arguments[arguments.length - 1]))"
SHOWN = """return [...document.querySelectorAll("#first > .card, #figures > .card")].filter((card) => !card.hidden)
  .map((card) => [card.id, card.querySelectorAll("svg.panel, canvas.map").length]);"""


@pytest.fixture(scope="module")
def browser():
    with firefox() as found:
        yield found


@pytest.fixture(scope="module")
def report(digits, orbit, trapped, trained, tmp_path_factory):
    file = tmp_path_factory.mktemp("firefox") / "report.html"
    build_report([*digits, *orbit, trapped, trained("sentences", "kq")], file)
    return file


def choose(browser, selector, value):
    browser.script(
        """const list = document.querySelector(arguments[0]);
        list.value = arguments[1];
        list.dispatchEvent(new Event("change"));""",
        selector,
        str(value),
    )
    browser("WebDriver:ExecuteAsyncScript", script=SETTLED, args=[], sandbox="default")


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_every_figure_is_drawn_and_nothing_complains(browser, report, width, theme):
    browser.open(report, width=width, theme=theme)
    assert browser.script("return [document.documentElement.dataset.ready, innerWidth]") == ["yes", width]
    for problem in range(len(PLANE)):
        choose(browser, "#problem", problem)
        cards = dict(browser.script(SHOWN))
        assert ("figure-plane" in cards) == PLANE[problem] and len(cards) == 7 + PLANE[problem]
        assert min(cards.values()) >= 1, cards
        assert browser.script("return document.documentElement.scrollWidth") <= width
    red = browser.script("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) > 128) == (theme == "light")
    assert browser.script("return performance.getEntriesByType('resource').map((entry) => entry.name)") == []
    assert browser.complaints() == []


def test_controls_change_what_they_should(browser, report):
    browser.open(report, width=1280, theme="light")
    panels = "return ['time', 'support'].map((id) => document.querySelector(`#figure-${id} .panels`).innerHTML)"
    values = "return ['run', 'norm', 'snapshot'].map((id) => document.getElementById(id).value)"
    last = int(browser.script(values)[2])
    before = browser.script(panels)
    slider = browser("WebDriver:FindElement", using="css selector", value="#snapshot")["value"]
    (element,) = slider.values()
    browser("WebDriver:ElementSendKeys", id=element, text="\ue012" * 5)
    browser("WebDriver:ExecuteAsyncScript", script=SETTLED, args=[], sandbox="default")
    assert browser.script(values) == ["0", "nuclear", str(last - 5)]
    assert all(now != then for now, then in zip(browser.script(panels), before, strict=True))
    choose(browser, "#run", 1)
    assert browser.script(values)[:2] == ["1", "frobenius"]
    assert "W, seed 0" in browser.script("return document.querySelector('#figure-attention .lede').textContent")
    background = "return getComputedStyle(document.body).backgroundColor"
    light = browser.script(background)
    browser.script("document.getElementById('theme').click()")
    assert browser.script(background) != light
    assert browser.complaints() == []


def test_complaints_would_be_seen(browser, tmp_path):
    """The test of the tests above."""
    file = tmp_path / "bad.html"
    file.write_text('<!doctype html><meta charset="utf-8"><title>bad</title><script>notDefined()</script>')
    browser.open(file, width=1280, theme="light")
    assert ["notDefined" in complaint for complaint in browser.complaints()] == [True]
