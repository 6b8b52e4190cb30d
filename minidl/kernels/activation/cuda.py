"""Activations on a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import xp
from minidl.kernels.activation import reference
from minidl.kernels.cuda import FLOATING, Source, ctype, grid_for

_source = Source(__file__, "activation.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256


def relu(x: Any) -> Any:
    """See `minidl.kernels.activation.reference.relu`."""
    if x.dtype not in FLOATING:
        return reference.relu(x)
    x = xp(x).ascontiguousarray(x)
    y = xp(x).empty(x.shape, x.dtype)
    _launch("relu", x, y)
    return y


def relu_grad(g: Any, y: Any) -> Any:
    """See `minidl.kernels.activation.reference.relu_grad`."""
    if y.dtype not in FLOATING or g.dtype != y.dtype:
        return reference.relu_grad(g, y)
    g, y = xp(g).ascontiguousarray(g), xp(y).ascontiguousarray(y)
    out = xp(y).empty(y.shape, y.dtype)
    _launch("relu_grad", g, y, out)
    return out


def _launch(name: str, *arrays: Any) -> None:
    out = arrays[-1]
    kernel = _source.kernel(name, out, ELEMENT=ctype(out.dtype))
    kernel(grid_for(out.size, _THREADS), (_THREADS,), (*arrays, np.int64(out.size)))
