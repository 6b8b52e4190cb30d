"""Philox 4x32-10 in NumPy, the definition.

A block cipher with few rounds: a 128-bit counter is scrambled with a 64-bit key into four
random 32-bit words. Block number n can be had without the blocks before it, so threads
share no state and a number depends on its position alone.

Source: J. Salmon, M. Moraes, R. Dror, D. Shaw, "Parallel random numbers: as easy as
1, 2, 3", SC'11, https://doi.org/10.1145/2063384.2063405
"""

import numpy as np

from minidl.backend import xp

ROUNDS = 10
MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1: the key's step per round
MASK = 0xFFFFFFFF

_SHIFT, _MASK = np.uint64(32), np.uint64(MASK)
_M0, _M1 = map(np.uint64, MULTIPLIER)


def philox(words: np.ndarray, key: int, counter: int, domain: int) -> None:
    """Fill ``words``, uint32 (blocks, 4), with random bits.

    Block i scrambles the 128-bit counter whose low half is ``counter + i`` (modulo 2^64) and
    whose high half is ``domain``; all three numbers are unsigned 64-bit integers.
    """
    low = xp(words).arange(len(words), dtype=np.uint64) + np.uint64(counter)
    high = xp(words).full(len(words), domain, np.uint64)
    c0, c1, c2, c3 = low & _MASK, low >> _SHIFT, high & _MASK, high >> _SHIFT
    for turn in range(ROUNDS):
        k0 = np.uint64(((key & MASK) + turn * WEYL[0]) & MASK)
        k1 = np.uint64(((key >> 32) + turn * WEYL[1]) & MASK)
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (p1 >> _SHIFT) ^ c1 ^ k0, p1 & _MASK, (p0 >> _SHIFT) ^ c3 ^ k1, p0 & _MASK
    words[...] = xp(words).stack([c0, c1, c2, c3], axis=1)
