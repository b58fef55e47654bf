"""Every page can be reached, every link leads somewhere, and nothing is asked from outside."""

import re
from pathlib import Path

import pytest
from pages_read import read


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pages(site):
    return read(site)


def test_every_link_leads_to_a_page_and_a_place_on_it(pages):
    wrong, count = [], 0
    for page in pages.values():
        for link in page.links + page.loads:
            where = page.target(link)
            if where is None:
                continue
            file, place = where
            count += 1
            if not file.exists():
                wrong.append(f"{page.file.name}: {link}")
            elif place and file in pages and place not in pages[file].places:
                wrong.append(f"{page.file.name}: {link} (no such place)")
    assert count > 5000 and not wrong, wrong[:20]


def test_links_that_leave_are_of_papers_and_tools_never_loaded(pages, site):
    loaded = {load for page in pages.values() for load in page.loads if page.target(load) is None}
    assert {load for load in loaded if not load.startswith("data:")} == set()
    styles = [file.read_text(errors="replace") for file in site.rglob("*.css")]
    assert styles and not [s for s in styles if re.search(r"(@import|url\()\s*[\"']?(https?:)?//", s)]


def test_every_page_is_reached_from_the_first(pages, site):
    first = (site / "index.html").resolve()
    seen, left = {first}, [first]
    while left:
        page = pages[left.pop()]
        for link in page.links:
            where = page.target(link)
            if where and where[0] in pages and where[0] not in seen:
                seen.add(where[0])
                left.append(where[0])
    hidden = {str(file.relative_to(site.resolve())) for file in set(pages) - seen}
    assert hidden <= {"search.html", "genindex.html", "py-modindex.html"}


def test_every_document_of_the_repository_has_its_page(site):
    documents = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
    assert len(documents) > 20
    for document in documents:
        assert (site / document.relative_to(ROOT).with_suffix(".html")).exists(), document
    for name in ("CHANGELOG", "CONTRIBUTING", "RELEASE"):
        assert (site / f"{name}.html").exists()


def test_formulas_are_drawn_and_none_is_left_as_source(pages, site):
    theory = (site / "docs" / "student.html").read_text()
    assert theory.count("<math") > 20
    for page in pages.values():
        if "docs/api" not in str(page.file):
            assert "$$" not in page.text and "\\frac" not in page.text, page.file


@pytest.mark.parametrize("name", ["own-data", "optimisers", "checkpoint-and-run"])
def test_notebooks_show_what_they_computed(site, name):
    text = (site / "docs" / "notebooks" / f"{name}.html").read_text()
    assert text.count('class="cell_output') >= 3
