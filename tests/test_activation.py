"""ReLU's kernels against their definition."""

import numpy as np
import pytest

from minidl.kernels import kernels

NAN = float("nan")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("variant", ["numpy", "numba"])
def test_relu_of_special_values(variant, dtype):
    x = np.array([-1.0, -0.0, 0.0, 2.0, NAN, np.inf, -np.inf], dtype)
    y = kernels["relu"].variants[variant](x)
    np.testing.assert_array_equal(y, np.array([0, 0, 0, 2, NAN, np.inf, 0], dtype))
    g = np.arange(1, 8).astype(dtype)
    found = kernels["relu_grad"].variants[variant](g, y)
    np.testing.assert_array_equal(found, np.array([0, 0, 0, 4, 5, 6, 0], dtype))
    assert y.dtype == found.dtype == dtype


@pytest.mark.parametrize("size", [0, 1, 8191, 8193, 500_000])
def test_relu_of_any_size_and_layout(size):
    x = np.random.default_rng(0).normal(size=(2, size)).astype(np.float32)
    for view in (x, x[:, ::-1], x.T):
        y = kernels["relu"].variants["numba"](view)
        np.testing.assert_array_equal(y, np.maximum(view, 0))
        found = kernels["relu_grad"].variants["numba"](view, y)
        np.testing.assert_array_equal(found, np.where(y > 0, view, 0))
