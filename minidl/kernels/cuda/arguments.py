"""What a kernel is called with: plain Python in, the exact C types out."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl import emulator


def converted(argument: Any) -> Any:
    """A kernel's argument: an ``int`` as C's int, a ``float`` as C's float, the rest as it is.

    Arrays, None (a null pointer), NumPy's scalars and structures (by value) stay as they are.
    OverflowError if an int has more than 32 bits, TypeError for an array of the host.
    """
    kind = type(argument)
    if kind is int:
        return np.int32(argument)
    if kind is np.ndarray and argument.dtype.kind != "V":
        raise TypeError(
            f"a kernel of the device got an array of the host, "
            f"{argument.dtype}{list(argument.shape)}"
        )
    return np.float32(argument) if kind is float else argument


def address(array: Any) -> int:
    """Where ``array``, of a device, begins in the device's memory."""
    on_emulator = isinstance(array, emulator.EmulatorArray)
    return emulator.address(array) if on_emulator else array.data.ptr


def packed(**fields: Any) -> np.ndarray:
    """A C structure to pass by value, its fields in this order, aligned as C aligns them.

    Each field is a NumPy scalar or array, which becomes a C array. What returns are its bytes:
    CuPy asks NumPy to describe an argument's fields, whenever it gets one that has some.
    """
    values = {name: np.asarray(value) for name, value in fields.items()}
    layout = [(name, value.dtype, value.shape) for name, value in values.items()]
    structure = np.zeros((), np.dtype(layout, align=True))
    for name, value in values.items():
        structure[name] = value
    return structure.view(f"V{structure.itemsize}")


def integers(**fields: Any) -> dict[str, np.ndarray]:
    """Fields of a C structure: Python's numbers and tuples as C's int."""
    return {name: np.array(value, np.int32) for name, value in fields.items()}
