"""The tokens that share each row's optimum, their shares, and how well both are known."""

import math
from dataclasses import dataclass

from marginflow import rounding
from marginflow.arrays import Bools, Floats, Ints


@dataclass(frozen=True, eq=False)
class Faces:
    """Where attention wants to end before a step is taken: `members` with `shares` in every row (theory 10).

    Attributes:
        members: (n, T) bool, the tokens with a share in some optimum.
        shares: (n, T) float64, their shares, 0 elsewhere, 1 in all in a row; nan in rows where they are not unique.
        unique: (n,) bool, whether the optimum of the row is one point, and is proved to be.
        decided: (n,) bool, whether the members are proved: a token left out loses by more than what is not known of
            the gradient, a member has more than what is not known of its share.
        gap: the least loss is within it of `minimal_loss`, rounding included; where not `attainable`, it may be any
            way above. Of next tokens this, `unique` and `shares_error` are proved where the members are.
        minimal_loss: the mean loss over outputs at the shares.
        shares_error: (n,) no share of the row is further from the exact one; inf where there is none.
        attainable: whether some W has these shares in all rows at once; None where it is not decided. Whether the
            tokens outside can be left behind as well is for `solve` to prove.
        reference: (n,) int, the member that the others are compared with: the optimal token where tokens have scores,
            else that of largest share.
        finite: (d, d_z), of several heads (H, d, d_z): the least W (Frobenius) with these shares inside the faces;
            None where they are not unique or not attainable.
        finite_decrement: half of Newton's decrement squared at `finite`: what one more step would take off the loss.
        loss: the word of the loss.
        reason: a sentence on what is not unique, not decided or not attainable; "" for nothing.
    """

    members: Bools
    shares: Floats
    unique: Bools
    decided: Bools
    gap: float
    minimal_loss: float
    shares_error: Floats
    attainable: bool | None
    reference: Ints
    finite: Floats | None
    finite_decrement: float
    loss: str
    reason: str

    def least_loss(self, digits: int) -> str:
        """Where the least loss is, in so many digits rounded outwards; only from below where W may not reach it."""
        low, high = self.minimal_loss - self.gap, self.minimal_loss + self.gap
        low, high = math.nextafter(low, -math.inf), math.nextafter(high, math.inf)
        if self.attainable:
            return f"in {rounding.interval(low, high, digits)}"
        return f"at least {rounding.text_down(low, digits)}"

    def __repr__(self) -> str:
        sizes = self.members.sum(axis=1)
        more = f", {int((~self.unique).sum())} rows not unique" if not self.unique.all() else ""
        return (
            f"Faces({self.loss}: {len(sizes)} rows of {int(sizes.min())}..{int(sizes.max())} tokens{more}, "
            f"least loss {self.minimal_loss:.6g})"
        )
