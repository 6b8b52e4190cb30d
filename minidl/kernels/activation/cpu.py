"""Activations in Numba."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.activation import reference
from minidl.kernels.jit import threaded

_BLOCK = 8192  # elements: a quarter of a first-level cache, and few turns of the outer loop


@threaded
def _relu(x, y):
    for block in prange((x.size + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, x.size)):
            y[i] = 0 if x[i] <= 0 else x[i]


@threaded
def _relu_grad(g, y, out):
    for block in prange((y.size + _BLOCK - 1) // _BLOCK):
        for i in range(block * _BLOCK, min((block + 1) * _BLOCK, y.size)):
            out[i] = 0 if y[i] <= 0 else g[i]


def _covered(x: np.ndarray) -> bool:
    return x.dtype in (np.float32, np.float64)


def relu(x: np.ndarray) -> np.ndarray:
    """See `minidl.kernels.activation.reference.relu`."""
    if not _covered(x):
        return reference.relu(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty_like(flat)
    _relu(x.size, flat, y)
    return y.reshape(x.shape)


def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See `minidl.kernels.activation.reference.relu_grad`."""
    if not _covered(y) or g.dtype != y.dtype:
        return reference.relu_grad(g, y)
    flat_g, flat_y = (np.ascontiguousarray(a).reshape(-1) for a in (g, y))
    out = np.empty_like(flat_y)
    _relu_grad(y.size, flat_g, flat_y, out)
    return out.reshape(y.shape)
