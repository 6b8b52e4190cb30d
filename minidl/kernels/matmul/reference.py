"""The matrix product, the definition."""

from __future__ import annotations

import numpy as np

from minidl.backend import xp


def matmul(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """``(..., n, k) @ (..., k, m) + bias``, leading dimensions broadcast.

    ``bias`` has shape (m,); float16 adds up in float32.
    """
    if a.dtype == np.float16:
        return matmul(a.astype(np.float32), b.astype(np.float32), bias).astype(np.float16)
    c = xp(a, b).matmul(a, b)
    if bias is not None:
        c += bias
    return c
