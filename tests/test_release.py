"""What a release says in several places is the same in all of them, and pages that messages name exist."""

import ast
import re
import tomllib
from pathlib import Path

import yaml

import marginflow as mf
from marginflow import documents


ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RECIPE = yaml.safe_load((ROOT / "recipe" / "recipe.yaml").read_text())
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())


def test_one_version_everywhere():
    assert mf.__version__ == RECIPE["package"]["version"] == str(CITATION["version"])
    assert re.search(rf"^## {re.escape(mf.__version__)} \(", (ROOT / "CHANGELOG.md").read_text(), re.M)


def test_the_recipe_needs_what_the_package_needs():
    project = PROJECT["project"]
    asked = {re.sub(r"([<>=])", r" \1", name, count=1) for name in project["dependencies"]}
    assert asked | {f"python {project['requires-python']}"} == set(RECIPE["requirements"]["run"])
    assert RECIPE["build"]["python"]["entry_points"] == [f"{k} = {v}" for k, v in project["scripts"].items()]
    assert RECIPE["about"]["summary"] == project["description"]
    assert set(RECIPE["about"]["license_file"]) == set(project["license-files"])


def test_all_is_every_extra_that_users_have():
    extras = PROJECT["project"]["optional-dependencies"]
    (everything,) = extras["all"]
    named = set(re.search(r"\[(.*)\]", everything)[1].split(","))
    assert named == set(extras) - {"all", "test", "site", "bench"}
    assert {"paper", "dask", "parquet", "audit", "torch", "notebook"} <= named


def test_what_to_cite_is_what_the_citation_file_says():
    text = mf.cite()
    assert f"version = {{{mf.__version__}}}" in text and CITATION["title"] in text
    assert text.count("@misc{") == len(CITATION["references"]) >= 2
    for paper in CITATION["references"]:
        names = " and ".join(author["family-names"] for author in paper["authors"])
        number = re.match(r"arXiv (\d{4}\.\d{5})", paper["notes"])[1]
        entry = next(entry for entry in text.split("@misc") if paper["title"] in entry)
        assert f"author = {{{names}}}" in entry and f"eprint = {{{number}}}" in entry
        assert f"year = {{{paper['year']}}}" in entry
    assert text.count("{") == text.count("}")


def test_pages_are_called_by_name_while_they_stand_nowhere_and_by_address_where_they_do(monkeypatch):
    assert documents.page("flow") == "docs/flow.md" and documents.page("theory", "7.4") == "docs/theory.md 7.4"
    monkeypatch.setattr(documents, "ADDRESS", "https://example.org/mf/")
    assert documents.page("flow") == "https://example.org/mf/docs/flow.html"
    found = documents.addressed("derived, docs/theory.md 5.1, 5.2; see docs/svm-nuclear.md")
    assert (
        found
        == "derived, https://example.org/mf/docs/theory.html 5.1, 5.2; see https://example.org/mf/docs/svm-nuclear.html"
    )


def test_a_verdict_and_a_claim_give_the_address(monkeypatch, capsys):
    from marginflow.cli.main import main

    monkeypatch.setattr(documents, "ADDRESS", "https://example.org/mf/")
    assert "https://example.org/mf/docs/flow.html" in mf.integrate("angle:c=0.5", "w", until_margin=1e3).reason
    assert main(["claims", "--list"]) == 0
    out = capsys.readouterr().out
    assert "https://example.org/mf/docs/theory.html 5" in out and "docs/theory.md" not in out


def test_pages_that_the_code_names_exist():
    named = set()
    for file in (ROOT / "src").rglob("*.py"):
        named |= {a or b for a, b in re.findall(r"docs/([a-z-]+)\.md|\bpage\([\"']([a-z-]+)", file.read_text())}
    assert {"theory", "flow", "attractors", "watch"} <= named
    assert not [name for name in named if not (ROOT / "docs" / f"{name}.md").exists()]


def test_messages_name_pages_by_the_function_that_knows_where_they_stand():
    """Docstrings and comments name files; a sentence that a user reads asks `page`."""
    for file in (ROOT / "src").rglob("*.py"):
        # Sources of claims are addressed where they are shown.
        if file.name == "documents.py" or "claims" in file.parts:
            continue
        tree = ast.parse(file.read_text())
        described = {
            id(statement.value)
            for node in ast.walk(tree)
            if hasattr(node, "body") and isinstance(node.body, list)
            for statement in node.body
            if isinstance(statement, ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in described:
                assert not re.search(r"docs/[a-z-]+\.md", node.value), f"{file.name}: {node.value!r}"
