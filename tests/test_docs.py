"""Every command shown in README and docs runs, and every verb is documented."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from own_logits import write_stored
from stored_families import stored

from marginflow.cli.main import app, main


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STRANGERS = ROOT / "docs" / "strangers.md"
BLOCK = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.M | re.S)
TOML = re.compile(r"^```toml\n(.*?)^```", re.M | re.S)
SAID = re.compile(r"^```text\n(.*?)^```", re.M | re.S)
TOCTREE = re.compile(r"^```{toctree}\n(.*?)^```", re.M | re.S)
PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def commands(page: Path) -> list[str]:
    lines = "\n".join(BLOCK.findall(page.read_text())).replace("\\\n", " ").splitlines()
    shown = [line.removeprefix("$ ").split("  #")[0].strip() for line in lines]
    return [line for line in shown if line.startswith("marginflow ")]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """What MODEL, INPUTS.npz and RUN.npz stand for on a page: a small checkpoint, its layers' inputs, a record."""
    arrays = stored("opt")
    folder = write_stored(arrays, tmp_path_factory.mktemp("checkpoint"))
    np.savez(folder / "INPUTS.npz", layer0=arrays["inputs0"], layer1=arrays["inputs1"])
    shutil.copy(ROOT / "tests" / "watch" / "gpt.npz", folder / "RUN.npz")
    return folder


def placed(checkpoint, folder):
    shutil.copytree(checkpoint, folder / "MODEL")
    for name in ("INPUTS.npz", "RUN.npz"):
        (folder / "MODEL" / name).rename(folder / name)


@pytest.mark.parametrize("page", [p for p in PAGES if commands(p) and p != STRANGERS], ids=lambda p: p.name)
def test_shown_commands_run(page, checkpoint, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    placed(checkpoint, tmp_path)
    for line in commands(page):
        words = shlex.split(line.partition(" > ")[0])[1:]
        code = main(words)
        out = capsys.readouterr()
        assert code == 0, f"{page.name}: {line}\nexit {code}\n{out.err}"
        if " > " in line:
            (tmp_path / line.partition(" > ")[2].strip()).write_text(out.out)


def test_the_strangers_page_shows_what_is_printed(checkpoint, tmp_path, monkeypatch, capsys):
    """Every line shown there is in what its commands and its Python print."""
    monkeypatch.chdir(tmp_path)
    placed(checkpoint, tmp_path)
    page = STRANGERS.read_text()
    names: dict[str, object] = {}
    (plan,), (data, *blocks) = TOML.findall(page), PYTHON.findall(page)
    exec(data, names)
    Path("plan.toml").write_text(plan)
    for line in commands(STRANGERS):
        assert main(shlex.split(line)[1:]) == 0, line
    for block in blocks:
        exec(block, names)
    said = capsys.readouterr().out
    shown = [line for block in SAID.findall(page) for line in block.splitlines()]
    assert len(shown) >= 20 and not [line for line in shown if line not in said]


@pytest.mark.parametrize(
    "page", [p for p in PAGES if PYTHON.search(p.read_text()) and p != STRANGERS], ids=lambda p: p.name
)
def test_shown_python_runs(page, checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    placed(checkpoint, tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(PYTHON.findall(page.read_text())):
        exec(compile(block, f"{page.name}[{number}]", "exec"), names)


def test_every_verb_is_in_the_readme_and_has_an_example():
    readme = (ROOT / "README.md").read_text()
    for command in app.registered_commands:
        assert f"marginflow {command.name}" in readme, f"{command.name} is not shown in README.md"
        assert command.callback is not None and "Example: marginflow" in (command.callback.__doc__ or "")


def test_links_between_pages_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_api_reference_has_not_drifted():
    done = subprocess.run([sys.executable, ROOT / "docs" / "make_api.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["losses.CrossEntropy", "losses.Squared", "losses.AbstractLoss"])
def test_losses_are_in_the_api_reference(name):
    assert f"## {name}\n" in (ROOT / "docs" / "api.md").read_text()


def test_every_page_is_in_one_section_of_the_site():
    """`make site` refuses a page that no section lists, or one lists twice; said here too: there it takes minutes."""
    sections = [TOCTREE.findall(path.read_text()) for path in (ROOT / "website" / "pages").glob("*.md")]
    listed = "".join(part for found in sections for part in found)
    made = {"api"}  # the site makes its own
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - made
    pages |= {f"notebooks/{path.stem}" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert len(pages) > 20
    assert not [page for page in pages if len(re.findall(rf"docs/{page}[>\s]", listed)) != 1]
