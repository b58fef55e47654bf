"""Every command shown in README and docs runs, and every verb is documented."""

import ast
import re
import shlex
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
from own_logits import write_stored
from stored_families import stored

import marginflow as mf
from marginflow.cli.main import app, main


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STRANGERS = ROOT / "docs" / "strangers.md"
BLOCK = re.compile(r"^```(?:console|sh|bash)\n(.*?)^```", re.M | re.S)
TOML = re.compile(r"^```toml\n(.*?)^```", re.M | re.S)
SAID = re.compile(r"^```text\n(.*?)^```", re.M | re.S)
TOCTREE = re.compile(r"^```{toctree}\n(.*?)^```", re.M | re.S)
MEMBER = re.compile(r"\bmf\.(\w+)")
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


def test_every_public_name_has_an_entry_in_the_sites_api(tmp_path, monkeypatch):
    """In what Sphinx is given; that its pages have them too is for `make test-site`, which takes minutes."""
    monkeypatch.syspath_prepend(ROOT / "website")
    # Under a name of its own: tests/audit has a module `reference` too.
    spec = spec_from_file_location("reference_of_the_site", ROOT / "website" / "reference.py")
    reference = module_from_spec(spec)
    spec.loader.exec_module(reference)
    reference.write_reference(tmp_path)
    index = (tmp_path / "docs" / "api.md").read_text()
    shown = {name for page in PAGES for block in PYTHON.findall(page.read_text()) for name in MEMBER.findall(block)}
    names = shown | {*mf._HOMES, *mf._MODULES}
    assert len(shown) > 10 and len(names) > 30
    assert not [n for n in names if f"`mf.{n} <marginflow." not in index and f"[mf.{n}](api/{n}.md)" not in index]
    for room, modules in reference.rooms().items():
        page = (tmp_path / "docs" / "api" / f"{room}.md").read_text()
        for module in modules:
            tree = ast.parse(reference.path_of(module).read_text()).body
            public = {n.name: n for n in tree if getattr(n, "name", "_")[0] != "_"}
            assert not public or f".. automodule:: {module}\n" in page
            # Autodoc leaves out what has no docstring.
            assert not [f"{module}.{name}" for name, node in public.items() if not ast.get_docstring(node)]


def test_every_page_is_in_one_section_of_the_site():
    """`make site` refuses a page that no section lists, or one lists twice; said here too: there it takes minutes."""
    sections = [TOCTREE.findall(path.read_text()) for path in (ROOT / "website" / "pages").glob("*.md")]
    listed = "".join(part for found in sections for part in found)
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    pages |= {f"notebooks/{path.stem}" for path in (ROOT / "docs" / "notebooks").glob("*.ipynb")}
    assert len(pages) > 20
    assert not [page for page in pages if len(re.findall(rf"docs/{page}[>\s]", listed)) != 1]
