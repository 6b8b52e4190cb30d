"""ReLU in Numba CUDA, to be read beside `activation.cu`.

The idea: a grid-stride loop. Thread t of T takes the elements t, t + T, t + 2 T, ..., so that
any number of threads serves any number of elements, and neighbours read neighbours.
"""

from __future__ import annotations

from typing import Any

from numba import cuda

from minidl.backend import xp
from minidl.kernels.activation import reference
from minidl.kernels.cuda import grid_for
from minidl.kernels.cuda.numba_launch import covered, cuda_kernel, launch

_THREADS = 256


@cuda_kernel
def _relu(x, y):
    for i in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[i] = x.dtype.type(0) if x[i] <= 0 else x[i]  # NaN stays NaN


@cuda_kernel
def _relu_grad(g, y, g_x):
    for i in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        g_x[i] = y.dtype.type(0) if y[i] <= 0 else g[i]


def relu(x: Any) -> Any:
    """See `minidl.kernels.activation.reference.relu`."""
    return _elementwise(_relu, x) if covered(x) else reference.relu(x)


def relu_grad(g: Any, y: Any) -> Any:
    """See `minidl.kernels.activation.reference.relu_grad`."""
    return _elementwise(_relu_grad, g, y) if covered(g, y) else reference.relu_grad(g, y)


def _elementwise(kernel: Any, *arrays: Any) -> Any:
    flat = [xp(array).ascontiguousarray(array).reshape(-1) for array in arrays]
    result = xp(flat[0]).empty(flat[0].shape, flat[0].dtype)
    launch(kernel, grid_for(result.size, _THREADS), (_THREADS,), *flat, result)
    return result.reshape(arrays[0].shape)
