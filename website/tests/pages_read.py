"""Pages as a browser finds them: what each links to, what it loads, and which places it has."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Page(HTMLParser):
    """One HTML file.

    Attributes:
        file: where it is.
        links: targets of <a>, as written.
        loads: what it asks for by itself: scripts, styles, pictures.
        places: every id.
        text: what is read, code left out.
    """

    file: Path
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    text: str = ""
    _code: int = 0

    def __post_init__(self) -> None:
        super().__init__()
        self.feed(self.file.read_text())

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        found = dict(given)
        self._code += tag in ("code", "pre", "script", "style")
        if found.get("id"):
            self.places.add(str(found["id"]))
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in ("script", "img", "iframe", "source") and found.get("src"):
            self.loads.append(str(found["src"]))
        if tag == "link" and found.get("href"):
            self.loads.append(str(found["href"]))

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre", "script", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self._code else data

    def target(self, link: str) -> tuple[Path, str] | None:
        """The file and the place that `link` means; None for one that leaves the site."""
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return None
        return (
            (self.file.parent / unquote(parts.path)).resolve() if parts.path else self.file,
            unquote(parts.fragment),
        )


def read(site: Path) -> dict[Path, Page]:
    """Every page below `site`; the theme's templates are none."""
    files = [file.resolve() for file in sorted(site.rglob("*.html")) if "_static" not in file.parts]
    return {file: Page(file) for file in files}
