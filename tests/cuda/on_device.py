"""A kernel on a device against its reference on the host."""

import numpy as np

from minidl.backend import is_array, to_device, to_host

TOLERANCE = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}
"""By dtype: how far results may differ, in relation to the largest number in the result."""


def moved(value, transfer):
    """``value`` with every array in it, lists and tuples included, put through ``transfer``."""
    if is_array(value):
        return transfer(value)
    if isinstance(value, list | tuple):
        return type(value)(moved(item, transfer) for item in value)
    return value


def on_device(place, kernel, *args):
    """What ``kernel`` returns for these arguments on the device ``place``, as NumPy arrays."""
    result = kernel(*moved(args, lambda array: to_device(array, place)))
    return moved(result, to_host)


def assert_agrees(place, kernel, *args, tolerance=1.0):
    """The kernel on ``place`` equals its reference on the host.

    ``tolerance`` multiplies the dtype's, for long sums.
    """
    found = on_device(place, kernel, *args)
    expected = kernel.reference(*args)
    if not isinstance(expected, tuple):
        found, expected = (found,), (expected,)
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs, tolerance)


def assert_close(found, expected, tolerance=1.0):
    """Same dtype, shape and numbers, up to rounding; NaN equals NaN."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(found, expected)
        return
    finite = np.abs(expected[np.isfinite(expected)])
    scale = float(finite.max(initial=0.0)) or 1.0
    allowed = tolerance * TOLERANCE[expected.dtype.name]
    np.testing.assert_allclose(found, expected, rtol=allowed, atol=allowed * scale)
