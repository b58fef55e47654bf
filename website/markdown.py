"""Words for Markdown pages that are made from the code's own sentences."""


def plain(text: str) -> str:
    """`text` in which Markdown sees no markup but code in backticks."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _escaped(text)
    return "".join(f"`{part}`" if k % 2 else _escaped(part) for k, part in enumerate(parts))


def cell(text: str) -> str:
    """`text` as it stands in a table."""
    return plain(" ".join(text.split()))


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "\\*_`|<>[]$#{}" else c for c in text)
