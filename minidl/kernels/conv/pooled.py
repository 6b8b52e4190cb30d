"""A convolution with ReLU and pooling in two steps: the maxima, and their gradient."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.conv.reference import NO_GRADIENT, Pair
from minidl.kernels.jit import threaded
from minidl.kernels.launch import contiguous, empty


@threaded
def _pool(y, out, code):
    for n in prange(len(y)):
        for o in range(y.shape[1]):
            for i in range(out.shape[2]):
                for j in range(out.shape[3]):
                    best, found = y[n, o, 2 * i, 2 * j], 0
                    for place in range(1, 4):
                        value = y[n, o, 2 * i + (place >> 1), 2 * j + (place & 1)]
                        if value > best or value != value:
                            best, found = value, place
                    out[n, o, i, j] = best
                    code[n, o, i, j] = NO_GRADIENT if best <= 0 else found


def pool(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each window of 2 by 2 of y (n, o, i, j), which is not negative, and where.

    See `minidl.kernels.conv.reference.conv2d_relu_max_pool2d`.
    """
    shape = *y.shape[:2], y.shape[2] // 2, y.shape[3] // 2
    out, code = empty(shape, y.dtype), empty(shape, np.uint8)
    _pool(y.size, y, out, code)
    return out, code


@threaded
def _spread(g, code, out):
    for n in prange(len(g)):
        out[n] = 0
        for o in range(g.shape[1]):
            for i in range(g.shape[2]):
                for j in range(g.shape[3]):
                    place = np.int64(code[n, o, i, j])
                    if place < 4:
                        out[n, o, 2 * i + (place >> 1), 2 * j + (place & 1)] = g[n, o, i, j]


def spread(g: np.ndarray, code: np.ndarray, size: Pair) -> np.ndarray:
    """g (n, o, i, j) at the places ``code`` in windows of 2 by 2, zero elsewhere, of ``size``."""
    out = empty((*g.shape[:2], *size), g.dtype)
    _spread(out.size, contiguous(g), contiguous(code), out)
    return out
