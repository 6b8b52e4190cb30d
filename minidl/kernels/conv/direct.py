"""Convolution on a GPU for small layers: few channels, small filters, stride 1.

The input gradient is the same correlation, of the result's gradient with the filters turned by
half a circle. What is taken for small depends on shapes alone.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from minidl.kernels.conv.geometry import How
from minidl.kernels.conv.parts import sum_of_parts
from minidl.kernels.conv.reference import Pair
from minidl.kernels.cuda import FLOATING, Source, ctype, integers, packed
from minidl.kernels.cuda.tiles import MULTIPROCESSORS

_FEW, _MANY = 2, 4
"""Filters of a block: with few there are more blocks, with many each reads less for a sum."""

_source = Source(
    __file__,
    "direct.cu",
    [{"ELEMENT": ctype(dtype), "FILTERS": n} for dtype in FLOATING for n in (_FEW, _MANY)],
)
_THREADS, _MOST_THREADS = 128, 256  # as in direct.cu
_SHARED = 48 * 1024  # bytes of shared memory that every GPU gives a block
_MOST_TAPS, _MOST_FILTERS, _WIDEST, _MOST_PICTURES = 640, 64, 7, 65535
_MOST_WORK = 2**27
"""Multiply-adds: with more, tiles have enough to do (measured on an H100)."""


class Filters(NamedTuple):
    """The sizes of filters; where the first number lies in memory, and how far its neighbours."""

    shape: tuple[int, int, int, int]
    start: int
    strides: tuple[int, int, int, int]


class _Bands(NamedTuple):
    """How the rows of a result are dealt out: ``count`` blocks of ``rows`` each."""

    rows: int
    count: int


# --------------------------------------------------------------------------- what is small


def suits(x: Any, weight_shape: tuple[int, ...], size: Pair, how: How) -> bool:
    """Whether filters of this shape make a small layer, with results of ``size``."""
    filters, channels, height, width = weight_shape
    return (
        x.flags.c_contiguous
        and (how.stride, how.dilation, how.groups) == ((1, 1), (1, 1), 1)
        and 1 < width <= _WIDEST
        and height <= _WIDEST
        and channels * height * width <= _MOST_TAPS
        and filters <= _MOST_FILTERS
        and len(x) <= _MOST_PICTURES
        and len(x) * math.prod((*weight_shape, *size)) <= _MOST_WORK
        and _bands(weight_shape, size, _bytes_of_sum(x)) is not None
    )


def suits_input_grad(g: Any, weight_shape: tuple[int, ...], size: Pair, how: How) -> bool:
    """As `suits`, for the gradient in an input of this size."""
    filters, channels, *kernel = weight_shape
    return suits(g, (channels, filters, *kernel), size, how)


def suits_weight_grad(g: Any, x: Any, weight_shape: tuple[int, ...], how: How) -> bool:
    """As `suits`, for the gradient in the filters."""
    return (
        g.flags.c_contiguous
        and suits(x, weight_shape, g.shape[2:], how)
        and _memory_of_planes(weight_shape, g.shape[2:], _bytes_of_sum(x)) <= _SHARED
    )


def _bytes_of_sum(x: Any) -> int:
    return max(4, x.itemsize)


@functools.lru_cache(1024)
def _bands(weight_shape: tuple[int, ...], size: Pair, itemsize: int) -> _Bands | None:
    """Bands of about a pixel a thread; None if not even a row fits into shared memory."""
    height, width = size
    rows = max(1, min(height, _THREADS // width))
    while rows and _memory_of_band(weight_shape, rows, width, itemsize) > _SHARED:
        rows -= 1
    if not rows:
        return None
    count = -(-height // rows)
    return _Bands(-(-height // count), count)


def _memory_of_band(weight_shape: tuple[int, ...], rows: int, width: int, itemsize: int) -> int:
    """Bytes of the filters of a block, and of all channels of what they see."""
    _, channels, r, s = weight_shape
    seen = (rows + r - 1) * (width + s - 1)
    return channels * (r * s * _MANY + seen) * itemsize


def _memory_of_planes(weight_shape: tuple[int, ...], size: Pair, itemsize: int) -> int:
    """Bytes of a plane of x and `_FEW` of g, where the sums of all threads stand in the end."""
    _, _, r, s = weight_shape
    height, width = size
    columns = next(n for n in (3, 5, 7) if s <= n)
    planes = (height + r - 1) * ((width + columns - 1) | 1) + _FEW * height * (width | 1)
    return max(planes, columns * _FEW * _threads(r, height)) * itemsize


def _threads(filter_height: int, height: int) -> int:
    """Threads of a block of ``direct_weight_grad``: a row of the filters and one of y each."""
    return min(_MOST_THREADS, -(-filter_height * height // 32) * 32)


# --------------------------------------------------------------------------- launches


def conv2d(x: Any, w: Any, bias: Any | None, y: Any, how: How, relu: bool) -> None:
    """Fill y with the convolution; see `reference.conv2d`."""
    _, channels, height, width = w.shape
    filters = Filters(w.shape, 0, (channels * height * width, height * width, width, 1))
    _correlate(x, w, filters, bias, y, (how.padding[0], how.padding[2]), relu)


def conv2d_input_grad(g: Any, w: Any, dx: Any, how: How) -> None:
    """Fill dx with the gradient in x."""
    count, channels, height, width = w.shape
    area = height * width
    shape, strides = (channels, count, height, width), (area, channels * area, -width, -1)
    before = height - 1 - how.padding[0], width - 1 - how.padding[2]
    _correlate(g, w, Filters(shape, area - 1, strides), None, dx, before, False)


def conv2d_weight_grad(g: Any, x: Any, weight_shape: tuple[int, ...], how: How) -> Any:
    """The gradient in the filters."""
    filters, channels, height, _ = weight_shape
    grid = channels, -(-filters // _FEW)
    wanted = min(len(x), -(-16 * MULTIPROCESSORS // (grid[0] * grid[1])))
    each = -(-len(x) // wanted)
    parts = -(-len(x) // each)
    unused = Filters(weight_shape, 0, (0, 0, 0, 0))
    before = how.padding[0], how.padding[2]
    at = _structure(unused, x.shape[2:], g.shape[2:], before, 0, False)
    macros = {"ELEMENT": ctype(g.dtype), "FILTERS": _FEW}
    kernel = _source.kernel("direct_weight_grad", g, **macros)
    memory = _memory_of_planes(weight_shape, g.shape[2:], _bytes_of_sum(g))

    def compute(sums: Any) -> None:
        block = (_threads(height, g.shape[2]),)
        kernel((*grid, parts), block, (g, x, sums, len(x), each, at), shared_mem=memory)

    return sum_of_parts(_source, compute, g, weight_shape, parts, **macros)


def _correlate(
    x: Any, w: Any, filters: Filters, bias: Any | None, y: Any, before: Pair, relu: bool
) -> None:
    """y = w x; ``before`` are the rows and columns of zeros above and to the left of x."""
    itemsize, size = _bytes_of_sum(x), y.shape[2:]
    rows, bands = _bands(filters.shape, size, itemsize)
    busy = len(x) * bands * -(-filters.shape[0] // _MANY) >= 4 * MULTIPROCESSORS
    at_once = _MANY if busy else _FEW
    kernel = _source.kernel("direct", x, ELEMENT=ctype(x.dtype), FILTERS=at_once)
    at = _structure(filters, x.shape[2:], size, before, rows, relu)
    grid = bands, -(-filters.shape[0] // at_once), len(x)
    memory = _memory_of_band(filters.shape, rows, size[1], itemsize)
    kernel(grid, (_THREADS,), (x, w, bias, y, at), shared_mem=memory)


@functools.lru_cache(1024)
def _structure(
    filters: Filters, size: Pair, out_size: Pair, before: Pair, band: int, relu: bool
) -> np.ndarray:
    """The structure ``Direct`` of `direct.cu`."""
    count, channels, *kernel = filters.shape
    return packed(
        **integers(
            channels=channels,
            filters=count,
            kernel=kernel,
            size=size,
            out=out_size,
            before=before,
            band=band,
            start=filters.start,
            strides=filters.strides,
            relu=relu,
        )
    )
