"""The rooms, their one-way arrows, what importing loads, and the size of the files."""

import ast
import importlib
import re
import statistics
import subprocess
import sys
from pathlib import Path

import pytest


SRC = Path(__file__).parents[1] / "src" / "marginflow"
FLOORS = {
    "errors": 0,
    "citation": 0,
    "code_version": 0,
    "documents": 0,
    "moved": 0,
    "arrays": 0,
    "blas": 0,
    "threads": 0,
    "intervals": 0,
    "atomic_file": 0,
    "file_format": 0,
    "rounding": 0,
    "twofold": 0,
    "notebook": 0,
    "frames": 0,
    "views": 0,
    "wording": 0,
    "norms": 0,
    "npz": 0,
    "problem": 1,
    "losses": 2,
    "optimal_attention": 3,
    "svm": 4,
    "model": 4,
    "heads": 4,
    "trajectory": 5,
    "selection": 6,
    "diagnostics": 6,
    "flow": 7,
    "optim": 7,
    "audit": 7,
    "watch": 7,
    "attractors": 8,
    "extensions": 8,
    "pages": 8,
    "torch": 8,
    "report": 9,
    "study": 9,
    "claims": 10,
    "figures": 10,
    "gallery": 11,
    "cli": 12,
}
"""A room imports only rooms below it; the same room is fine on its own floor, its neighbour is not."""


def modules():
    return sorted(p for p in SRC.rglob("*.py") if p.name not in ("__main__.py",) and p.parent != SRC) + sorted(
        p for p in SRC.glob("*.py") if p.stem in FLOORS
    )


def room(dotted: str) -> str:
    return dotted.split(".")[1] if "." in dotted else ""


def arrows(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write the whole name"
            if node.module and node.module.split(".")[0] == "marginflow":
                names = [node.module] if "." in node.module else [f"marginflow.{a.name}" for a in node.names]
                yield from (room(name) for name in names)
        elif isinstance(node, ast.Import):
            yield from (room(a.name) for a in node.names if a.name.startswith("marginflow."))


def test_every_module_has_a_floor():
    here = {p.stem if p.is_file() else p.name for p in SRC.iterdir() if p.suffix == ".py" or p.is_dir()}
    assert here - {"__init__", "__main__", "__pycache__"} == set(FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_down(path):
    own = path.relative_to(SRC).parts[0].removesuffix(".py")
    for target in arrows(path):
        if target == "__version__":
            continue
        assert target in FLOORS, f"{path.name} imports marginflow.{target}, which has no floor"
        assert target == own or FLOORS[target] < FLOORS[own] or FLOORS[own] == 0 == FLOORS[target], (
            f"{path.relative_to(SRC)} (floor {FLOORS[own]}) imports {target} (floor {FLOORS[target]})"
        )


def test_the_drawing_of_the_rooms_shows_every_floor():
    page = (SRC.parents[1] / "docs" / "architecture.md").read_text()
    lines = page.split("```")[1].splitlines()[1:]
    drawn = [{word for word in re.split(r"[ |]+", line.split("   ")[0]) if word} for line in lines]
    base = set().union(*(rooms for rooms in drawn if "norms" in rooms or "errors" in rooms))
    floors = [rooms for rooms in drawn if not rooms <= base] + [base]
    height = max(FLOORS.values())
    assert floors == [{name for name, floor in FLOORS.items() if floor == k} for k in range(height, -1, -1)]


def test_files_are_short():
    sizes = {p: len(p.read_text().splitlines()) for p in SRC.rglob("*.py") if p.name != "__init__.py"}
    assert statistics.median(sizes.values()) < 200
    assert not {str(p): n for p, n in sizes.items() if n > 500}


def loaded(*command: str) -> set[str]:
    code = "import sys; sys.argv[0] = 'marginflow'\n" + "\n".join(command) + "\nprint('|'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in out.stdout.splitlines()[-1].split("|")}


HEAVY = {"scipy", "plotly", "clarabel", "cvxpy", "matplotlib", "rich", "mpmath", "pandas", "torch"}


def test_import_loads_nothing_and_a_problem_numpy_only():
    assert not loaded("import marginflow") & (HEAVY | {"typer", "numpy"})
    names = loaded("import marginflow", "marginflow.Problem")
    assert "numpy" in names
    assert not names & (HEAVY | {"typer"})


def test_help_loads_nothing_heavy():
    names = loaded("from marginflow.cli.main import main", "assert main(['--help']) == 0")
    assert not names & HEAVY


def test_public_names_exist_and_unknown_ones_do_not():
    import marginflow as mf

    for name in mf._HOMES:
        assert getattr(mf, name) is not None
        assert name in dir(mf)
    with pytest.raises(AttributeError, match="nothing_like_this"):
        _ = mf.nothing_like_this


def test_a_module_that_moved_still_imports_with_a_warning():
    from marginflow.moved import MOVED

    for old, new in MOVED.items():
        sys.modules.pop(old, None)
        with pytest.warns(DeprecationWarning, match=new):
            module = importlib.import_module(old)
        there = importlib.import_module(new)
        public = [name for name, value in vars(there).items() if getattr(value, "__module__", "") == new]
        assert all(getattr(module, name) is getattr(there, name) for name in public)
    from marginflow.flow.trajectory import FlowStatus, Trajectory

    assert FlowStatus.trapped and Trajectory.load
