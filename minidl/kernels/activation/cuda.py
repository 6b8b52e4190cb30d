"""Activations on a GPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.kernels.activation import reference
from minidl.kernels.cuda import FLOATING, Source, ctype, grid_for
from minidl.kernels.launch import contiguous, empty, planned

_source = Source(__file__, "activation.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256
_KINDS = {name: kind for kind, name in enumerate(reference.FUNCTIONS)}


@planned
def relu(x: Any) -> Any:
    """See `minidl.kernels.activation.reference.relu`."""
    if x.dtype not in FLOATING:
        return reference.relu(x)
    return _launch("relu", x, contiguous(x), np.int64(x.size))


@planned
def relu_grad(g: Any, y: Any) -> Any:
    """See `minidl.kernels.activation.reference.relu_grad`."""
    if y.dtype not in FLOATING or g.dtype != y.dtype:
        return reference.relu_grad(g, y)
    arrays = map(contiguous, (g, y))
    return _launch("relu_grad", y, *arrays, np.int64(y.size))


@planned
def activation(x: Any, bias: Any, name: str, parameters: tuple[float, ...]) -> Any:
    """See `minidl.kernels.activation.reference.activation`."""
    if not _covered(x, bias):
        return reference.activation(x, bias, name, parameters)
    return _launch("activation", x, _KINDS[name], *_arguments(bias, parameters, x))


@planned
def activation_grad(g: Any, x: Any, bias: Any, name: str, parameters: tuple[float, ...]) -> Any:
    """See `minidl.kernels.activation.reference.activation_grad`."""
    if not _covered(x, g, bias):
        return reference.activation_grad(g, x, bias, name, parameters)
    g = contiguous(g)
    return _launch("activation_grad", x, _KINDS[name], g, *_arguments(bias, parameters, x))


def _covered(x: Any, *others: Any) -> bool:
    dtypes = {array.dtype for array in (x, *others) if array is not None}
    return x.dtype in FLOATING and len(dtypes) == 1


def _arguments(bias: Any, parameters: tuple[float, ...], x: Any) -> tuple:
    """What the kernels take: x, bias, two parameters, size, row's length, channels."""
    scalar = np.float64 if x.dtype == np.float64 else np.float32
    numbers = map(scalar, (*parameters, 0, 0)[:2])
    if bias is None:
        return contiguous(x), None, *numbers, np.int64(x.size), np.int64(max(x.size, 1)), 1
    sizes = np.int64(x.size), np.int64(max(math.prod(x.shape[2:]), 1)), max(x.shape[1], 1)
    return contiguous(x), contiguous(bias), *numbers, *sizes


def _launch(name: str, like: Any, *arguments: Any) -> Any:
    """The kernel's result, an array like ``like``."""
    y = empty(like.shape, like.dtype, like)
    packs = -(-y.size * y.dtype.itemsize // 16)
    kernel = _source.kernel(name, like, ELEMENT=ctype(y.dtype))
    kernel(grid_for(packs, _THREADS), (_THREADS,), (*arguments, y))
    return y
