"""NumPy's functions for the emulator's arrays: what ``cupy`` is for a GPU's.

Functions of arrays are NumPy's own, which hand the emulator's arrays back to
`EmulatorArray`; those that make arrays make the emulator's. ``asarray`` and ``array`` copy
from the host.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from minidl.emulator.array import EmulatorArray, as_device, as_host

_MAKERS = {"arange", "eye", "full", "identity", "linspace", "ones", "tri", "zeros"}


def empty(shape: Any, dtype: Any = float, order: str = "C") -> EmulatorArray:
    """Memory with nothing in it yet: all bits set, so that floating-point numbers are NaN."""
    array = np.empty(shape, dtype, order)
    array.reshape(-1, order="A").view(np.uint8)[...] = 0xFF
    return as_device(array)


def array(data: Any, dtype: Any = None) -> EmulatorArray:
    """A copy of ``data``, from the host or the device."""
    return as_device(np.array(data, dtype=dtype, subok=False))


def asarray(data: Any, dtype: Any = None) -> EmulatorArray:
    """``data`` itself if it is the device's and has this dtype, else a copy."""
    if isinstance(data, EmulatorArray) and dtype in (None, data.dtype):
        return data
    return array(data, dtype)


def ascontiguousarray(data: EmulatorArray) -> EmulatorArray:
    """``data`` itself if it is in row-major order, else a copy."""
    return as_device(np.ascontiguousarray(as_host(data)))


def __getattr__(name: str) -> Any:
    function = getattr(np, name)
    if name not in _MAKERS:
        return function

    @functools.wraps(function)
    def made(*args: Any, **options: Any) -> Any:
        return as_device(function(*args, **options))

    return made
