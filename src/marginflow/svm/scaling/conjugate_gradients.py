"""Systems with a symmetric positive matrix that is never formed."""

from collections.abc import Callable

from marginflow.arrays import Floats
from marginflow.svm.scaling.namespace import namespace_of


Product = Callable[[Floats], Floats]


def conjugate_gradients(
    product: Product, b: Floats, target: float, *, precondition: Product | None = None, most: int = 2000
) -> tuple[Floats, int]:
    """(y, steps): `product`(y) = b for `b` (J,) to a residual of length `target`, or as near as `most` steps bring it.

    `precondition` is a symmetric positive map near the inverse of `product`. Everything is in the precision and the
    namespace of `b`.
    """
    y, r = namespace_of(b).zeros(b.shape, b), 1.0 * b
    p, rz = 0.0 * b, 1.0
    for steps in range(most):
        if float(r @ r) <= target * target:
            return y, steps
        z = r if precondition is None else precondition(r)
        new = float(r @ z)
        p = z + (new / rz) * p
        rz = new
        q = product(p)
        curvature = float(p @ q)
        if not curvature > 0.0:
            return y, steps
        alpha = rz / curvature
        y += alpha * p
        r -= alpha * q
    return y, most
