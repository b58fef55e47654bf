"""Notebooks run from top to bottom in a fresh kernel, and show what their text says they show."""

import re
from pathlib import Path

import nbclient
import nbformat
import pytest


NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def run(name):
    """What every code cell gives: the last output by kind, or what it printed."""
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "stored outputs age: keep none"
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    last = [cell.outputs[-1] for cell in notebook.cells if cell.cell_type == "code" and cell.outputs]
    return [output["data"] if "data" in output else {"text/plain": output["text"]} for output in last]


def test_every_notebook_is_run_here():
    names = {path.name for path in NOTEBOOKS.glob("*.ipynb")}
    assert names == {"own-data.ipynb", "optimisers.ipynb", "checkpoint-and-run.ipynb"}


def test_from_arrays_to_a_plot_without_the_command_line():
    _, least, compared, picture, table = run("own-data.ipynb")
    lower, upper = map(float, re.findall(r"'frobenius': \(([\d.]+), ([\d.]+)", least["text/plain"])[0])
    assert 0 < lower <= upper <= lower * (1 + 1e-9)
    assert "Separate K, Q ended within" in compared["text/plain"] and compared["text/plain"].count("minimal_loss") == 2
    # The run of one W stands on the certified value that the cell above printed.
    (ended,) = re.findall(r"W, seed 0.*\[([\d.]+)\]", compared["text/plain"])
    assert float(ended) == pytest.approx(lower, rel=1e-5)
    assert picture["image/svg+xml"].startswith(("<?xml", "<svg"))
    assert "ratio" in table["text/html"]


def test_each_optimiser_comes_nearest_to_its_own_norm():
    said, table, none = run("optimisers.ipynb")
    assert said["text/plain"].count("minimal_loss") == 4
    rows = [line.rsplit(maxsplit=4)[1:] for line in table["text/plain"].splitlines()[1:]]
    gaps = [[float(gap) for gap in row] for row in rows]
    assert [row.index(min(row)) for row in gaps] == [0, 1, 2, 1]  # frobenius, entry-linf, operator, entry-linf
    assert all(0 <= min(row) < 0.2 for row in gaps)
    assert none["text/plain"].startswith("(None,") and "minimises no norm" in none["text/plain"]


def test_heads_of_a_checkpoint_beside_controls_and_a_run_that_keeps_what_the_flow_conserves():
    summary, heads, sentences, records, verdict = run("checkpoint-and-run.ipynb")
    assert "K K' - Q Q'" in summary["text/plain"] and "no drift above 0.1" in sentences["text/plain"]
    assert len(heads["text/plain"].splitlines()) == 1 + 4
    rows = [line.split()[1:] for line in records["text/plain"].splitlines()[1:]]
    step, loss, entropy, nuclear, drift = zip(*([float(x) for x in row] for row in rows), strict=True)
    assert sorted(loss, reverse=True) == list(loss) and entropy[-1] < entropy[0] and nuclear[-1] > nuclear[0]
    assert step[0] == 0 and 0 < drift[-1] < 0.1
    assert verdict["text/plain"].startswith("('minimal_loss'")
