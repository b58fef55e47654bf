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

    def settle(self):
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def state(self, name):
        return self.page.evaluate(f"page.state.{name}")

    def text(self, selector):
        return self.page.inner_text(selector)

    def close(self, file):
        assert not self.errors, self.errors
        asked = [url for url in self.requests if not url.startswith("blob:")]
        assert asked == [file.as_uri()], asked
        self.context.close()
