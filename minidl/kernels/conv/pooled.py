"""The gradient of a pooled convolution as that of the convolution."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.conv.reference import Pair
from minidl.kernels.jit import threaded
from minidl.kernels.launch import contiguous, empty


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
