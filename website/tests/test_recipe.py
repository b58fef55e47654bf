"""The conda recipe, read by rattler-build itself. It cannot build here: that asks a conda channel."""

from pathlib import Path

import pytest
from rattler_build import RattlerBuildError, Stage0Recipe, VariantConfig


RECIPE = Path(__file__).parents[2] / "recipe" / "recipe.yaml"


def test_the_recipe_renders_to_one_package_for_every_platform():
    (rendered,) = Stage0Recipe.from_file(RECIPE).render(VariantConfig())
    found = rendered.recipe.to_dict()
    assert found["package"]["name"] == "marginflow" and found["build"]["noarch"] == "python"
    assert found["build"]["string"].startswith("py") and len(found["requirements"]["run"]) == 5
    folder = RECIPE.parent / found["source"][0]["path"]
    assert all((folder / name).is_file() for name in found["about"]["license_file"])


@pytest.mark.parametrize(
    ("word", "wrong"),
    [
        ("host:", "hoost:"),
        ("license: MIT", "license: MITT"),
        ("noarch: python", "noarch: pyth"),
        (">=2.0", ">=2.0,<<3"),
    ],
)
def test_a_mistake_in_the_recipe_is_noticed(word, wrong):
    text = RECIPE.read_text()
    assert text.count(word) == 1
    with pytest.raises(RattlerBuildError):
        Stage0Recipe.from_yaml(text.replace(word, wrong)).render(VariantConfig())
