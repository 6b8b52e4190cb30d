"""The beginnings of many pictures' random streams at once, in NumPy and in Numba.

Each picture of an epoch has a stream of its own, so that its numbers depend on its position
alone. See `minidl.random` for what a stream is.
"""

import numpy as np

from minidl.kernels.jit import jit
from minidl.kernels.random.reference import philox

_MASK, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
_DRAW, _SPAWN = np.uint64(0), np.uint64(1)  # the domains of numbers and of keys


def stream_bits_numpy(words: np.ndarray, seed: int, first: int) -> None:
    """Fill ``words``, uint32 (pictures, 4 * blocks): row i begins picture first + i's stream.

    They are what ``minidl.random.Generator(seed).spawn(first + i).bits(4 * blocks)`` draws.
    """
    key = np.empty((1, 4), np.uint32)
    for i, row in enumerate(words):
        philox(key, seed, first + i, int(_SPAWN))
        low, high = key[0, :2].tolist()
        philox(row.reshape(-1, 4), high << 32 | low, 0, int(_DRAW))


def stream_bits_numba(words: np.ndarray, seed: int, first: int) -> None:
    """The first words of each picture's stream; see the definition."""
    _stream_bits(np.uint64(seed), np.uint64(first), words)


@jit
def _stream_bits(seed, first, words):
    count, length = words.shape
    for i in range(count):
        low, high, _, _ = _scramble(seed, first + np.uint64(i), _SPAWN)
        key = high << _HALF | low
        for block in range(length // 4):
            c0, c1, c2, c3 = _scramble(key, np.uint64(block), _DRAW)
            words[i, 4 * block] = c0
            words[i, 4 * block + 1] = c1
            words[i, 4 * block + 2] = c2
            words[i, 4 * block + 3] = c3


# A copy of minidl.kernels.random.cpu.scramble: Numba's cache would miss a change over there.
@jit
def _scramble(key, counter, domain):
    """Philox 4x32-10: four random 32-bit words, held as uint64."""
    c0, c1, c2, c3 = counter & _MASK, counter >> _HALF, domain & _MASK, domain >> _HALF
    k0, k1 = key & _MASK, key >> _HALF
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _MASK, (p0 >> _HALF) ^ c3 ^ k1, p0 & _MASK
        k0, k1 = (k0 + _W0) & _MASK, (k1 + _W1) & _MASK
    return c0, c1, c2, c3
