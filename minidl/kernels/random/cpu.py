"""Philox 4x32-10 in Numba, the same bits as the reference."""

import numpy as np
from numba import prange

from minidl.kernels.jit import jit, threaded
from minidl.kernels.random.reference import MASK, MULTIPLIER, ROUNDS, WEYL

_SHIFT, _MASK = np.uint64(32), np.uint64(MASK)
_M0, _M1 = map(np.uint64, MULTIPLIER)
_W0, _W1 = map(np.uint64, WEYL)


# A kernel elsewhere that wants random numbers should copy this function rather than import
# it: Numba's cache checks only a kernel's own file, and would not see a change here.
@jit
def scramble(key, counter, domain):
    """Four random 32-bit words, held as uint64, from three uint64 numbers."""
    c0, c1, c2, c3 = counter & _MASK, counter >> _SHIFT, domain & _MASK, domain >> _SHIFT
    k0, k1 = key & _MASK, key >> _SHIFT
    for _ in range(ROUNDS):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _MASK, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3


@threaded
def _philox(key, counter, domain, words):
    for i in prange(words.shape[0]):
        c0, c1, c2, c3 = scramble(key, counter + np.uint64(i), domain)
        words[i, 0] = c0
        words[i, 1] = c1
        words[i, 2] = c2
        words[i, 3] = c3


def philox(words: np.ndarray, key: int, counter: int, domain: int) -> None:
    """See `minidl.kernels.random.reference.philox`."""
    _philox(5 * words.size, np.uint64(key), np.uint64(counter), np.uint64(domain), words)
