"""A page in real Chromium, and what went wrong on it."""


class Opened:
    """A page with everything that went wrong on it."""

    def __init__(self, chromium, file, *, width=1280, theme="light", script=True):
        self.context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, java_script_enabled=script
        )
        self.page = self.context.new_page()
        self.errors, self.requests = [], []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type != "log" else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(file.as_uri())
        if script:
            self.page.wait_for_selector("html[data-ready=yes]")

    def open_bar(self):
        """On a phone: show the lists of the bar."""
        if self.page.locator(".more").is_visible():
            self.page.click(".more")

    def settle(self):
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def violations(self):
        """What axe-core says against the page as it stands: rules, and the elements that break them."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        return [(v["id"], [node["html"][:120] for node in v["nodes"][:3]]) for v in found]

    def smallest(self):
        """The least height in pixels of any text of a chart, as shown."""
        return self.page.evaluate(SMALLEST)

    def unreachable(self):
        """Cells of tables that are beyond the right edge and that no box scrolls to."""
        return self.page.evaluate(UNREACHABLE)

    def state(self, name):
        return self.page.evaluate(f"page.state.{name}")

    def text(self, selector):
        return self.page.inner_text(selector)

    def close(self, file):
        assert not self.errors, self.errors
        asked = [url for url in self.requests if not url.startswith("blob:")]
        assert asked == [file.as_uri()], asked
        self.context.close()


SMALLEST = """() => Math.min(...[...document.querySelectorAll('svg text')].map((text) => {
  if (!text.checkVisibility()) return 99;
  const svg = text.ownerSVGElement;
  const shown = svg.getBoundingClientRect().width / (svg.viewBox.baseVal.width || svg.getBoundingClientRect().width);
  return parseFloat(getComputedStyle(text).fontSize) * shown;
}))"""
UNREACHABLE = """() => [...document.querySelectorAll('td, th')].filter((cell) => {
  if (!cell.checkVisibility()) return false;
  const box = cell.getBoundingClientRect();
  if (box.right <= innerWidth + 1) return false;
  const frame = cell.closest('.scroll, .map-frame');
  return !frame || frame.scrollWidth < box.right - frame.getBoundingClientRect().left + frame.scrollLeft - 1
    || !['auto', 'scroll'].includes(getComputedStyle(frame).overflowX);
}).map((cell) => cell.textContent)"""
