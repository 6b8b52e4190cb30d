"""Convolution in Numba CUDA, to be read beside `conv.cu`: direct, and tiled in shared memory.

Direct is the definition: a thread computes a number of the result and reads all it needs from
global memory. The idea of the other three: a convolution is a product of two matrices that
are never written down (implicit GEMM). A block computes a square tile of it; its threads bring
two tiles of the factors into shared memory, one number each, and then use each number as often
as the tile is wide. That pays where there are enough rows to fill a tile.

A position is an output (n, i, j), a tap a place of the filter (c, r, s), and both are counted
by one number. Groups are an axis of their own: x (n, group, c, row, column), w (group, filter,
c, r, s), y and its gradient g (n, group, filter, i, j). ``at`` is (stride, padding at the top
and left, dilation).
"""

from __future__ import annotations

import math
from typing import Any

from numba import cuda

from minidl.backend import xp
from minidl.kernels.conv import reference
from minidl.kernels.conv.parts import part_size
from minidl.kernels.conv.reference import Grads, Needs, Padding, Pair, output_size
from minidl.kernels.cuda import grid_for
from minidl.kernels.cuda.numba_launch import covered, cuda_device, cuda_kernel, launch
from minidl.kernels.reduce import reference as reduce

_THREADS = 256
_TILE = 16
_LONG_ROW = _TILE + 1  # of a tile that is written by columns: so their numbers are in many banks
_MOST_BLOCKS = 65535  # in a grid's second and third dimension


@cuda_device
def _split(index, height, width):
    """The three parts of a number that counts (n, height, width) in row-major order."""
    return index // (height * width), index // width % height, index % width


@cuda_device
def _pixel(x, n, group, i, j, c, r, s, at):
    """What output (n, i, j) sees through tap (c, r, s): 0 outside of the picture."""
    stride, before, dilation = at
    row = i * stride[0] + r * dilation[0] - before[0]
    column = j * stride[1] + s * dilation[1] - before[1]
    if 0 <= row < x.shape[3] and 0 <= column < x.shape[4]:
        return x[n, group, c, row, column]
    return x.dtype.type(0)


@cuda_device
def _gradient(g, n, group, filter, row, column, r, s, at):
    """The gradient of the output that sees this pixel through (r, s): 0 if there is none."""
    stride, before, dilation = at
    down = row + before[0] - r * dilation[0]
    across = column + before[1] - s * dilation[1]
    i, j = down // stride[0], across // stride[1]
    inside = 0 <= i < g.shape[3] and 0 <= j < g.shape[4]
    if inside and i * stride[0] == down and j * stride[1] == across:
        return g[n, group, filter, i, j]
    return g.dtype.type(0)


@cuda_device
def _range(number, part, positions):
    """Where a part of the positions begins, and the next one, if there is one."""
    begin, end = number * part, (number + 1) * part
    return begin, end if end < positions else positions


@cuda_device
def _result(value, bias, group, filter, relu):
    """A sum with its bias, if there is one, and ReLU."""
    if bias.size > 0:
        value += bias[group, filter]
    return bias.dtype.type(0) if relu and value <= 0 else value  # NaN stays NaN


# --------------------------------------------------------------------------- direct


@cuda_kernel
def _conv2d_direct(x, w, bias, y, relu, at):
    for index in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        plane, i, j = _split(index, y.shape[3], y.shape[4])
        n, group, filter = _split(plane, y.shape[1], y.shape[2])
        total = x.dtype.type(0)
        for c in range(w.shape[2]):
            for r in range(w.shape[3]):
                for s in range(w.shape[4]):
                    total += w[group, filter, c, r, s] * _pixel(x, n, group, i, j, c, r, s, at)
        y[n, group, filter, i, j] = _result(total, bias, group, filter, relu)


@cuda_kernel
def _input_grad_direct(g, w, dx, at):
    for index in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        plane, row, column = _split(index, dx.shape[3], dx.shape[4])
        n, group, c = _split(plane, dx.shape[1], dx.shape[2])
        total = g.dtype.type(0)
        for filter in range(w.shape[1]):
            for r in range(w.shape[3]):
                for s in range(w.shape[4]):
                    seen = _gradient(g, n, group, filter, row, column, r, s, at)
                    total += w[group, filter, c, r, s] * seen
        dx[n, group, c, row, column] = total


@cuda_kernel
def _weight_grad_direct(g, x, parts, part, at):
    """``parts`` (count, group, filter, c, r, s): each for ``part`` of the positions."""
    positions = g.shape[0] * g.shape[3] * g.shape[4]
    for index in range(cuda.grid(1), parts.size, cuda.gridsize(1)):
        plane, r, s = _split(index, parts.shape[4], parts.shape[5])
        rest, filter, c = _split(plane, parts.shape[2], parts.shape[3])
        number, group = rest // parts.shape[1], rest % parts.shape[1]
        total = g.dtype.type(0)
        begin, end = _range(number, part, positions)
        for position in range(begin, end):
            n, i, j = _split(position, g.shape[3], g.shape[4])
            total += g[n, group, filter, i, j] * _pixel(x, n, group, i, j, c, r, s, at)
        parts[number, group, filter, c, r, s] = total


# --------------------------------------------------------------------------- tiled


@cuda_device
def _products(left, right, total):
    """``total`` and the thread's row of the left tile times its column of the right one."""
    for k in range(_TILE):
        total += left[cuda.threadIdx.y, k] * right[k, cuda.threadIdx.x]
    return total


@cuda_kernel
def _conv2d_tiled(x, w, bias, y, relu, at):
    """Filters by positions; the sum runs over taps."""
    left = cuda.shared.array((_TILE, _TILE), x.dtype)
    right = cuda.shared.array((_TILE, _TILE), x.dtype)
    across, down, group = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.z
    n, i, j = _split(cuda.blockIdx.x * _TILE + across, y.shape[3], y.shape[4])
    filter = cuda.blockIdx.y * _TILE + down
    zero = total = x.dtype.type(0)
    for first in range(0, w.shape[2] * w.shape[3] * w.shape[4], _TILE):
        c, r, s = _split(first + across, w.shape[3], w.shape[4])
        exists = filter < w.shape[1] and c < w.shape[2]
        left[down, across] = w[group, filter, c, r, s] if exists else zero
        c, r, s = _split(first + down, w.shape[3], w.shape[4])
        exists = n < x.shape[0] and c < w.shape[2]
        right[down, across] = _pixel(x, n, group, i, j, c, r, s, at) if exists else zero
        cuda.syncthreads()  # both tiles are there
        total = _products(left, right, total)
        cuda.syncthreads()  # and may be overwritten
    if n < x.shape[0] and filter < w.shape[1]:
        y[n, group, filter, i, j] = _result(total, bias, group, filter, relu)


@cuda_kernel
def _input_grad_tiled(g, w, dx, at):
    """Channels by pixels (n, row, column); the sum runs over (filter, r, s)."""
    left = cuda.shared.array((_TILE, _TILE), g.dtype)
    right = cuda.shared.array((_TILE, _TILE), g.dtype)
    across, down, group = cuda.threadIdx.x, cuda.threadIdx.y, cuda.blockIdx.z
    n, row, column = _split(cuda.blockIdx.x * _TILE + across, dx.shape[3], dx.shape[4])
    c = cuda.blockIdx.y * _TILE + down
    zero = total = g.dtype.type(0)
    for first in range(0, w.shape[1] * w.shape[3] * w.shape[4], _TILE):
        filter, r, s = _split(first + across, w.shape[3], w.shape[4])
        exists = c < w.shape[2] and filter < w.shape[1]
        left[down, across] = w[group, filter, c, r, s] if exists else zero
        filter, r, s = _split(first + down, w.shape[3], w.shape[4])
        exists = n < g.shape[0] and filter < w.shape[1]
        right[down, across] = (
            _gradient(g, n, group, filter, row, column, r, s, at) if exists else zero
        )
        cuda.syncthreads()
        total = _products(left, right, total)
        cuda.syncthreads()
    if n < g.shape[0] and c < w.shape[2]:
        dx[n, group, c, row, column] = total


@cuda_kernel
def _weight_grad_tiled(g, x, parts, part, at):
    """Filters by taps; the sum runs over a part of the positions. See `_weight_grad_direct`."""
    left = cuda.shared.array((_TILE, _TILE), g.dtype)
    right = cuda.shared.array((_TILE, _LONG_ROW), g.dtype)
    across, down = cuda.threadIdx.x, cuda.threadIdx.y
    groups, filters, channels, height, width = parts.shape[1:]
    number, group = cuda.blockIdx.z // groups, cuda.blockIdx.z % groups
    filter = cuda.blockIdx.y * _TILE + down
    c, r, s = _split(cuda.blockIdx.x * _TILE + down, height, width)
    zero = total = g.dtype.type(0)
    begin, end = _range(number, part, g.shape[0] * g.shape[3] * g.shape[4])
    for first in range(begin, end, _TILE):
        # neighbours read neighbouring positions, so the right tile is turned on its way
        n, i, j = _split(first + across, g.shape[3], g.shape[4])
        exists = first + across < end
        left[down, across] = g[n, group, filter, i, j] if exists and filter < filters else zero
        exists = exists and c < channels
        right[across, down] = _pixel(x, n, group, i, j, c, r, s, at) if exists else zero
        cuda.syncthreads()
        total = _products(left, right, total)
        cuda.syncthreads()
    c, r, s = _split(cuda.blockIdx.x * _TILE + across, height, width)
    if filter < filters and c < channels:
        parts[number, group, filter, c, r, s] = total


# --------------------------------------------------------------------------- launchers


def conv2d(
    x: Any,
    w: Any,
    bias: Any | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> Any:
    """See `minidl.kernels.conv.reference.conv2d`."""
    if not covered(x, w):
        return reference.conv2d(x, w, bias, stride, padding, dilation, groups, relu)
    bias = xp(x).empty(0, x.dtype) if bias is None else xp(x).ascontiguousarray(bias, x.dtype)
    size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = xp(x).empty((len(x), groups, len(w) // groups, *size), x.dtype)
    at = stride, padding[::2], dilation
    args = _grouped(x, groups), _split_filters(w, groups), bias.reshape(groups, -1), y, relu, at
    rows, columns = y.shape[2], len(x) * math.prod(size)
    if _fills_tiles(rows, groups):
        launch(_conv2d_tiled, (*_tiles(rows, columns), groups), (_TILE, _TILE), *args)
    else:
        launch(_conv2d_direct, grid_for(y.size, _THREADS), (_THREADS,), *args)
    return y.reshape(len(x), len(w), *size)


def conv2d_input_grad(
    g: Any,
    w: Any,
    input_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Any:
    """See `minidl.kernels.conv.reference.conv2d_input_grad`."""
    if not covered(g, w) or math.prod(input_shape) == 0:
        return reference.conv2d_input_grad(g, w, input_shape, stride, padding, dilation, groups)
    dx = xp(g).empty((len(g), groups, w.shape[1], *input_shape[2:]), g.dtype)
    at = stride, padding[::2], dilation
    args = _grouped(g, groups), _split_filters(w, groups), dx, at
    rows, columns = w.shape[1], len(g) * math.prod(input_shape[2:])
    if _fills_tiles(rows, groups):
        launch(_input_grad_tiled, (*_tiles(rows, columns), groups), (_TILE, _TILE), *args)
    else:
        launch(_input_grad_direct, grid_for(dx.size, _THREADS), (_THREADS,), *args)
    return dx.reshape(input_shape)


def conv2d_weight_grad(
    g: Any,
    x: Any,
    weight_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Any:
    """See `minidl.kernels.conv.reference.conv2d_weight_grad`."""
    if not covered(g, x) or math.prod(weight_shape) == 0:
        return reference.conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups)
    rows, columns = weight_shape[0] // groups, math.prod(weight_shape[1:])
    tiled, tiles = _fills_tiles(rows, groups), _tiles(rows, columns)
    blocks = groups * math.prod(tiles) if tiled else -(-math.prod(weight_shape) // _THREADS)
    positions = len(g) * math.prod(g.shape[2:])
    part = part_size(positions, blocks, _MOST_BLOCKS // groups)
    count = -(-positions // part)
    parts = xp(g).empty((count, groups, rows, *weight_shape[1:]), g.dtype)
    args = _grouped(g, groups), _grouped(x, groups), parts, part, (stride, padding[::2], dilation)
    if tiled:
        launch(_weight_grad_tiled, (*tiles, groups * count), (_TILE, _TILE), *args)
    else:
        launch(_weight_grad_direct, grid_for(parts.size, _THREADS), (_THREADS,), *args)
    return parts.sum(0).reshape(weight_shape)


def conv2d_grads(
    g: Any,
    x: Any,
    w: Any,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: Needs = (True, True, True),
) -> Grads:
    """See `minidl.kernels.conv.reference.conv2d_grads`."""
    how = stride, padding, dilation, groups
    return (
        conv2d_input_grad(g, w, x.shape, *how) if needs[0] else None,
        conv2d_weight_grad(g, x, w.shape, *how) if needs[1] else None,
        reduce.reduce_sum(g, (0, 2, 3), False, g.dtype) if needs[2] else None,
    )


def _fills_tiles(rows: int, groups: int) -> bool:
    """Whether tiles are at least half full, and the grid allows for them."""
    return 2 * rows >= _TILE and max(-(-rows // _TILE), groups) <= _MOST_BLOCKS


def _tiles(rows: int, columns: int) -> tuple[int, int]:
    """How many tiles cover a matrix: along a row, and down."""
    return -(-columns // _TILE), -(-rows // _TILE)


def _grouped(x: Any, groups: int) -> Any:
    return xp(x).ascontiguousarray(x).reshape(len(x), groups, -1, *x.shape[2:])


def _split_filters(w: Any, groups: int) -> Any:
    return xp(w).ascontiguousarray(w).reshape(groups, -1, *w.shape[1:])
