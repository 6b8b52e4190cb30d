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
    x = np.ascontiguousarray(x)
    y = np.empty_like(x)
    _relu(x.size, x.reshape(-1), y.reshape(-1))
    return y


def relu_grad(g: np.ndarray, y: np.ndarray) -> np.ndarray:
    """See `minidl.kernels.activation.reference.relu_grad`."""
    if not _covered(y) or g.dtype != y.dtype:
        return reference.relu_grad(g, y)
    g, y = np.ascontiguousarray(g), np.ascontiguousarray(y)
    out = np.empty_like(y)
    _relu_grad(y.size, g.reshape(-1), y.reshape(-1), out.reshape(-1))
    return out
