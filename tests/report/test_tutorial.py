"""The tutorial as a reader follows it: its Python, then its shell commands, in one folder."""

import re
import shlex
from pathlib import Path

from marginflow.cli.main import main


PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_runs_from_arrays_to_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S):
        exec(compile(block, PAGE.name, "exec"), names)
    said = capsys.readouterr().out
    assert said.count("minimal_loss") == 2 and said.count("R - 1 =") == 2
    (tmp_path / "report.html").unlink()
    for line in re.search(r"^```text\n(.*?)^```", text, re.M | re.S)[1].splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    assert (tmp_path / "report.html").stat().st_size > 50_000
