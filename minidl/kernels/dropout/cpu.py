"""Dropout in Numba: the mask is made on the way and never stored."""

import numpy as np
from numba import prange

from minidl.kernels.dropout import reference
from minidl.kernels.dropout.reference import DRAW, threshold_and_scale
from minidl.kernels.jit import jit, threaded
from minidl.kernels.random.reference import MASK, MULTIPLIER, ROUNDS, WEYL

_SHIFT, _MASK, _DRAW = np.uint64(32), np.uint64(MASK), np.uint64(DRAW)
_M0, _M1 = map(np.uint64, MULTIPLIER)
_W0, _W1 = map(np.uint64, WEYL)


# A copy of minidl.kernels.random.cpu.scramble: Numba's cache would miss a change over there.
@jit
def _scramble(key, counter, domain):
    """Philox 4x32-10: four random 32-bit words, held as uint64."""
    c0, c1, c2, c3 = counter & _MASK, counter >> _SHIFT, domain & _MASK, domain >> _SHIFT
    k0, k1 = key & _MASK, key >> _SHIFT
    for _ in range(ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _MASK, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@threaded
def _dropout(x, threshold, scale, key, counter, y):
    zero = x.dtype.type(0)
    for block in prange((x.size + 3) // 4):
        words = _scramble(key, counter + np.uint64(block), _DRAW)
        for i in range(4 * block, min(4 * block + 4, x.size)):
            y[i] = x[i] * scale if words[i % 4] >> np.uint64(8) >= threshold else zero


def dropout(x: np.ndarray, p: float, key: int, counter: int) -> np.ndarray:
    """See `minidl.kernels.dropout.reference.dropout`."""
    if x.dtype not in (np.float32, np.float64):
        return reference.dropout(x, p, key, counter)
    flat = np.ascontiguousarray(x).reshape(-1)
    y = np.empty_like(flat)
    threshold, scale = threshold_and_scale(p, x.dtype)
    _dropout(15 * x.size, flat, np.uint64(threshold), scale, np.uint64(key), np.uint64(counter), y)
    return y.reshape(x.shape)
