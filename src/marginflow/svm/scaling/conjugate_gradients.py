"""Systems with a symmetric positive matrix that is never formed."""

from collections.abc import Callable
from math import inf

from marginflow.arrays import Floats
from marginflow.svm.scaling.namespace import namespace_of


Product = Callable[[Floats], Floats]


def conjugate_gradients(
    product: Product, b: Floats, target: float, *, precondition: Product | None = None, most: int = 2000
) -> tuple[Floats, int]:
    """(y, steps): `product`(y) = b for `b` (J,) to a residual of length `target`, or as near as `most` steps bring it.

    `precondition` is a symmetric positive map near the inverse of `product`. Everything is in the precision and the
    namespace of `b`. Numbers are looked at every `xp.lead` steps: a device that is asked for one waits until it has it.
    """
    xp = namespace_of(b)
    y, r = xp.zeros(b.shape, b), 1.0 * b
    p, rz, sure = 0.0 * b, 1.0, (y, 0)
    for steps in range(most):
        if steps % xp.lead == 0:
            left = float(r @ r)
            if not left < inf:
                return sure
            if left <= target * target:
                return y, steps
            sure = y if xp.lead == 1 else 1.0 * y, steps
        z = r if precondition is None else precondition(r)
        new = xp.number(r @ z)
        p = z + (new / rz) * p
        rz = new
        q = product(p)
        curvature = xp.number(p @ q)
        if xp.lead == 1 and not curvature > 0.0:
            return y, steps
        alpha = rz / curvature
        y += alpha * p
        r -= alpha * q
    return (y, most) if float(r @ r) < inf else sure
