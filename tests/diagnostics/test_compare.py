"""Runs beside each other: the sentence, the rows, and what they may say."""

import numpy as np
import pytest

import marginflow as mf
from marginflow.wording import above, within


@pytest.fixture(scope="module")
def found(orbit, trapped):
    return mf.compare([*orbit[:2], trapped])


def test_the_sentence_says_which_norm_each_came_to(orbit):
    text = mf.compare(orbit[:2]).sentence
    assert text.startswith("Separate K, Q ended within ") and "of the least nuclear norm (one W: " in text
    assert "; one W ended " in text and "the least Frobenius norm (separate K, Q: " in text


def test_within_is_a_bound_and_above_is_not_more_than_was_seen(orbit):
    row = mf.compare(orbit[:2]).rows[0]
    said = mf.compare(orbit[:2]).sentence.split("within ")[1].split(" of")[0]
    value = float(said.split()[0]) / 100 if "%" in said else None
    assert value is not None and row["nuclear_above"] <= value <= row["nuclear_above"] * 1.2
    assert within(1.01e-3) == "within 0.11 % of" and above(1.09e-3) == "0.1 % above"
    assert within(3.2e-9) == "within 3.3×10⁻⁹ of" and above(1e-15) == "equal to it up to rounding"


def test_a_trapped_run_is_told_with_the_loss_it_keeps(found, trapped):
    least = np.exp(trapped.problem.log_minimal_loss)
    assert "1 of 2 runs of one W is trapped: its loss stays at " in found.sentence
    assert "is least" in found.sentence and f"{least:.4g}" in found.sentence
    assert found.rows[2]["status"] == "trapped"


def test_rows_are_in_the_order_given_and_are_a_frame(orbit, trapped):
    found = mf.compare([trapped, orbit[1], orbit[0]])
    frame = found.to_dataframe()
    assert list(frame["run"]) == ["W, given start", "W, seed 0", "K, Q, seed 0"]
    assert frame["nuclear_above"][2] >= 0 and frame["frobenius_over_margin"][1] > 0
    assert "certified least, sign-orbit" in repr(found) and "<table" in found._repr_html_()


def test_runs_show_themselves(orbit):
    runs = mf.integrate_many("trap:infinity", "w", seeds=range(3), scale=5.0, until_margin=1e4)
    assert runs.counts == {"minimal_loss": 2, "trapped": 1, "undecided": 0}
    assert repr(runs).startswith("3 runs: 2 minimal loss, 1 trapped\n") and isinstance(runs, list)
    assert runs._repr_html_().count("<tr") == 4 and list(runs.to_dataframe()["status"])[2] == "trapped"
    assert runs.compare().sentence == mf.compare(runs).sentence


def test_steps_are_named_by_their_rule():
    runs = [mf.descend("sign-orbit", "w", rule, iterations=300, rate=0.05) for rule in ("gd", "adam")]
    text = mf.compare(runs).sentence
    assert "One W by gradient descent" in text and "one W by Adam" in text and "rate" not in text


@pytest.mark.parametrize("given", [[], "kq", [1]])
def test_what_is_no_run_is_refused(given):
    with pytest.raises(mf.InputError, match="compare: got"):
        mf.compare(given)


def test_a_table_is_a_frame_of_its_scalars(orbit):
    table = mf.diagnose(orbit[0])
    frame = table.to_dataframe()
    assert set(frame) == {name for name in table.columns if table[name].ndim == 1} | {"note"}
    assert len(frame) == len(orbit[0])
    for wrong, said in (
        (lambda: mf.diagnose("kq"), "expected a run"),
        (lambda: mf.diagnose(orbit[0], ["l1"]), "solve"),
    ):
        with pytest.raises(mf.InputError, match=said):
            wrong()
