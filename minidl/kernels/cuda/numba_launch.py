"""Numba CUDA: how its kernels are compiled, and started on CuPy's arrays and stream.

These kernels are CUDA in Python, to be read beside the CUDA C that has the same names. With
``NUMBA_ENABLE_CUDASIM=1`` in the environment before Numba is imported they run in Numba's
simulator, on NumPy arrays, and can be followed with a debugger or ``print``.

Four habits of Numba's explain how they are written. Its integers have 64 bits, and such an
integer beside a float32 makes a float64: so a zero is ``x.dtype.type(0)``. None cannot be
passed to a kernel: what is missing is an empty array. Since Numba 0.66 ``max`` and ``min`` of two
numbers do not compile for a GPU (its issue 10753): so there are conditions in their place.
Cached kernels are compiled anew when their own file changes, and only then: so a kernel's
device functions are in its file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import cuda

from minidl.backend import device_of, load_cupy

numba.config.CUDA_LOW_OCCUPANCY_WARNINGS = 0  # a small batch makes a small grid, and may

cuda_kernel = cuda.jit(cache=True)
"""Compiles a function that `launch` starts, one call of it a thread."""

cuda_device = cuda.jit(device=True)
"""Compiles a function that kernels call."""


def covered(*arrays: Any) -> bool:
    """Whether the kernels take these arrays: float32 or float64, all the same, none empty."""
    dtype = arrays[0].dtype
    return dtype in (np.float32, np.float64) and all(
        array.dtype == dtype and array.size > 0 for array in arrays
    )


def launch(kernel: Callable, grid: tuple[int, ...], block: tuple[int, ...], *args: Any) -> None:
    """Start ``grid`` blocks of ``block`` threads each on CuPy's current stream.

    The arguments are arrays, NumPy's scalars, bool, int (64 bits), and tuples of them.
    """
    place = device_of(args[0])
    if place.type == "cpu":  # the simulator
        kernel[grid, block](*args)
        return
    stream = _stream(place.index, load_cupy().cuda.get_current_stream().ptr)
    kernel[grid, block, stream](*map(_argument, args))


@functools.lru_cache(maxsize=64)
def _stream(device: int, pointer: int) -> Any:
    """CuPy's stream as one of Numba's, which keeps a launch's configuration by its identity."""
    return cuda.external_stream(pointer)


def _argument(value: Any) -> Any:
    # sync would make the host wait for a stream that is the kernel's own
    is_array = hasattr(value, "__cuda_array_interface__")
    return cuda.as_cuda_array(value, sync=False) if is_array else value
