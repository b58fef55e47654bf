"""Notebooks run from top to bottom in a fresh kernel, and show what their text says they show."""

import re
from pathlib import Path

import nbclient
import nbformat
import pytest


NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


@pytest.fixture(scope="module")
def outputs():
    """What every code cell of the notebook on one's own data gives, by kind."""
    notebook = nbformat.read(NOTEBOOKS / "own-data.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored outputs age: keep none"
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    return [cell.outputs[-1]["data"] for cell in notebook.cells if cell.cell_type == "code"]


def test_every_notebook_is_run_here():
    assert [path.name for path in NOTEBOOKS.glob("*.ipynb")] == ["own-data.ipynb"]


def test_from_arrays_to_a_plot_without_the_command_line(outputs):
    _, least, compared, picture, table = outputs
    lower, upper = map(float, re.findall(r"'frobenius': \(([\d.]+), ([\d.]+)", least["text/plain"])[0])
    assert 0 < lower <= upper <= lower * (1 + 1e-9)
    assert "Separate K, Q ended within" in compared["text/plain"] and compared["text/plain"].count("minimal_loss") == 2
    # The run of one W stands on the certified value that the cell above printed.
    (ended,) = re.findall(r"W, seed 0.*\[([\d.]+)\]", compared["text/plain"])
    assert float(ended) == pytest.approx(lower, rel=1e-5)
    assert picture["image/svg+xml"].startswith(("<?xml", "<svg"))
    assert "ratio" in table["text/html"]
