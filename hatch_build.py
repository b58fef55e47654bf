"""Metadata that depends on where the pages are: README as a package index shows it, and the project's addresses."""

import re
import runpy
from pathlib import Path

from hatchling.metadata.plugin.interface import MetadataHookInterface


LINK = re.compile(r"\[([^\]]*)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)")
PICTURE = re.compile(r'<img src="(?!https?:)([^"]+)"[^>]*>\n*')
COMMENT = re.compile(r"<!--.*?-->\n*", re.S)


class Metadata(MetadataHookInterface):
    """README and addresses, from README.md and marginflow/documents.py."""

    def update(self, metadata: dict) -> None:
        root = Path(self.root)
        address = runpy.run_path(str(root / "src" / "marginflow" / "documents.py"))["ADDRESS"]
        text = for_index((root / "README.md").read_text(), address)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
        metadata["urls"] = {"Documentation": address, "Changelog": f"{address}CHANGELOG.html"} if address else {}


def for_index(text: str, address: str) -> str:
    """README without its neighbours: links lead to the site, or are names of pages while there is none."""
    text = COMMENT.sub("", text)
    text = PICTURE.sub(lambda found: f'<img src="{address}_images/{Path(found[1]).name}">\n\n' if address else "", text)
    return LINK.sub(lambda found: _link(found[1], found[2], found[3] or "", address), text)


def _link(words: str, target: str, anchor: str, address: str) -> str:
    if address:
        page = re.sub(r"\.(md|ipynb)$", ".html", target)
        return f"[{words}]({address}{page}{anchor})"
    return f"{words} ({target})"
