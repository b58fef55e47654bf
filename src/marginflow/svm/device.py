"""The device that a user names: where a search makes its products."""

from typing import Any

from marginflow.errors import InputError
from marginflow.svm.scaling.namespace import NUMPY, AbstractNamespace


def parse_device(device: Any) -> AbstractNamespace:
    """The arrays of `device`: a word of PyTorch's such as "cuda", "cuda:1" or "cpu", or its torch.device; NumPy's of
    None.

    Raises:
        InputError: PyTorch is not installed or too old, no such device, or one on which float64 does not work.
    """
    if device is None:
        return NUMPY
    try:
        import torch
    except ImportError:
        raise InputError(
            f"device: got {str(device)!r}, but PyTorch is not installed; pip install 'marginflow[gpu]', or leave "
            "device out to use NumPy"
        ) from None
    if not hasattr(torch.backends.mkldnn, "matmul"):
        raise InputError(
            f"device: got {str(device)!r} with PyTorch {torch.__version__}; expected 2.9 or later, in which products "
            "of float32 can be kept from fewer bits; pip install --upgrade 'marginflow[gpu]'"
        )
    from marginflow.svm.scaling.torch_namespace import Torch

    try:
        found = torch.device(str(device))
        if found.type == "mps":
            raise TypeError("mps has no float64, in which every search ends")
        values, _ = torch.linalg.eigh(torch.eye(2, dtype=torch.float64, device=found))
        float(values[0])
    except (RuntimeError, TypeError, AssertionError, ImportError) as error:
        raise InputError(
            f"device: got {str(device)!r}, which cannot be used ({str(error).splitlines()[0]}); expected "
            f"{' or '.join(_here(torch))}, which this PyTorch {torch.__version__} has, or leave device out to use NumPy"
        ) from None
    return Torch(values.device)


def _here(torch: Any) -> list[str]:
    """The devices of every kind that people have."""
    return ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
