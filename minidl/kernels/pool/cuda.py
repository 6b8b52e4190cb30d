"""Pooling on a GPU."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minidl.backend import Device, device_of, load_cupy, to_device
from minidl.kernels.cuda import FLOATING, Source, ctype, packed
from minidl.kernels.cuda.divisor import divisor
from minidl.kernels.launch import contiguous, empty, planned
from minidl.kernels.pool import reference
from minidl.kernels.pool.reference import Pair, Windows

_source = Source(__file__, "pool.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256
_STRIP = 4
_MOST = 2**29
"""Elements of a launch: the kernels count them, and threads, by an int."""


def _flat(array: Any) -> Any:
    """(n, c, ...) as (planes, elements), in one piece."""
    planes = array.shape[0] * array.shape[1]
    return contiguous(array).reshape(planes, math.prod(array.shape[2:]))


def _launch(name: str, arrays: list, threads: int, *how: Any) -> None:
    """Run ``threads`` threads a plane for (planes, elements) arrays."""
    kernel = _source.kernel(name, arrays[0], ELEMENT=ctype(arrays[0].dtype))
    planes = len(arrays[0])
    most = max(_MOST // max(threads, *(array.shape[1] for array in arrays)), 1)
    for first in range(0, planes, most):
        part = arrays if planes <= most else [array[first : first + most] for array in arrays]
        count = len(part[0]) * threads
        kernel((-(-count // _THREADS),), (_THREADS,), (*part, *how, count))


def _counting(rows: int, columns: int) -> np.ndarray:
    """The structure Counting of CUDA C: planes of that many rows and columns."""
    return packed(per_plane=divisor(rows * columns), per_row=divisor(columns))


def _strips(height: int) -> int:
    return -(-height // _STRIP)


# --------------------------------------------------------------------------- maximum


@functools.lru_cache(maxsize=256)
def _windows(size: Pair, out: Pair, windows: Windows) -> np.ndarray:
    """The structure Windows of CUDA C."""
    kernel, stride, padding, dilation = windows
    pairs = {"size": size, "out": out, "kernel": kernel, "padding": padding, "dilation": dilation}
    return packed(
        **{name: np.array(pair, np.int32) for name, pair in pairs.items()},
        stride=np.stack([divisor(step) for step in stride]),
        outputs=_counting(*out),
        strips=_counting(_strips(size[0]), size[1]),
    )


@planned
def max_pool2d(
    x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> tuple[Any, Any]:
    """See `minidl.kernels.pool.reference.max_pool2d`."""
    if x.dtype not in FLOATING:
        return reference.max_pool2d(x, kernel, stride, padding, dilation, size)
    shape = (*x.shape[:2], *size)
    y, indices = empty(shape, x.dtype, x), empty(shape, np.int64, x)
    at = _windows(x.shape[2:], size, (kernel, stride, padding, dilation))
    _launch("max_pool2d", [_flat(x), _flat(y), _flat(indices)], math.prod(size), at)
    return y, indices


@planned
def max_pool2d_scatter(g: Any, indices: Any, size: Pair, windows: Windows) -> Any:
    """See `minidl.kernels.pool.reference.max_pool2d_scatter`."""
    if g.dtype not in FLOATING:
        return reference.max_pool2d_scatter(g, indices, size, windows)
    dx = empty((*g.shape[:2], *size), g.dtype, g)
    at = _windows(tuple(size), g.shape[2:], windows)
    threads = _strips(size[0]) * size[1]
    _launch("max_pool2d_scatter", [_flat(g), _flat(indices), _flat(dx)], threads, at)
    return dx


@planned
def max_pool2d_gather(x: Any, indices: Any) -> Any:
    """See `minidl.kernels.pool.reference.max_pool2d_gather`."""
    if x.dtype not in FLOATING:
        return reference.max_pool2d_gather(x, indices)
    y = empty(indices.shape, x.dtype, x)
    x, count = _flat(x), math.prod(indices.shape[2:])
    by = packed(per_plane=divisor(count))
    _launch("max_pool2d_gather", [x, _flat(indices), _flat(y)], count, x.shape[1], by)
    return y


# --------------------------------------------------------------------------- mean


@functools.lru_cache(maxsize=256)
def _on_device(place: Device, data: bytes, dtype: np.dtype) -> Any:
    """A small array of the host's, copied once."""
    array = to_device(np.frombuffer(data, dtype), place)
    if place.type == "cuda":
        load_cupy().cuda.get_current_stream().synchronize()  # other streams will read it, too
    return array


def _mean(
    name: str, x: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray, size: Pair
) -> Any:
    """Planes of ``size``, each element the sum over a window of x; ``scale`` is the kernel's."""
    y = empty((*x.shape[:2], *size), x.dtype, x)
    apart = x.shape[3] // size[1]
    lanes = min(1 << (apart - 1).bit_length(), 32) if apart > _STRIP else 1
    strips = _strips(size[0])
    sizes = np.array([x.shape[3], *size, math.prod(x.shape[2:]), math.prod(size)], np.int32)
    at = packed(sizes=sizes, lanes=divisor(lanes), strips=_counting(strips, size[1]))
    wide = np.promote_types(x.dtype, np.float32)
    tables = ((rows, np.dtype(np.int32)), (columns, np.dtype(np.int32)), (scale, wide))
    place = device_of(x)
    tables = [_on_device(place, array.astype(dtype).tobytes(), dtype) for array, dtype in tables]
    _launch(name, [_flat(x), _flat(y)], strips * size[1] * lanes, *tables, at)
    return y


@planned
def avg_pool2d(x: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray) -> Any:
    """See `minidl.kernels.pool.reference.avg_pool2d`."""
    if x.dtype not in FLOATING:
        return reference.avg_pool2d(x, rows, columns, scale)
    return _mean("avg_pool2d", x, rows, columns, scale, (len(rows), len(columns)))


@planned
def avg_pool2d_grad(
    g: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray, size: Pair
) -> Any:
    """See `minidl.kernels.pool.reference.avg_pool2d_grad`."""
    if g.dtype not in FLOATING:
        return reference.avg_pool2d_grad(g, rows, columns, scale, size)
    covering = (_covering(windows, length) for windows, length in zip((rows, columns), size))
    return _mean("avg_pool2d_grad", g, *covering, scale, size)


def _covering(windows: np.ndarray, size: int) -> np.ndarray:
    """Which windows cover each of ``size`` places: the first, and the one behind the last."""
    places = np.arange(size)
    starts, stops = windows.T
    first, behind = (
        np.searchsorted(stops, places, "right"),
        np.searchsorted(starts, places, "right"),
    )
    return np.stack((first, behind), 1)
