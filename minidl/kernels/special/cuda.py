"""Special functions on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.kernels.cuda import FLOATING, Source, ctype, grid_for
from minidl.kernels.launch import contiguous, empty, planned

_source = Source(__file__, "special.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256


@planned
def erf(x: Any) -> Any:
    """The error function of each element; ``x`` is floating point."""
    y = empty(x.shape, x.dtype, x)
    kernel = _source.kernel("error_function", x, ELEMENT=ctype(x.dtype))
    blocks = grid_for(-(-x.size * x.dtype.itemsize // 16), _THREADS)
    kernel(blocks, (_THREADS,), (contiguous(x), np.int64(x.size), y))
    return y
