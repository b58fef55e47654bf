"""`make site`: the pages of the repository, those made from the code, and Sphinx; the result is out/site/index.html.

What is read lies in docs/ and is written once. It is copied to build/site, where the pages that are made from the
code join it (API, commands, claims, gallery), so that the links of the repository are those of the site.
"""

import shutil
import sys
from pathlib import Path

import accessible
import commands
import gallery_page
import numbers_page
import reference
from sphinx.cmd.build import main as sphinx


HERE = Path(__file__).parent
ROOT = HERE.parent
COPIED = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "RELEASE.md", "CITATION.cff", "LICENSE")
LINKED = ("studies", "benchmarks/mutants.toml", "src/marginflow/problem/data/LICENSE-digits.txt")
"""Files that pages link to; readers can download them."""


def stage(folder: Path) -> None:
    """Everything that Sphinx reads, below `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "docs", folder / "docs")
    for name in COPIED:
        shutil.copy(ROOT / name, folder / name)
    for name in LINKED:
        there = folder / name
        there.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(ROOT / name, there) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, there)
    shutil.copytree(HERE / "pages", folder, dirs_exist_ok=True)
    reference.write_reference(folder)
    commands.write_commands(folder)
    numbers_page.write_numbers(folder)
    gallery_page.write_gallery(folder)


def build(source: Path, out: Path) -> int:
    """Sphinx on `source`; a warning is an error, because each is a link, a name or a formula that is wrong."""
    shutil.rmtree(out, ignore_errors=True)
    kept = source.parent / "doctrees"
    strict = ["-q", "-W", "--keep-going", "-j", "2"]
    return sphinx([*strict, "-c", str(HERE), "-d", str(kept), str(source), str(out)])


if __name__ == "__main__":
    stage(ROOT / "build" / "site" / "source")
    code = build(ROOT / "build" / "site" / "source", ROOT / "out" / "site")
    if code == 0:
        accessible.repair(ROOT / "out" / "site")
        print("out/site/index.html")
    sys.exit(code)
