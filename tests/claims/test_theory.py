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


def test_sections_that_code_cites_exist() -> None:
    headings = set(re.findall(r"^#+ (\d+(?:\.\d+)?) ", THEORY, re.M))
    for file in SRC.rglob("*.py"):
        for number in re.findall(r"theory(?:\.md)? (\d+(?:\.\d+)?)", file.read_text()):
            assert number in headings, f"{file.relative_to(SRC)} cites theory {number}"


def test_marks_are_the_four_explained() -> None:
    marks = {mark.split(",")[0].split(";")[0].split(" ")[0] for mark in re.findall(r"\*\*\[([^\]]+)\]\*\*", THEORY)}
    assert marks == {"paper", "derived", "measured", "conjecture"}
