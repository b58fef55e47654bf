"""Plans that the tests share."""

from pathlib import Path

from marginflow.study.plan.plan import Plan, check_plan


FAKE = """
name = "fake"
seeds = 16
batch = 4
[flow]
until_margin = 1e4
margins = [1e2, 1e4]
[[problem]]
family = "sphere"
n = 4
T = 4
d = [3, 4]
seed = "run"
[[model]]
parameterization = "kq"
width = [1, "full"]
scale = [0.1, 1]
[[model]]
parameterization = "w"
scale = [0.1, 1]
"""
"""12 cells, 192 runs, 48 batches; for the fake work, though the flow could run it."""

REAL = """
name = "real"
seeds = 8
batch = 4
[flow]
until_margin = 1e2
margins = [10, 1e2]
[[problem]]
family = "sphere"
n = 2
T = 3
d = [3, 4]
seed = "run"
[[model]]
parameterization = ["kq", "w"]
scale = [0.1, 1.0]
"""
"""8 cells, 64 runs, 16 batches of the real flow."""


def plan(text: str = FAKE) -> Plan:
    return check_plan(text)


def batch_bytes(folder: Path) -> dict[str, bytes]:
    """Every batch file of a study's folder, by name."""
    return {file.name: file.read_bytes() for file in sorted((folder / "batches").iterdir())}
