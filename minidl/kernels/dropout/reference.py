"""Dropout in NumPy, the definition.

Element i of ``x``, in row-major order, is kept if and only if number i of the stream is at
least p, as `minidl.random.Generator.uniform` makes numbers of float32: the upper 24 bits of
the stream's word i, times 2^-24. What is kept is multiplied by 1 / (1 - p).

Source: N. Srivastava et al., "Dropout", JMLR 15, 2014
"""

import math

import numpy as np

from minidl.backend import xp
from minidl.kernels.random.reference import philox

DRAW = 0
"""The domain of `minidl.random`'s numbers: the high half of the counter."""


@np.errstate(over="ignore")  # of float16
def threshold_and_scale(p: float, dtype: np.dtype) -> tuple[int, np.floating]:
    """The least 24 bits that keep an element, and what it is multiplied by, in ``dtype``."""
    threshold = math.ceil(float(np.float32(p)) * 2**24)
    return threshold, dtype.type(1 / (1 - p) if p < 1 else 0)


@np.errstate(all="ignore")
def dropout(x: np.ndarray, p: float, key: int, counter: int) -> np.ndarray:
    """Each element 0 with probability ``p``, else multiplied by 1 / (1 - p).

    ``key`` and ``counter`` say where the stream begins. The function is linear in ``x`` and
    its own gradient.
    """
    threshold, scale = threshold_and_scale(p, x.dtype)
    words = xp(x).empty((-(-x.size // 4), 4), np.uint32)
    philox(words, key, counter, DRAW)
    kept = words.reshape(-1)[: x.size].reshape(x.shape) >> np.uint32(8) >= threshold
    return xp(x).where(kept, x * scale, x.dtype.type(0))
