"""Every public name, every verb with every option, every claim and every row of the gallery has its entry."""

import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from commands import verbs
from pages_read import Page
from reference import homes, public_names, rooms

from marginflow.claims.registry import listing
from marginflow.gallery import registry as gallery


@pytest.mark.parametrize("room", rooms())
def test_every_public_name_of_a_room_has_an_entry(site, room):
    places = Page(site / "docs" / "api" / f"{room}.html").places
    asked = [f"{module}.{name}" for module in rooms()[room] for name in public_names(module)]
    assert asked
    missing = [name for name in asked if name not in places]
    assert not missing, f"no entry (is there a docstring?): {missing}"


def test_every_name_of_the_package_is_listed_and_leads_to_its_entry(site):
    page = Page(site / "docs" / "api.html")
    leads = {place for link in page.links for _, place in [page.target(link) or (None, "")]}
    assert len(homes()) > 30
    for name, home in homes().items():
        # Where the thing itself is defined: a registry may only pass it on.
        assert f"{getattr(import_module(home), name).__module__}.{name}" in leads, name


def test_every_verb_and_every_option_has_an_entry(site):
    page = Page(site / "docs" / "commands.html")
    text = page.file.read_text()
    assert {"svm", "flow", "study run"} <= set(verbs())
    for words, command in verbs().items():
        assert words.replace(" ", "-") in page.places, words
        assert inspect.cleandoc(command.help).split("\n")[0].split("`")[0].strip() in page.text, words
        for option in command.params:
            assert all(f">{name}<" in text for name in option.opts if name.startswith("--") and name != "--help")


def test_every_claim_has_its_numbers(site):
    page = Page(site / "docs" / "claims.html")
    names = [claim.name for claim in listing()]
    assert len(names) > 30
    for name in names:
        assert name in page.places, name
    assert f"{len(names)} of {len(names)} claims hold" in page.text


def test_honesty_has_its_counts(site):
    text = Page(site / "docs" / "honesty.html").text
    listed = tomllib.loads((Path(__file__).parents[2] / "benchmarks" / "mutants.toml").read_text())["mutant"]
    # The heading stands in the list of sections too, before or after the page.
    counted = " ".join(text.split("Counted when this page was made")[1:]).split()
    assert str(len(listed)) in counted and len(listed) > 100


def test_every_row_of_the_gallery_has_its_numbers_and_its_figure(site):
    page = Page(site / "docs" / "gallery.html")
    names = [row.name for row in gallery.listing(None)]
    assert len(names) >= 7
    for name in names:
        assert re.sub("[^a-z0-9]+", "-", name) in page.places, name
        assert any(load.endswith(f"{name}.svg") for load in page.loads), name
    assert f"{len(names)} of {len(names)} hold" in page.text
