"""Tensors of PyTorch on one device, for the searches that `namespace` describes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch

from marginflow.arrays import Floats, Ints
from marginflow.documents import page
from marginflow.errors import InputError
from marginflow.svm.scaling.namespace import AbstractNamespace


class Torch(AbstractNamespace):
    """Tensors on `device`. No memory is taken for products of a batch beside their results."""

    module = torch
    double = torch.float64
    single = torch.float32
    lead = 8

    def __init__(self, device: "torch.device") -> None:
        self.device = device
        self.name = str(device)

    def put(self, x: Any, dtype: Any = None) -> Any:
        """A copy."""
        return torch.tensor(x, dtype=dtype, device=self.device)

    def get(self, x: Any) -> Floats:
        """A copy."""
        out: Floats = x.cpu().numpy().copy()
        return out

    def cast(self, x: Any, dtype: Any) -> Any:
        """A copy, or itself."""
        return x.to(dtype)

    def zeros(self, shape: int | tuple[int, ...], like: Any) -> Any:
        """Zeros."""
        return torch.zeros(shape, dtype=like.dtype, device=self.device)

    def nonzero(self, mask: Any) -> Ints:
        """Indices."""
        out: Ints = torch.nonzero(mask).ravel().cpu().numpy()
        return out

    def number(self, x: Any) -> Any:
        """Itself."""
        return x

    def norm(self, x: Any) -> float:
        """The length."""
        return float(torch.linalg.vector_norm(x))

    def vdot(self, x: Any, y: Any) -> float:
        """The inner product."""
        return float(torch.dot(x.ravel(), y.ravel()))

    def dots(self, batch: Any, P: Any) -> Any:
        """In the precision of the batch, as `sums`."""
        return (batch @ P.to(batch.dtype)[:, :, None])[:, :, 0]

    def sums(self, batch: Any, weights: Any) -> Any:
        """Weighted sums."""
        return (weights.to(batch.dtype)[:, None, :] @ batch)[:, 0, :]

    def eigh(self, S: Any) -> tuple[Any, Any]:
        """On the device."""
        square, V = _or_broken(torch.linalg.eigh, S)
        return square, V

    def eigenvalues(self, S: Any) -> Any:
        """On the device."""
        return _or_broken(torch.linalg.eigvalsh, S)

    def svd(self, Y: Any) -> tuple[Any, Floats, Any]:
        """From the eigenvectors V of Y'Y and Y V = Q R, R diagonal but for the rounding of Y'Y: a tenth of the time.

        Y = Q s V' to the unit roundoff times |Y|^2 / s_i in row i, where s_i are singular values: what a step of
        Newton's method on a face is made of, not what bounds are.
        """
        if Y.shape[0] < Y.shape[1]:
            U, s, Vt = self.svd(Y.T)
            return Vt.T, s, U.T
        _, V = self.eigh(Y.T @ Y)
        V = V.flip(1)
        Q, R = _or_broken(lambda matrix: torch.linalg.qr(matrix, mode="complete"), Y @ V)
        on = R.diagonal()
        signs = torch.where(on < 0.0, -1.0, 1.0).to(on.dtype)
        Q[:, : len(on)] *= signs
        order = torch.argsort(on.abs(), descending=True)
        Q[:, : len(on)] = Q[:, order]
        return Q, self.get(on.abs()[order]), V[:, order].T

    def singular_values(self, W: Any) -> Any:
        """On the device."""
        return _or_broken(torch.linalg.svdvals, W)

    def inverse(self, H: Any) -> Any:
        """On the device."""
        return _or_broken(torch.linalg.inv, H)

    def free(self) -> int | None:
        """Bytes of memory that nobody uses; None where PyTorch does not say."""
        return int(torch.cuda.mem_get_info(self.device)[0]) if self.device.type == "cuda" else None

    def reserve(self, size: int, what: str) -> None:
        """Refuse what does not fit before anything is copied."""
        free = self.free()
        if free is not None and size > free:
            raise InputError(
                f"device: got {what}, for which {self.name} needs {_gigabytes(size)}; expected at most the "
                f"{_gigabytes(free)} that are free there; {_ADVICE}"
            )

    @contextmanager
    def working(self) -> Iterator[None]:
        """Products of float32 are those of float32, not of fewer bits, whatever the process was set to before."""
        products = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)
        before = [kind.fp32_precision for kind in products]
        for kind in products:
            kind.fp32_precision = "ieee"
        try:
            yield
        except RuntimeError as error:
            if not isinstance(error, torch.cuda.OutOfMemoryError) and "allocate memory" not in str(error):
                raise
            raise InputError(
                f"device: got a problem for which the memory of {self.name} ended ({str(error).splitlines()[0]}); "
                f"nothing was found; {_ADVICE}"
            ) from None
        finally:
            for kind, precision in zip(products, before, strict=True):
                kind.fp32_precision = precision


def _or_broken(function: Callable[[Any], Any], matrix: Any) -> Any:
    try:
        return function(matrix)
    except torch.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(str(error)) from None


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


_ADVICE: Final = (
    f"map the tokens from a file, of which only those constraints come to the device that matter ({page('scale')}), or "
    "leave device out"
)
