"""The emulator's arrays: NumPy memory that counts as memory of another device.

As with CuPy, an operation on an array of the device yields an array of the device, never a
scalar of the host, and an operation that mixes the two kinds of memory is a TypeError. So
code that runs on these arrays keeps its data on the device, and runs on CuPy's as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np


class EmulatorArray(np.ndarray):
    """An array on the emulated device; made by `minidl.emulator.array_module`."""

    made = False
    """Whether there has ever been one; if not, nobody need look for them."""

    def __array_finalize__(self, source: Any) -> None:
        EmulatorArray.made = True

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.pop("out", None)
        if out is not None:
            options["out"] = tuple(None if o is None else as_host(o) for o in out)
        if "where" in options:
            options["where"] = as_host(options["where"])
        result = getattr(ufunc, method)(*map(as_host, inputs), **options)
        if out is not None and out[0] is not None:
            return out[0] if len(out) == 1 else out
        return as_device(result)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return as_device(function(*as_host(args), **as_host(options)))

    def __getitem__(self, index: Any) -> Any:
        return as_device(super().__getitem__(as_host(index)))

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(as_host(index), as_host(value))

    def argmax(self, *args: Any, **options: Any) -> Any:
        return as_device(super().argmax(*args, **options))

    def argmin(self, *args: Any, **options: Any) -> Any:
        return as_device(super().argmin(*args, **options))


def as_device(result: Any) -> Any:
    """NumPy's arrays and scalars in ``result`` as arrays of the device (shared, not copied)."""
    if isinstance(result, np.ndarray | np.generic):
        return np.asarray(result).view(EmulatorArray)
    if isinstance(result, tuple | list):
        parts = map(as_device, result)
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def as_host(value: Any) -> Any:
    """The device's arrays in ``value`` as NumPy's; TypeError for arrays of the host."""
    if isinstance(value, EmulatorArray):
        return value.view(np.ndarray)
    if isinstance(value, np.ndarray):
        raise TypeError(f"an array of the host, {value.dtype}{list(value.shape)}, met the device")
    if isinstance(value, tuple | list):
        return type(value)(map(as_host, value))
    if isinstance(value, dict):
        return {key: as_host(item) for key, item in value.items()}
    return value
