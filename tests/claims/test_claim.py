"""Claims and checks themselves: what does not hold, whatever was measured."""

import math

import numpy as np

from marginflow.claims.claim import Check, Claim, Evidence, plain


def test_a_claim_that_cannot_be_evaluated_does_not_hold() -> None:
    def broken() -> Evidence:
        raise ZeroDivisionError("division by zero")

    result = Claim("x", "s.", "derived", "none", broken).run()
    assert not result.holds
    assert "ZeroDivisionError" in result.reason and math.isnan(result.measured)


def test_checks_do_not_hold_on_nan_or_on_the_wrong_side() -> None:
    assert Check("x", 1.0, 1.0 + 1e-9, 1e-8, "r").holds
    assert not Check("x", 1.0, math.nan, 1.0, "r").holds
    assert not Check("x", 1.0, 1.0, math.inf, "r").holds
    assert Check("x", 1.0, 0.5, 0.0, "r", "<=").holds and not Check("x", 1.0, 0.5, 0.0, "r", ">=").holds
    assert Check("x", 1.0, 2.0, 0.0, "r", ">=").holds and not Check("x", 1.0, 2.0, 0.5, "r", "<=").holds


def test_the_headline_is_the_check_that_fails() -> None:
    good, bad = Check("good", 1.0, 1.0, 0.0, "r"), Check("bad", 1.0, 2.0, 0.0, "r")
    result = Claim("x", "s.", "derived", "none", lambda: Evidence((good, bad))).run()
    assert not result.holds and result.headline is bad
    assert [line.split()[0] for line in result.lines()] == ["holds", "FAILS"]


def test_plain_values() -> None:
    assert plain({"a": np.float64(1.5), "b": [np.arange(2)], 3: (np.bool_(True),)}) == {
        "a": 1.5,
        "b": [[0, 1]],
        "3": [True],
    }


def test_a_claim_holds_where_every_check_does_and_there_is_one() -> None:
    good, bad = Check("good", 1.0, 1.0, 0.0, "r"), Check("bad", 1.0, 2.0, 0.0, "r")
    for checks, holds in (((good,), True), ((good, good), True), ((good, bad), False), ((bad, good), False)):
        assert Claim("x", "s.", "derived", "none", lambda checks=checks: Evidence(checks)).run().holds is holds
