"""Words of the command line in Python: taken where objects are, and classes refused with the line to write."""

import pytest

import marginflow as mf
from marginflow.errors import InputError


PROBLEM = "single"


def test_words_are_taken_where_objects_are(tmp_path):
    word = mf.integrate(PROBLEM, "w", loss="logistic", until_margin=10)
    same = mf.integrate(mf.load(PROBLEM), mf.Combined(), loss=mf.losses.Logistic(), until_margin=10)
    assert (word.margin == same.margin).all() and repr(word) == repr(same)
    steps = mf.descend(PROBLEM, "w", "adam", rate="0.01", iterations=5)
    same = mf.descend(mf.load(PROBLEM), mf.Combined(), mf.optim.Adam(), rate=0.01, iterations=5)
    assert (steps.margin == same.margin).all() and steps.method.command == same.method.command
    assert repr(mf.solve(PROBLEM, "nuclear")) == repr(mf.solve(mf.load(PROBLEM), "nuclear"))
    assert "rank 1, unique" in repr(mf.solve(PROBLEM, "nuclear"))
    runs = mf.integrate_many(PROBLEM, "w", seeds=range(2), until_margin=10)
    assert repr(runs).startswith("2 runs: 2 minimal loss") and "<table" in runs._repr_html_()


@pytest.mark.parametrize(
    "call, line",
    [
        (lambda: mf.integrate(PROBLEM, mf.KeyQuery), r"write KeyQuery\(\.\.\.\)"),
        (lambda: mf.integrate(PROBLEM, "w", loss=mf.losses.Logistic), r"write Logistic\(\)"),
        (lambda: mf.descend(PROBLEM, "w", mf.optim.Adam, iterations=1), r"write Adam\(\.\.\.\)"),
        (lambda: mf.integrate(PROBLEM, "kqq"), "expected one of kq, w, diag-kq, diag"),
        (lambda: mf.solve(PROBLEM, "nuklear"), "expected one of nuclear, frobenius"),
        (lambda: mf.descend(PROBLEM, "w", "adamw", iterations=1), "expected one of gd, ngd"),
        (lambda: mf.solve(3, "nuclear"), "what marginflow.load takes"),
        (lambda: mf.diagnose(PROBLEM), "such as marginflow.integrate"),
    ],
)
def test_what_is_not_taken_is_refused_with_the_line_to_write(call, line):
    with pytest.raises(InputError, match=line):
        call()
