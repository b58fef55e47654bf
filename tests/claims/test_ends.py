"""The claim that runs end where the rule allows can fail: a rule that accepts everything is noticed."""

from dataclasses import replace

import pytest

from marginflow.claims import ends, run_ends
from marginflow.problem.random import sphere
from marginflow.selection import stability


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(ends, "PROBLEMS", 1)
    monkeypatch.setattr(ends, "SEEDS", 2)
    monkeypatch.setattr(ends, "REJECTED", 3)


def test_it_holds(small):
    assert all(check.holds for check in ends.ends_are_attractors().checks)


def test_a_rule_that_accepts_everything_is_noticed(small, monkeypatch):
    def generous(*arguments, **options):
        decision = stability.decide(*arguments, **options)
        return replace(decision, verdict=stability.Verdict.attractor)

    monkeypatch.setattr(run_ends, "decide", generous)
    failed = [check.what for check in ends.ends_are_attractors().checks if not check.holds]
    assert len(failed) == 2 and all("rejects" in what for what in failed)


def test_rejected_selections_are_left_and_accepted_ones_are_not_tried():
    left, tried = run_ends.leave_rejected(sphere(4, 4, 8, 1), "w", 5)
    assert left == tried == 5
