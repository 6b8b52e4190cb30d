"""Softmax and cross-entropy on a GPU. Labels are not checked: one that is no class gives NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.backend import xp
from minidl.kernels.cuda import FLOATING, Source, ctype, packed
from minidl.kernels.launch import computed, contiguous, empty, planned
from minidl.kernels.softmax import reference

_source = Source(__file__, "softmax.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_WARP = 32
_FEWEST_THREADS, _MOST_THREADS = 128, 1024  # of a block
_MEAN_BLOCKS = 264
_ANY = 2**31 - 1
"""How many classes there are, where no weights tell: the losses are NaN already."""


def _wide(dtype: np.dtype) -> type:
    return np.float64 if dtype == np.float64 else np.float32


def _lanes(classes: int) -> int:
    """How many threads share a row: a part of a warp, or from 128 on the whole block."""
    if classes <= _WARP * _WARP:
        return min(_power_of_2(classes / 8), _WARP)
    return min(_power_of_2(classes / 16), _MOST_THREADS)


def _power_of_2(number: float) -> int:
    """The least power of two that is no less than ``number``."""
    return 1 << (math.ceil(number) - 1).bit_length()


def _launch(name: str, rows: int, classes: int, arrays: tuple, *numbers: Any) -> None:
    """Run the kernel for the rows of ``arrays``, the first of which tells the dtype."""
    lanes = _lanes(classes)
    threads = max(lanes, _FEWEST_THREADS)
    shape = packed(sizes=np.array([rows, classes, lanes], np.int32))
    kernel = _source.kernel(name, arrays[0], ELEMENT=ctype(arrays[0].dtype))
    kernel((-(-rows * lanes // threads),), (threads,), (*arrays, shape, *numbers))


# --------------------------------------------------------------------------- softmax


def _along(name: str, axis: int, *arrays: Any) -> Any:
    """The kernel's result of arrays whose rows lie along ``axis``."""
    rows = [contiguous(xp(array).moveaxis(array, axis, -1)) for array in arrays]
    y = empty(rows[0].shape, rows[0].dtype, rows[0])
    if y.size:
        classes = y.shape[-1]
        _launch(name, y.size // classes, classes, (*rows, y))
    return xp(y).moveaxis(y, -1, axis)


@planned
def softmax(x: Any, axis: int) -> Any:
    """See `minidl.kernels.softmax.reference.softmax`."""
    if x.dtype not in FLOATING or not x.ndim:
        return reference.softmax(x, axis)
    return _along("softmax", axis, x)


@planned
def log_softmax(x: Any, axis: int) -> Any:
    """See `minidl.kernels.softmax.reference.log_softmax`."""
    if x.dtype not in FLOATING or not x.ndim:
        return reference.log_softmax(x, axis)
    return _along("log_softmax", axis, x)


@planned
def softmax_grad(g: Any, y: Any, axis: int) -> Any:
    """See `minidl.kernels.softmax.reference.softmax_grad`."""
    if y.dtype not in FLOATING or g.dtype != y.dtype or not y.ndim:
        return reference.softmax_grad(g, y, axis)
    return _along("softmax_grad", axis, g, y)


@planned
def log_softmax_grad(g: Any, y: Any, axis: int) -> Any:
    """See `minidl.kernels.softmax.reference.log_softmax_grad`."""
    if y.dtype not in FLOATING or g.dtype != y.dtype or not y.ndim:
        return reference.log_softmax_grad(g, y, axis)
    return _along("log_softmax_grad", axis, g, y)


# --------------------------------------------------------------------------- cross-entropy


def _prepared(x: Any, labels: Any, weight: Any) -> tuple[Any, Any, Any]:
    labels = contiguous(labels, np.int64)
    weight = None if weight is None else contiguous(weight, x.dtype)
    return contiguous(x), labels, weight


@planned
def cross_entropy(
    x: Any, labels: Any, weight: Any, smoothing: float, ignored: int
) -> tuple[Any, Any]:
    """See `minidl.kernels.softmax.reference.cross_entropy`."""
    if x.dtype not in FLOATING or not x.size:
        return reference.cross_entropy(x, labels, weight, smoothing, ignored)
    loss, logsumexp = (empty(len(x), x.dtype, x) for _ in range(2))
    arrays = (*_prepared(x, labels, weight), loss, logsumexp)
    _launch("cross_entropy", *x.shape, arrays, _wide(x.dtype)(smoothing), np.int64(ignored))
    return loss, logsumexp


@planned
def cross_entropy_grad(
    g: Any,
    x: Any,
    labels: Any,
    weight: Any,
    smoothing: float,
    ignored: int,
    logsumexp: Any,
    share: Any | None = None,
) -> Any:
    """See `minidl.kernels.softmax.reference.cross_entropy_grad`."""
    if x.dtype not in FLOATING or not x.size:
        how = labels, weight, smoothing, ignored, logsumexp, share
        return reference.cross_entropy_grad(g, x, *how)
    g = g if share is None else computed(xp(g).multiply, g, share)
    g = reference.of_rows(g, None, len(x))
    one_for_all = g.strides == (0,)
    g = contiguous(g[:1] if one_for_all else g, x.dtype)
    dx = empty(x.shape, x.dtype, x)
    arrays = (g, *_prepared(x, labels, weight), logsumexp, dx)
    numbers = _wide(x.dtype)(smoothing), np.int64(ignored), int(not one_for_all)
    _launch("cross_entropy_grad", *x.shape, arrays, *numbers)
    return dx


@planned
def weighted_mean(loss: Any, labels: Any, weight: Any, ignored: int) -> tuple[Any, Any]:
    """See `minidl.kernels.softmax.reference.weighted_mean`."""
    if loss.dtype not in FLOATING:
        return reference.weighted_mean(loss, labels, weight, ignored)
    rows, wide = len(loss), _wide(loss.dtype)
    blocks = min(max(-(-rows // (8 * _MOST_THREADS)), 1), _MEAN_BLOCKS)
    mean, share = (empty((), loss.dtype, loss) for _ in range(2))
    parts = empty((blocks, 2), wide, loss) if blocks > 1 else None
    arrays = (*_prepared(loss, labels, weight), parts, mean, share)
    numbers = rows, _ANY if weight is None else len(weight), np.int64(ignored)
    kernel = _source.kernel("weighted_mean", loss, ELEMENT=ctype(loss.dtype))
    kernel((blocks,), (_MOST_THREADS,), (*arrays, *numbers))
    if parts is not None:
        kernel = _source.kernel("mean_of_parts", loss, ELEMENT=ctype(loss.dtype))
        kernel((1,), (_MOST_THREADS,), (parts, mean, share, blocks))
    return mean, share
