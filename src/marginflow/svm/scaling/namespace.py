"""The library that a search's arrays belong to: NumPy's, or PyTorch's on a device (docs/scale.md, On a GPU).

One search is written for both: operators and methods of arrays are the same in both libraries, `module` has the
functions that are, and the methods here are the rest.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import numpy as np

from marginflow.arrays import Floats, Ints


class AbstractNamespace(ABC):
    """Arrays of one library on one device. `Any` below is such an array.

    Attributes:
        name: of the device, None for NumPy.
        module: the library; of it `maximum`, `where`, `sqrt`, `outer` and `concatenate` are used.
        double, single: its types of 64 and 32 bits.
        lead: how many steps of an iteration are asked for before one looks at a number of theirs.
    """

    name: str | None
    module: Any
    double: Any
    single: Any
    lead: int

    @abstractmethod
    def put(self, x: Any, dtype: Any = None) -> Any:
        """The NumPy array `x` here, indices too; in its own type where none is given."""

    @abstractmethod
    def get(self, x: Any) -> Floats:
        """The NumPy array of `x`, of the same type."""

    @abstractmethod
    def cast(self, x: Any, dtype: Any) -> Any:
        """`x` in this type."""

    @abstractmethod
    def zeros(self, shape: int | tuple[int, ...], like: Any) -> Any:
        """Zeros of the type of `like`."""

    @abstractmethod
    def nonzero(self, mask: Any) -> Ints:
        """NumPy indices of what is True in `mask` (k,)."""

    @abstractmethod
    def number(self, x: Any) -> Any:
        """The only entry of `x` as further arithmetic takes it: where asking for it means to wait, `x` itself."""

    @abstractmethod
    def norm(self, x: Any) -> float:
        """The Euclidean length of all entries."""

    @abstractmethod
    def vdot(self, x: Any, y: Any) -> float:
        """The sum of the products of all entries."""

    @abstractmethod
    def dots(self, batch: Any, P: Any) -> Any:
        """(B, t) the inner products of the rows of `batch` (B, t, d) with those of `P` (B, d)."""

    @abstractmethod
    def sums(self, batch: Any, weights: Any) -> Any:
        """(B, d) the sums of the rows of `batch` (B, t, d) with `weights` (B, t)."""

    @abstractmethod
    def eigh(self, S: Any) -> tuple[Any, Any]:
        """Ascending eigenvalues and the eigenvectors of a symmetric matrix.

        Raises:
            LinAlgError: NumPy's, here and below, where the algorithm breaks down.
        """

    @abstractmethod
    def eigenvalues(self, S: Any) -> Any:
        """Ascending, of a symmetric matrix."""

    @abstractmethod
    def svd(self, Y: Any) -> tuple[Any, Floats, Any]:
        """U (d, d), the singular values (min(d, d_z),) descending, of NumPy, and V' (d_z, d_z) of `Y` (d, d_z)."""

    @abstractmethod
    def singular_values(self, W: Any) -> Any:
        """Descending."""

    @abstractmethod
    def inverse(self, H: Any) -> Any:
        """Of a stack of square matrices."""

    @abstractmethod
    def reserve(self, size: int, what: str) -> None:
        """Make sure that `size` bytes are free before `what` is put here.

        Raises:
            InputError: they are not.
        """

    @contextmanager
    def working(self) -> Iterator[None]:
        """What a search runs in.

        Raises:
            InputError: the memory of the device ends.
        """
        yield


class NumPy(AbstractNamespace):
    """Arrays of NumPy, in memory."""

    name = None
    module: ModuleType = np
    double = np.float64
    single = np.float32
    lead = 1

    def put(self, x: Any, dtype: Any = None) -> Any:
        """Itself, or a copy in another type."""
        return x if dtype is None else x.astype(dtype)

    def get(self, x: Any) -> Floats:
        """Itself."""
        out: Floats = x
        return out

    def cast(self, x: Any, dtype: Any) -> Any:
        """A copy."""
        return x.astype(dtype)

    def zeros(self, shape: int | tuple[int, ...], like: Any) -> Any:
        """Zeros."""
        return np.zeros(shape, dtype=like.dtype)

    def nonzero(self, mask: Any) -> Ints:
        """Indices."""
        return np.flatnonzero(mask)

    def number(self, x: Any) -> Any:
        """A float."""
        return float(x)

    def norm(self, x: Any) -> float:
        """The length."""
        return float(np.linalg.norm(x))

    def vdot(self, x: Any, y: Any) -> float:
        """The inner product."""
        return float(np.vdot(x, y))

    def dots(self, batch: Any, P: Any) -> Any:
        """Streams the batch at memory speed; batched BLAS calls take up to a third longer on short batches."""
        return np.vecdot(batch, P[:, None, :])

    def sums(self, batch: Any, weights: Any) -> Any:
        """By one BLAS call a batch, .4 to .9 times an einsum."""
        return (weights[:, None, :] @ batch)[:, 0]

    def eigh(self, S: Any) -> tuple[Any, Any]:
        """LAPACK's."""
        square, V = np.linalg.eigh(S)
        return square, V

    def eigenvalues(self, S: Any) -> Any:
        """LAPACK's."""
        return np.linalg.eigvalsh(S)

    def svd(self, Y: Any) -> tuple[Any, Floats, Any]:
        """LAPACK's."""
        U, s, Vt = np.linalg.svd(Y)
        return U, s, Vt

    def singular_values(self, W: Any) -> Any:
        """LAPACK's."""
        return np.linalg.svd(W, compute_uv=False)

    def inverse(self, H: Any) -> Any:
        """LAPACK's."""
        return np.linalg.inv(H)

    def reserve(self, size: int, what: str) -> None:
        """Nothing: the rows are in memory already."""


NUMPY: Final = NumPy()


def namespace_of(x: Any) -> AbstractNamespace:
    """Where the array `x` is."""
    if isinstance(x, np.ndarray):
        return NUMPY
    from marginflow.svm.scaling.torch_namespace import Torch

    return Torch(x.device)
