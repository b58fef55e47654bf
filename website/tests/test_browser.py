"""The pages in Chromium, opened from disk: quiet, alone, readable on a phone, clean for axe; search finds things."""

import pytest


KINDS = {
    "landing": "index.html",
    "start": "docs/install.html",
    "tutorial": "docs/student.html",
    "notebook": "docs/notebooks/optimisers.html",
    "gallery": "docs/gallery.html",
    "theory": "docs/theory.html",
    "claims": "docs/claims.html",
    "api": "docs/api.html",
    "room": "docs/api/svm.html",
    "commands": "docs/commands.html",
    "search": "search.html",
}
DONE = "/finished|did not match/.test(document.querySelector('#search-results').textContent)"
LOOKS = [(390, "light"), (1280, "dark")]


class Opened:
    """A page, and what went wrong on it."""

    def __init__(self, chromium, file, width=1280, theme="light"):
        self.context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=theme)
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(file if isinstance(file, str) else file.as_uri())
        self.page.wait_for_load_state("load")

    def close(self):
        self.context.close()
        assert not self.errors, self.errors
        assert self.requests and not [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]


@pytest.mark.parametrize(("width", "theme"), LOOKS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_asks_nobody_fits_and_axe_finds_nothing(chromium, site, kind, width, theme):
    from axe_playwright_python.sync_playwright import Axe

    opened = Opened(chromium, site / KINDS[kind], width, theme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.page.locator("main h1, article h1").first.is_visible()
    found = Axe().run(opened.page, options={"preload": False})  # it would ask for the style sheets once more
    opened.close()
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("kind", ["gallery", "claims"])
def test_a_name_in_a_table_is_not_broken_between_letters(chromium, site, kind):
    opened = Opened(chromium, site / KINDS[kind], 390)
    lines = "all => all.map((a) => [a.textContent, a.getClientRects().length])"
    found = opened.page.eval_on_selector_all("td:first-child a", lines)
    opened.close()
    assert len(found) >= 7 and not [name for name, count in found if count > 1 and "-" not in name]


@pytest.mark.parametrize(
    ("words", "page"),
    [("nuclear", "docs/theory.html"), ("verify_saved", "docs/api/svm.html"), ("momentum", "docs/optimisers.html")],
)
def test_search_works_from_disk(chromium, site, words, page):
    opened = Opened(chromium, f"{(site / 'search.html').as_uri()}?q={words}")
    opened.page.wait_for_function(DONE)
    found = opened.page.eval_on_selector_all("#search-results li a", "all => all.map((a) => a.getAttribute('href'))")
    opened.close()
    assert any(link.split("#")[0] == page for link in found), found[:20]


def test_words_that_are_nowhere_find_nothing(chromium, site):
    opened = Opened(chromium, f"{(site / 'search.html').as_uri()}?q=zyzzyva")
    opened.page.wait_for_function(DONE)
    assert opened.page.locator("#search-results li").count() == 0
    opened.close()
