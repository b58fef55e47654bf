"""docs/theory.md points at code that exists, marks what it states, and names claims that exist."""

import ast
import re
from pathlib import Path

import pytest

from marginflow.claims import registry


ROOT = Path(__file__).parents[2]
SRC = ROOT / "src" / "marginflow"
THEORY = (ROOT / "docs" / "theory.md").read_text()
POINTERS = sorted(set(re.findall(r"`([\w/]+\.py):(\w+)`", THEORY)))


@pytest.mark.parametrize(("file", "name"), POINTERS, ids=[f"{f}:{n}" for f, n in POINTERS])
def test_formulas_are_where_the_page_says(file, name) -> None:
    tree = ast.parse((SRC / file).read_text())
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_there_are_pointers_into_every_room() -> None:
    assert {file.split("/")[0] for file, _ in POINTERS} >= {
        "problem",
        "svm",
        "model",
        "selection",
        "diagnostics",
        "claims",
    }


def test_every_file_of_formulas_is_pointed_at() -> None:
    files = {file for file, _ in POINTERS}
    for name in ("ratio", "kkt", "balance", "alignment", "spectrum", "rates", "pace"):
        assert f"diagnostics/{name}.py" in files


def test_every_claim_is_named_and_every_named_claim_exists() -> None:
    known = {claim.name for claim in registry.listing()}
    named = set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", THEORY))
    assert known <= named | {"contrast"}
    mentioned = re.findall(r"[Cc]laims? ((?:`[a-z0-9-]+`(?:, | and )?)+)", THEORY)
    for name in re.findall(r"`([a-z0-9-]+)`", " ".join(mentioned)):
        assert name in known | {"x"}, name


NUMBER = r"\d+(?:\.\d+)?"
LIST = re.compile(rf"[Tt]heory(?:\.md)?[\])]*(?:\(\S*\))?[,:]? ({NUMBER}(?:(?:, (?:and )?| and |-){NUMBER})*)(?![\d%])")
"""Every way in which a section is cited: "theory 2.1, 4", "docs/theory.md 3.8, 5.3 and 6.6"."""


def cited(text: str) -> list[str]:
    return [number for found in LIST.findall(text) for number in re.findall(NUMBER, found)]


def test_every_number_of_a_citation_is_read() -> None:
    assert cited("(theory 2.1, 4; docs/flow.md)") == ["2.1", "4"]
    assert cited("docs/theory.md 3.8, 5.3 and 6.6. Theory 9") == ["3.8", "5.3", "6.6", "9"]
    assert cited("theory 5.1, 5.2, 5.7)") == ["5.1", "5.2", "5.7"]


def test_sections_that_are_cited_exist() -> None:
    headings = set(re.findall(r"^#+ (\d+(?:\.\d+)?) ", THEORY, re.M))
    files = [
        *SRC.rglob("*.py"),
        *(ROOT / "tests").rglob("*.py"),
        *(ROOT / "benchmarks").glob("*.py"),
        *(ROOT / "docs").glob("*.md"),
    ]
    wrong = [
        f"{file.relative_to(ROOT)} cites theory {number}"
        for file in files
        if file != Path(__file__)
        for number in cited(file.read_text())
        if number not in headings
    ]
    assert not wrong


def test_no_document_is_cited_that_does_not_exist() -> None:
    """By number ("design 6") or by name: what the code points at is in the repository."""
    there = {file.name for file in [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")]}
    for file in [*SRC.rglob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        if file == Path(__file__):
            continue
        text = file.read_text()
        assert not re.search(r"\bdesign \d", text), f"{file.relative_to(ROOT)} cites a design document"
        named = set(re.findall(r"docs/([\w-]+\.md)", text))
        assert named <= there, f"{file.relative_to(ROOT)} cites {sorted(named - there)}"


def test_marks_are_the_four_explained() -> None:
    marks = {mark.split(",")[0].split(";")[0].split(" ")[0] for mark in re.findall(r"\*\*\[([^\]]+)\]\*\*", THEORY)}
    assert marks == {"paper", "derived", "measured", "conjecture"}
