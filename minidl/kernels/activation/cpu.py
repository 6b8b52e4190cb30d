"""Activations in Numba."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.activation import reference
from minidl.kernels.jit import FLOATS, threaded
from minidl.kernels.launch import contiguous, empty, planned, unplanned

_BLOCK = 8192  # elements: a quarter of a first-level cache, and few turns of the outer loop


# Blocks are slices, from which LLVM sees that indices are not negative, and finds vectors.


@threaded
def _relu(x, y):
    zero = y.dtype.type(0)  # a number of another type would be a conversion each time
    for block in prange((x.size + _BLOCK - 1) // _BLOCK):
        part = slice(block * _BLOCK, (block + 1) * _BLOCK)
        from_, to = x[part], y[part]
        for i in range(len(to)):
            to[i] = zero if from_[i] <= zero else from_[i]


@threaded
def _relu_grad(g, y, out):
    zero = out.dtype.type(0)
    for block in prange((y.size + _BLOCK - 1) // _BLOCK):
        part = slice(block * _BLOCK, (block + 1) * _BLOCK)
        gradient, result, to = g[part], y[part], out[part]
        for i in range(len(to)):
            passed = gradient[i]  # read in any case, as vectors are
            to[i] = zero if result[i] <= zero else passed


def _covered(x: np.ndarray) -> bool:
    return x.dtype in FLOATS


@planned
def relu(x: np.ndarray) -> np.ndarray:
    """See `minidl.kernels.activation.reference.relu`."""
    if not _covered(x):
        return unplanned(reference.relu, x)
    y = empty(x.shape, x.dtype)
    _relu(x.size, contiguous(x).reshape(-1), y.reshape(-1))
    return y


@planned
def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See `minidl.kernels.activation.reference.relu_grad`."""
    if not _covered(y) or g.dtype != y.dtype:
        return unplanned(reference.relu_grad, g, y)
    out = empty(y.shape, y.dtype)
    _relu_grad(y.size, contiguous(g).reshape(-1), contiguous(y).reshape(-1), out.reshape(-1))
    return out
