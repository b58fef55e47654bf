"""Verbs that look at data need memory of the order of the data, however many tokens a sample has."""

import subprocess
import sys

import numpy as np
import pytest


# Not ru_maxrss: exec keeps there the size of the process that forked, which is pytest's.
PEAK = """
import pathlib, sys
from marginflow.cli.main import main
code = main(sys.argv[1:])
status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print("PEAK", code, int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.parametrize("n, T, d", [(2, 1024, 768), (1, 20_000, 4)])
@pytest.mark.parametrize("words", [["describe"], ["flow", "-p", "w", "--until-margin", "5"]], ids=["describe", "flow"])
def test_long_samples_need_less_than_300_mb(tmp_path, n, T, d, words):
    draw = np.random.default_rng(0)
    X, z, scores = (draw.standard_normal(shape) for shape in ((n, T, d), (n, d), (n, T)))
    np.savez(tmp_path / "p.npz", X=X, z=z, scores=scores)
    given = [words[0], str(tmp_path / "p.npz"), *words[1:]]
    done = subprocess.run([sys.executable, "-c", PEAK, *given], capture_output=True, text=True)
    word, code, peak = done.stdout.splitlines()[-1].split()
    assert word == "PEAK" and int(code) in (0, 1), done.stderr
    # Python with NumPy and SciPy takes about 100 of them; one byte per pair of tokens and feature would be 1600.
    assert int(peak) < 300
