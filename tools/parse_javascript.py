"""Parse every script of the pages with a JavaScript engine: what `make lint` does for them. Nothing is run.

    python tools/parse_javascript.py

QuickJS reads ECMAScript 2020 and later, which is what the pages use; a parser for an older language (esprima: 2017)
stops at object spread and `?.`. The scripts of a report page share one scope, so they are also parsed joined, in
its order: a name declared in two of them is an error there.
"""

import sys
from pathlib import Path

import quickjs

from marginflow.report import attractors_page, audit_page, page, watch_page
from marginflow.study.page import page as study_page


PAGES = {
    f"{kind.word} page": kind.scripts
    for kind in (page.KIND, attractors_page.KIND, audit_page.KIND, watch_page.KIND, study_page.KIND)
}
"""Which scripts share a page, in order."""

ROOT = Path(__file__).parents[1] / "src" / "marginflow"


def error_in(code: str) -> str:
    """What the engine says against `code`; "" for nothing. The code stands in a function that is not called."""
    try:
        quickjs.Context().eval('(function () { "use strict";\n' + code + "\n})")
    except quickjs.JSException as error:
        return str(error).strip().splitlines()[0]
    return ""


def main() -> int:
    """Parse the files and the page's script; the number of errors decides the exit code."""
    files = sorted(ROOT.rglob("*.js"))
    listed = {name: [ROOT / script for script in scripts] for name, scripts in PAGES.items()}
    found = [(str(file.relative_to(ROOT)), error_in(file.read_text(encoding="utf-8"))) for file in files]
    for name, scripts in listed.items():
        joined = "\n".join(file.read_text(encoding="utf-8") for file in scripts)
        found.append((f"the {name}, joined", error_in(joined)))
    known = {file for scripts in listed.values() for file in scripts}
    found += [(str(file), "is in no page") for file in files if file not in known]
    wrong = [f"{name}: {error}" for name, error in found if error]
    print("\n".join(wrong) if wrong else f"{len(files)} scripts parse")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
