"""Dropout on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.kernels.cuda import FLOATING, Source, ctype, grid_for
from minidl.kernels.dropout import reference
from minidl.kernels.launch import contiguous, empty

_source = Source(__file__, "dropout.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256


def dropout(x: Any, p: float, key: int, counter: int) -> Any:
    """See `minidl.kernels.dropout.reference.dropout`."""
    if x.dtype not in FLOATING:
        return reference.dropout(x, p, key, counter)
    y = empty(x.shape, x.dtype, x)
    threshold, scale = reference.threshold_and_scale(p, x.dtype)
    # the multiplier rounded to x's dtype, in the dtype that the kernel computes in
    scale = scale if x.dtype == np.float64 else np.float32(scale)
    numbers = np.int64(x.size), np.uint64(key), np.uint64(counter), np.uint32(threshold), scale
    kernel = _source.kernel("dropout", x, ELEMENT=ctype(x.dtype))
    blocks = grid_for(-(-x.size // 4), _THREADS)
    kernel(blocks, (_THREADS,), (contiguous(x), y, *numbers))
    return y
