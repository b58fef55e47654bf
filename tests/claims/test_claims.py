"""Every claim holds, has a reason for every tolerance, and is one of those that were asked for."""

import json
import math

import pytest
from few_faces import one_of_each

from marginflow.claims import registry
from marginflow.errors import InputError


ASKED = """kq-nuclear w-frobenius diagonal-l1 diagonal-beta-l2 diagonal-kkt reparameterisation aligned-general
margin-is-the-certificate conservation equivariance rates dead-start wrong-sign-balanced tiny-start rank-cap
rank-infeasible non-unique trap-finite trap-at-infinity initial-scale contrast
heads-separate heads-time-constant next-token-graph-svm finite-part faces-before-training""".split()
NAMES = [claim.name for claim in registry.listing()]

SLOW = {"contrast", "ends-are-attractors", "finite-part", "faces-before-training"}
"""Left to `make test-all`: 200 runs and 200 solves, and 30, 20 and 12 s of CPU time; test_ends.py has the second in
small, and what follows the last two."""


def test_every_claim_that_was_asked_for_is_there() -> None:
    assert set(ASKED) <= set(NAMES)
    assert len(NAMES) == len(set(NAMES))


MARKED = [pytest.param(name, marks=pytest.mark.long) if name in SLOW else name for name in NAMES]


@pytest.mark.parametrize("name", ["finite-part", "faces-before-training"])
def test_claims_of_faces_hold_on_the_first_of_their_problems(name, monkeypatch) -> None:
    one_of_each(monkeypatch)
    (result,) = registry.run([name])
    assert result.holds and len(result.checks) >= 3, [check for check in result.checks if not check.holds]


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
