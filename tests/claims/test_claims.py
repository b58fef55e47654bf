"""Every claim holds, has a reason for every tolerance, and is one of those that were asked for."""

import json
import math

import pytest

from marginflow.claims import registry
from marginflow.claims.claim import Check, Claim, Evidence, plain
from marginflow.errors import InputError


ASKED = """kq-nuclear w-frobenius diagonal-l1 diagonal-beta-l2 diagonal-kkt reparameterisation aligned-general
margin-is-the-certificate conservation equivariance rates dead-start wrong-sign-balanced tiny-start rank-cap
rank-infeasible non-unique trap-finite trap-at-infinity initial-scale contrast""".split()
NAMES = [claim.name for claim in registry.listing()]

SLOW = {"contrast"}
"""Left to `make test-all`: 200 runs and 200 solves, a third of the CPU time of all claims."""


def test_every_claim_that_was_asked_for_is_there() -> None:
    assert set(ASKED) <= set(NAMES)
    assert len(NAMES) == len(set(NAMES))


MARKED = [pytest.param(name, marks=pytest.mark.long) if name in SLOW else name for name in NAMES]


@pytest.mark.parametrize("name", MARKED)
def test_holds_with_reasons_and_says_so_in_json(name) -> None:
    (result,) = registry.run([name])
    assert not result.failure
    assert result.holds, [check for check in result.checks if not check.holds]
    for check in result.checks:
        assert len(check.reason) >= 4, check.what
        assert check.tolerance >= 0 and math.isfinite(check.tolerance)
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    for key in "name source statement predicted measured tolerance holds reason checks details".split():
        assert key in found
    # The headline is an equality, so that a reader can check `holds` from three numbers.
    assert result.headline.relation == "="
    assert (abs(found["measured"] - found["predicted"]) <= found["tolerance"]) is found["holds"]


def test_sources_are_the_paper_or_the_derivations() -> None:
    for claim in registry.listing():
        assert claim.source.startswith(
            ("paper, abstract", "derived, docs/theory.md", "measured, docs/theory.md", "derived, docs/attractors.md")
        )
        assert claim.statement.endswith(".")


def test_listing_and_unknown_names() -> None:
    assert [claim.name for claim in registry.listing(["rates", "kq-nuclear"])] == ["rates", "kq-nuclear"]
    with pytest.raises(InputError, match="nothing-like-this"):
        registry.listing(["nothing-like-this"])


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
    import numpy as np

    assert plain({"a": np.float64(1.5), "b": [np.arange(2)], 3: (np.bool_(True),)}) == {
        "a": 1.5,
        "b": [[0, 1]],
        "3": [True],
    }
