"""Docstrings, which are written to be read in a terminal, as the markup that Sphinx reads."""

import re
from collections.abc import Iterator

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring


SECTION = re.compile(r"(Args|Arguments|Attributes|Returns|Yields|Raises|Example|Examples|Note|Notes):$")
PAGE = re.compile(r"docs/([a-z-]+)\.md")
ARRAY = re.compile(r"(?:numpy\.)?ndarray\[tuple\[(?:typing\.)?Any, \.\.\.\], (?:numpy\.)?dtype\[(?:numpy\.)?(\w+)\]\]")
ALIASES = {"float64": "Floats", "int64": "Ints", "bool": "Bools"}
SECTIONS = Config(napoleon_custom_sections=[("Attributes", "params_style")], napoleon_use_rtype=False)


def as_markup(lines: list[str]) -> list[str]:
    """`lines` with indented formulas as they stand, words in backticks as code, and pages as links."""
    return list(_marked(lines))


def _marked(lines: list[str]) -> Iterator[str]:
    section = block = was_indented = False
    blank = True
    for line in lines:
        indented = line.startswith(" ")
        if line.strip() and not indented:
            section, block = bool(SECTION.match(line)), False
            if not blank and (section or was_indented):
                yield ""
        if indented and not section and not block and blank:
            yield from ("::", "")
            block = True
        yield line if block else _inline(line)
        blank, was_indented = not line.strip(), indented


def _inline(line: str) -> str:
    parts = line.split("`")
    if len(parts) % 2 == 0:  # a backtick without its fellow
        return _plain(line.replace("`", "'"))
    return "".join(_code(parts, k) if k % 2 else _plain(part) for k, part in enumerate(parts))


def _code(parts: list[str], k: int) -> str:
    """Part `k` as code. Markup starts and ends only at a space or a stop; an escaped space is one that nobody sees."""
    if not parts[k].strip():
        return _plain(parts[k])
    before = "\\ " if re.search(r"[\w)\]]$", parts[k - 1]) else ""
    after = "\\ " if re.match(r"[\w(\[]", parts[k + 1]) else ""
    return f"{before}``{parts[k]}``{after}"


def _plain(text: str) -> str:
    text = re.sub(r"([\\*|])", r"\\\1", text)
    text = re.sub(r"_(?=\W|$)", r"\\_", text)
    return PAGE.sub(r":doc:`\1 </docs/\1>`", text)


def _docstring(app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]) -> None:
    marked = as_markup(lines)
    if what in ("module", "class", "exception", "function", "method"):  # of a constant, "a: b" is no type
        marked = GoogleDocstring(marked, SECTIONS, app, what, name, thing, options).lines()
    lines[:] = marked


def _signature(
    _app: Sphinx, _what: str, _name: str, _thing: object, _options: object, given: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return _short(given), _short(returned)


def _short(text: str | None) -> str | None:
    return text and ARRAY.sub(lambda found: ALIASES.get(found[1], "ndarray"), text)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", _docstring)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
