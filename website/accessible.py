"""What the theme and the tools write and a screen reader cannot use, repaired in the finished pages."""

import re
from pathlib import Path


REPAIRS = (
    (re.compile(r"<th([^>]*)>(?:<p></p>)?</th>"), r"<td\1></td>"),  # the empty corner of a table heads nothing
    (re.compile(r'<summary>(?=<span class="toctree-toggle")'), '<summary aria-label="Pages below this one">'),
)


def repair(site: Path) -> None:
    """Every page below `site`, in place."""
    for file in site.rglob("*.html"):
        text = repaired = file.read_text()
        for found, instead in REPAIRS:
            repaired = found.sub(instead, repaired)
        if repaired != text:
            file.write_text(repaired)
