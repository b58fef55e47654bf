"""Arrays of other libraries and of unusual types become the numbers they hold, or are refused by name."""

import ml_dtypes
import numpy as np
import pytest

from marginflow.arrays import as_array, as_floats
from marginflow.errors import InputError


class Tensor:
    """What `torch.Tensor` does for this library, so that torch need not be installed to test it."""

    __module__ = "torch"

    def __init__(self, values, dtype="torch.float32", *, tracked=False, device="cpu", layout="strided"):
        self.values, self.dtype, self.tracked, self.device = np.asarray(values), dtype, tracked, device
        self.layout = layout

    def detach(self):
        return Tensor(self.values, self.dtype, device=self.device, layout=self.layout)

    def cpu(self):
        return Tensor(self.values, self.dtype, tracked=self.tracked, layout=self.layout)

    def float(self):
        return Tensor(self.values.astype(np.float32), tracked=self.tracked, device=self.device, layout=self.layout)

    def numpy(self):
        if self.tracked:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        if self.device != "cpu" or self.layout != "strided" or "bfloat" in self.dtype or "float8" in self.dtype:
            raise TypeError(f"Got unsupported ScalarType {self.dtype} on {self.device}, {self.layout}")
        return self.values

    def __array__(self, dtype=None, copy=None):
        return self.numpy()


class Parameter(Tensor):
    """A subclass defined elsewhere is still a tensor."""

    __module__ = "somebody.models"


VALUES = np.array([[1.5, -2.0], [0.25, 3.0]], dtype=np.float32)


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor(VALUES),
        Tensor(VALUES, tracked=True),
        Tensor(VALUES, device="cuda:0"),
        Tensor(VALUES, "torch.bfloat16"),
        Tensor(VALUES, "torch.float8_e4m3fn", tracked=True, device="cuda:1"),
        Parameter(VALUES, "torch.bfloat16", tracked=True),
        [Tensor(row, "torch.bfloat16", tracked=True) for row in VALUES],
        [[Tensor(x, tracked=True) for x in row] for row in VALUES],
        np.ma.array(VALUES),
        [np.ma.array(row) for row in VALUES],
    ],
)
def test_tensors_are_the_numbers_they_hold(tensor):
    found = as_floats("X", tensor)
    assert found.dtype == np.float64 and np.array_equal(found, VALUES)


@pytest.mark.parametrize("kind", ["bfloat16", "float8_e5m2", "float8_e4m3fn", "int4"])
def test_narrow_types_are_converted_exactly(kind):
    narrow = np.arange(-3, 4).astype(getattr(ml_dtypes, kind))
    assert np.array_equal(as_floats("X", narrow), np.arange(-3.0, 4.0))


@pytest.mark.parametrize(
    "value, words",
    [
        (Tensor(VALUES, layout="sparse"), "X: got a tensor that cannot be read"),
        (np.ma.array(VALUES, mask=VALUES < 0), "hides 1 entries"),
        ([np.ma.array(row, mask=row < 0) for row in VALUES], "hides 1 entries"),
        (np.array([np.ones(2), np.ones(3)], dtype=object), "objects.*mask="),
        ([np.ones(2), np.ones(3)], "different lengths"),
        (object(), "Python objects"),
        (None, "Python objects"),
    ],
)
def test_what_is_no_array_of_numbers_is_named(value, words):
    with pytest.raises(InputError, match=words) as caught:
        as_floats("X", value)
    assert "\n" not in str(caught.value)


def test_a_library_that_refuses_conversion_is_named():
    class Remote:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("Implicit conversion to a NumPy array is not allowed")

    with pytest.raises(InputError, match=r"got .*Remote, which NumPy cannot read"):
        as_array("z", Remote())
