"""The matrix product, the definition."""

from __future__ import annotations

import numpy as np

from minidl.backend import xp


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``(..., n, k) @ (..., k, m)``, leading dimensions broadcast; float16 adds up in float32."""
    if a.dtype == np.float16:
        return xp(a, b).matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.float16)
    return xp(a, b).matmul(a, b)
