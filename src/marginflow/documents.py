"""Where the documents are: the one place that knows, for messages, the package's metadata and README's links."""

import re
from typing import Final


ADDRESS: Final = ""
"""Where the site stands, with a slash at its end; "" while it stands nowhere, and pages are called by their names."""


def page(name: str, section: str = "") -> str:
    """What to call the document `name` in a sentence: its address, or docs/<name>.md where there is none.

    Args:
        name: "flow", "theory", ...
        section: a number that the page has, as in "7.4"; it follows the page.
    """
    where = f"{ADDRESS}docs/{name}.html" if ADDRESS else f"docs/{name}.md"
    return f"{where} {section}".rstrip()


def addressed(text: str) -> str:
    """`text` with every docs/<name>.md in it called as `page` calls it."""
    return re.sub(r"\bdocs/([a-z-]+)\.md", lambda found: page(found[1]), text)
