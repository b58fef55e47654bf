"""The sentences that come with a status, with their numbers as format fields.

Who proves writes them (`proof/`), who verifies reads them (`referee/`): words are all that the two share.
"""

from typing import Final


LEVEL: Final = "token {token} of sample {sample} has the selected token's logit whatever the weights"

CONTRADICTION: Final = "{count} constraints contradict each other: {multiples} add up to zero {how}"
POSITIVE: Final = "positive multiples of them"
FREE_ON_EQUALITIES: Final = "multiples of them, positive but for equalities,"
EXACTLY: Final = "exactly, in rational arithmetic"
NEARBY: Final = "up to rounding, and exactly for multipliers next to these"

UNBOUNDED: Final = "weights that separate were found, but no multipliers that bound the value from below"
STOPPED: Final = "the solver stopped at a certified gap of {gap} where {tol} was asked"
NEAREST: Final = "the bounds meet to {gap}, which is as near as float64 brings them"
NEARLY_CONTRADICTING: Final = (
    "the bounds meet to {plain} before rounding and to {gap} with it: "
    "this is what float64 can prove about constraints so nearly contradicting each other"
)
OPEN: Final = "no separating W was found and none is excluded; none has norm below {below}"
OPEN_ON_EQUALITIES: Final = (
    "no weights on the equalities that separate were found and none is excluded; none has norm below {below}"
)
ONLY_RATIONAL: Final = (
    "weights in rational numbers separate, but none in float64 were found; none has norm below {below}"
)

INACCURATE: Final = (UNBOUNDED, STOPPED, NEAREST, NEARLY_CONTRADICTING, OPEN, OPEN_ON_EQUALITIES, ONLY_RATIONAL)
"""Every reason of a status that is neither optimal nor infeasible."""
