"""What is printed of a bound holds as the bound does: every interval in text and pages is rounded outwards."""

import ast
import math
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import marginflow as mf
from marginflow import rounding
from marginflow.cli.main import main
from marginflow.intervals import wilson
from marginflow.svm.referee import exact as referee


SRC = Path(__file__).parents[1] / "src" / "marginflow"
BOUNDS = {"lower", "upper", "low", "high", "bound", "gap", "least_gap", "missing", "closeness", "needed", "radius"}
"""What variables and attributes that hold a bound are called."""

PROGRESS = {("cli/svm.py", "gap")}
"""Shown while a solver works, never with the answer."""


def ends(text):
    """The two numbers of a printed interval, as exact fractions."""
    found = re.fullmatch(r"\[(\S+), (\S+)\]", text)
    return Fraction(found[1]), Fraction(found[2])


def numbers(seed, count=300):
    draw = np.random.default_rng(seed)
    spread = 10.0 ** draw.uniform(-12, 12, count) * draw.standard_normal(count)
    whole = draw.integers(-5, 6, 30) / 3.0
    return [*spread, *whole, 0.0, 0.1, 0.3, 0.35, 1.0, 1e23, -0.1, 5e-324, 1.7976931348623157e308]


def by_referee(lower, upper, digits):
    """As `svm --verify` writes them, which shares no code with the solvers."""
    return f"[{referee.text_down(lower, digits)}, {referee.text_up(upper, digits)}]"


@pytest.mark.parametrize("written", [rounding.interval, by_referee])
@pytest.mark.parametrize("digits", [1, 2, 3, 6, 12, 15])
def test_intervals_hold_what_they_are_made_of(digits, written):
    values = numbers(digits)
    for a, b in zip(values, values[1:] + values[:1], strict=True):
        lower, upper = min(a, b), max(a, b)
        low, high = ends(written(lower, upper, digits))
        assert low <= Fraction(lower) and Fraction(upper) <= high
        for end, true in ((low, Fraction(lower)), (high, Fraction(upper))):
            assert abs(end - true) <= Fraction(10) ** (1 - digits) * abs(true)


def test_shares_in_per_cent_hold_their_interval():
    for total in (1, 7, 20, 60, 999):
        for count in {0, 1, total // 3, total - 1, total}:
            lower, upper = wilson(count, total)
            low, high = ends(rounding.percent(lower, upper))
            assert 0 <= low <= 100 * Fraction(lower) and 100 * Fraction(upper) <= high <= 100
            assert 100 * Fraction(lower) - low < 1 and high - 100 * Fraction(upper) < 1
    assert rounding.percent(0.35, 0.07) == "[34, 8]", "0.35 is below 35/100, 0.07 above 7/100"


def rounded_to_nearest():
    """Format codes and calls of `number` in the sources whose value is called as bounds are."""
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            value = None
            if isinstance(node, ast.FormattedValue) and node.format_spec is not None:
                code = "".join(part.value for part in node.format_spec.values if isinstance(part, ast.Constant))
                value = node.value if re.search(r"\.\d*[efg%]", code) else None
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("number", "_short"):
                value = node.args[0]
            name = getattr(value, "attr", getattr(value, "id", None))
            if name in BOUNDS:
                yield str(path.relative_to(SRC)), name


@pytest.mark.parametrize("data, loss", [("next-token", "log"), ("sphere:n=3,T=4,d=5", "linear")])
def test_the_least_loss_lies_in_the_interval_printed(capsys, data, loss):
    found = mf.faces(mf.load(data), loss)
    assert main(["svm", data, "--loss", loss]) == 0
    low, high = ends(re.search(r"least loss   in (\[.*\])", capsys.readouterr().out)[1])
    least, gap = Fraction(found.minimal_loss), Fraction(found.gap)
    assert low <= least - gap < least + gap <= high, "either side carries rounding"


def test_no_interval_of_the_least_loss_where_no_weights_have_the_shares(capsys, tmp_path):
    """Two samples that no W tells apart, of which each asks for the other's shares: at best both at one half."""
    X, z = np.array([[[1.0, 0.0], [0.0, 1.0]]] * 2), np.ones((2, 2))
    values = np.array([[[5.0, 0.0], [-5.0, 0.0]]] * 2)
    problem, loss = mf.Problem(X, z, values=values, labels=[0, 1]), "cross-entropy:smoothing=0.2"
    assert mf.faces(problem, loss).attainable is False
    np.savez(tmp_path / "p.npz", X=X, z=z, values=values, labels=[0, 1])
    assert main(["svm", str(tmp_path / "p.npz"), "--loss", loss]) == 0
    said = capsys.readouterr().out
    low = re.search(r"least loss   at least (\S+) ", said)
    assert low and Fraction(low[1]) < Fraction(1, 2) < Fraction(math.log(2.0)), "what W = 0 loses"
    assert "no W has the shares of all rows" in said
    assert main(["describe", str(tmp_path / "p.npz"), "--loss", loss]) == 0
    assert "minimal loss     at least 0.32" in capsys.readouterr().out


def test_pages_take_the_words_of_bounds_as_they_are():
    scripts = {p.name: p.read_text() for p in SRC.rglob("*.js")}
    called = [name for name, text in scripts.items() if re.search(r"number\([\w.]*\b(lower|upper|least|gap)\b", text)]
    assert "norms.js" in scripts and not called


def test_no_bound_is_printed_to_the_nearest_number():
    """A bound goes through `rounding.interval`, `text_down` or `text_up` before anybody reads it."""
    assert set(rounded_to_nearest()) == PROGRESS
