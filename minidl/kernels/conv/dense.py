"""Convolution in Numba where most numbers count: what surrounds the flat correlation.

Every stride, padding, dilation and number of groups takes the same road, see
`minidl.kernels.conv.flat`. Arrays are float32 or float64, and not empty. ``skip`` is an array
of one number: unless it is 0, what is launched does nothing.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.conv import flat
from minidl.kernels.conv.flat import BLOCK, TAPS, Grid
from minidl.kernels.conv.phases import phases
from minidl.kernels.conv.reference import How, Padding, Pair, output_size
from minidl.kernels.launch import contiguous, empty, launch

CHUNK = 1024
"""About how many positions of each channel are worked on at a time."""

SIMD = 4
"""How many multiply-adds count as one of a plain loop, seeing that vectors do many at once."""

NEVER = np.zeros(1, np.uint8)
_NO_CODE = np.empty(0, np.uint8)


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    how: How,
    relu: bool = False,
    skip: np.ndarray = NEVER,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d`."""
    x, task = _laid_out(x, w.shape, how)
    y = empty((x.shape[0], w.shape[0], *task.size), x.dtype)
    after = flat.RELU if relu else flat.PLAIN
    _correlate(task, x, w, bias, y.reshape(-1), _NO_CODE, after, skip)
    return y


def conv2d_relu_max_pool2d(
    x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, how: How
) -> tuple[np.ndarray, np.ndarray]:
    """See `minidl.kernels.conv.reference.conv2d_relu_max_pool2d`."""
    x, task = _laid_out(x, w.shape, how)
    shape = x.shape[0], w.shape[0], task.size[0] // 2, task.size[1] // 2
    y, code = empty(shape, x.dtype), empty(shape, np.uint8)
    _correlate(task, x, w, bias, y.reshape(-1), code.reshape(-1), flat.POOL, NEVER)
    return y, code


def _correlate(
    task: _Task,
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    y: np.ndarray,
    code: np.ndarray,
    after: int,
    skip: np.ndarray,
) -> None:
    """Launch `minidl.kernels.conv.flat.correlate`."""
    w = contiguous(w)
    bias = no_bias(len(w), x.dtype) if bias is None else contiguous(bias)
    packed = empty((task.packed,), w.dtype)
    launch(flat.pack, w, task.groups, packed, skip)
    how = task.size, task.groups, task.grid, after, skip
    flat.correlate(task.work, x, w, packed, task.offsets, bias, y, code, *how)


def conv2d_input_grad(
    g: np.ndarray,
    w: np.ndarray,
    input_shape: tuple[int, int, int, int],
    how: How,
    skip: np.ndarray = NEVER,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_input_grad`.

    It is the correlation of g with the flipped filter, one for each remainder of the stride:
    input rows a stride apart meet the same taps.
    """
    stride, (top, _, left, _), dilation, groups = how
    flipped = _flipped(w, groups)
    dx = None
    for rows in phases(input_shape[2], g.shape[2], w.shape[2], stride[0], top, dilation[0]):
        for columns in phases(input_shape[3], g.shape[3], w.shape[3], stride[1], left, dilation[1]):
            taps = flipped[:, :, rows.taps, columns.taps]
            padding = rows.padding + columns.padding
            back = (1, 1), padding, (rows.dilation, columns.dilation), groups
            part = conv2d(g, taps, None, back, skip=skip)
            if part.shape == input_shape:
                return part
            dx = _zeros(input_shape, g.dtype) if dx is None else dx
            launch(np.copyto, dx[:, :, rows.places, columns.places], part)
    return _zeros(input_shape, g.dtype) if dx is None else dx


def conv2d_weight_grad(
    g: np.ndarray,
    x: np.ndarray,
    weight_shape: tuple[int, int, int, int],
    how: How,
    skip: np.ndarray = NEVER,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_weight_grad`."""
    x, task = _laid_out(x, weight_shape, how)
    height, width = weight_shape[2:]
    sums, dw = empty(task.sums, x.dtype), empty(weight_shape, x.dtype)
    args = contiguous(g), x, height, width, task.offsets, sums, task.groups, task.grid, skip
    flat.correlate_weight(task.work, *args)
    launch(flat.add_parts, sums, dw.reshape(len(dw), -1), task.groups, skip)
    return dw


def bias_grad(g: np.ndarray, skip: np.ndarray = NEVER) -> np.ndarray:
    """The gradient of `conv2d` in the bias."""
    db = empty(g.shape[1:2], g.dtype)
    planes = contiguous(g).reshape(*g.shape[:2], -1)
    flat.add_up(g.size // SIMD, planes, db, skip)
    return db


def number_of_parts(chunks: int, weights: int) -> int:
    """Into how many partial sums the filter's gradient is split: few if filters are large."""
    return min(chunks, max(2, min(16, 4_000_000 // weights)))


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


@functools.lru_cache(maxsize=1024)
def no_bias(filters: int, dtype: np.dtype) -> np.ndarray:
    """Zeros, to read: the same array each time."""
    return np.zeros(filters, dtype)


def _zeros(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    array = empty(shape, dtype)
    launch(np.copyto, array, dtype.type(0))
    return array


def cropped(x: np.ndarray, padding: Padding) -> tuple[np.ndarray, Padding]:
    """x without the rows and columns that a negative padding cuts off, in row-major order."""
    if min(padding) < 0:
        top, bottom, left, right = (max(-p, 0) for p in padding)
        x = x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]
        padding = tuple(max(p, 0) for p in padding)
    return contiguous(x), padding


class _Task(NamedTuple):
    """How the flat correlation of pictures and filters is computed, which their shapes decide."""

    size: Pair
    """Height and width of the result."""
    groups: int
    grid: Grid
    offsets: np.ndarray
    work: int
    packed: int
    """Numbers of the packed filters."""
    sums: tuple[int, int, int]
    """The shape of the partial sums of the filters' gradient."""


def _laid_out(x: np.ndarray, weight_shape: tuple[int, ...], how: How) -> tuple[np.ndarray, _Task]:
    """x without what a negative padding cuts off, and what is to be done."""
    stride, padding, dilation, groups = how
    x, padding = cropped(x, padding)
    return x, _task(x.shape, weight_shape, (stride, padding, dilation, groups))


@functools.lru_cache(maxsize=1024)
def _task(shape: tuple[int, ...], weight_shape: tuple[int, ...], how: How) -> _Task:
    """For pictures of ``shape``; nothing is cut off."""
    groups = how[3]
    size = output_size(shape[2:], weight_shape[2:], *how[:3])
    grid = grid_of(shape, size, how)
    taps, per_group = math.prod(weight_shape[1:]), weight_shape[0] // groups
    filters = _up(per_group, BLOCK) * groups
    parts = number_of_parts(-(-shape[0] // grid.pictures), filters * taps)
    return _Task(
        size,
        groups,
        grid,
        flat.tap_offsets(*weight_shape[1:], grid),
        work=shape[0] * math.prod(size) * weight_shape[0] * taps // SIMD,
        packed=flat.planes_of(per_group) * groups * taps,
        sums=(parts, filters, _up(taps, TAPS)),
    )


@functools.lru_cache(maxsize=1024)
def grid_of(shape: tuple[int, ...], size: tuple[int, ...], how: How) -> Grid:
    """The layout for pictures of ``shape`` whose results have ``size``."""
    stride, (top, bottom, left, right), dilation, _ = how
    rows = _line(shape[2], size[0], stride[0], top, bottom)
    pitch = _line(shape[3], size[1], stride[1], left, right)
    # at least four chunks to share, as long as there are pictures
    pictures = max(1, min(CHUNK // (rows * pitch), -(-shape[0] // 4)))
    return Grid(pictures, rows, pitch, top, left, *stride, *dilation)


def _line(size: int, out: int, stride: int, before: int, after: int) -> int:
    """The distance between lines; with stride 1 one's padding behind is the next's in front."""
    if stride == 1:
        return max(size + max(before, after), out)
    return max(-(-(size + before + after) // stride), out)


def _flipped(w: np.ndarray, groups: int) -> np.ndarray:
    """The filters that lead back: input and output channels exchanged, taps in reverse order."""
    filters, channels, height, width = w.shape
    split = contiguous(w).reshape(groups, filters // groups, channels, height, width)
    back = contiguous(split.swapaxes(1, 2)[..., ::-1, ::-1])
    return back.reshape(groups * channels, filters // groups, height, width)
