"""Pages of the API: the names of `import marginflow as mf`, and a page for every room with every public name."""

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from markdown import cell, plain

import marginflow as mf
from marginflow.problem import named


SOURCE = Path(mf.__file__).parent


def modules() -> list[str]:
    """Every module of the package by its dotted name, the command's start left out."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        dotted = ".".join(("marginflow", *(parts[:-1] if parts[-1] == "__init__" else parts)))
        if parts[-1] != "__main__" and dotted != "marginflow":
            found.append(dotted)
    return found


def public_names(module: str) -> list[str]:
    """Classes and functions that `module` defines and does not call private."""
    tree = ast.parse(path_of(module).read_text())
    kinds = (ast.ClassDef, ast.FunctionDef)
    return [node.name for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def path_of(module: str) -> Path:
    inside = SOURCE.joinpath(*module.split(".")[1:])
    return inside / "__init__.py" if inside.is_dir() else inside.with_suffix(".py")


def rooms() -> dict[str, list[str]]:
    """The modules of each room; those that stand alone are the room `base`."""
    found: dict[str, list[str]] = {}
    for module in modules():
        parts = module.split(".")
        found.setdefault(parts[1] if (SOURCE / parts[1]).is_dir() else "base", []).append(module)
    return found


def homes() -> dict[str, str]:
    """Where each name of `mf` is defined."""
    eager = {name: thing.__module__ for name, thing in vars(mf).items() if inspect.isclass(thing)}
    eager = {name: home for name, home in eager.items() if home.startswith("marginflow")}
    return dict(sorted((eager | mf._HOMES).items(), key=lambda item: item[0].lower()))


def write_reference(folder: Path) -> None:
    """docs/api.md and docs/api/ROOM.md below `folder`."""
    (folder / "docs" / "api").mkdir(parents=True, exist_ok=True)
    (folder / "docs" / "api.md").write_text("\n".join(_index()) + "\n")
    for room, members in rooms().items():
        (folder / "docs" / "api" / f"{room}.md").write_text("\n".join(_room(room, members)) + "\n")


def _index() -> Iterator[str]:
    yield from ("# API", "", "Every public name, by room; [architecture](architecture.md) says what a room is. ", "")
    yield from ("## The names of `import marginflow as mf`", "", "| name | what it is |", "|---|---|")
    for name, home in homes().items():
        thing = getattr(import_module(home), name)
        first = cell((inspect.getdoc(thing) or "").split("\n\n")[0])
        yield f"| {{py:obj}}`mf.{name} <{thing.__module__}.{name}>` | {first} |"
    for name, module in mf._MODULES.items():
        first = cell((import_module(module).__doc__ or "").splitlines()[0])
        yield f"| [mf.{name}](api/{name}.md) | {first} |"
    yield from ("", "## Named problems", "", "What `mf.load` takes, and the command line for DATA.", "")
    yield from ("| name | what it is |", "|---|---|")
    for name, make in named.FAMILIES.items():
        yield f"| `{name}` | {cell((inspect.getdoc(make) or '').splitlines()[0])} |"
    yield from ("", "## Rooms", "", "```{toctree}", ":maxdepth: 1", "")
    yield from (f"api/{room}" for room in rooms())
    yield "```"


def _room(room: str, members: list[str]) -> Iterator[str]:
    first = import_module(f"marginflow.{room}").__doc__ if room != "base" else "What every room stands on."
    yield from (f"# {room}", "", plain((first or "").partition("\n")[0]), "")
    for module in members:
        if not public_names(module) and module == f"marginflow.{room}":
            continue
        yield from (f"## {module}", "", "```{eval-rst}", f".. automodule:: {module}", "```", "")
