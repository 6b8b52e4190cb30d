"""Convolution with many channels: which shapes, and what is arranged for `blocks`.

Who serves a convolution follows from its shapes, the first that suits:

1. this file, if there are no groups and at least `CHANNELS` channels and filters, for 3x3
   filters `FEW`: by Winograd's way where the filter is 3x3 and stride and dilation are 1, unless
   its tiles would be mostly empty, and by patches elsewhere;
2. the roads of `minidl.kernels.conv.cpu`, which are right whatever the shapes.

Arrays are float32 or float64, and not empty.

An input gradient is a correlation of the result's gradient, one for each remainder of the
stride (`minidl.kernels.conv.phases`). Taps that meet nothing but padding are left out: on
pictures of one pixel a 3x3 filter is its centre.

Filters are packed for each call, or once for many (`minidl.kernels.packs`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.conv.blocks import (
    PLACES,
    Grid,
    Taps,
    correlate,
    correlate_weight,
    pack_filters,
    padded,
    spread_gradient,
    unpack_filters,
)
from minidl.kernels.conv.phases import phases
from minidl.kernels.conv.reference import Padding, Pair, output_size
from minidl.kernels.launch import contiguous, empty, launch
from minidl.kernels.packs import pack_of
from minidl.kernels.vectors import BYTES

Shape = tuple[int, int, int, int]

CHANNELS, FEW = 32, 16
"""From so many channels and filters on; 3x3 filters make up for half a block left empty."""

_TILES = 64
"""About how many tiles or positions a chunk has."""

_SIMD = 4
"""How many multiply-adds count as one of a plain loop, seeing that vectors do many at once."""

_SUMS = 1 << 20
"""So many numbers may the partial sums of a filter's gradient have, unless one part has more."""

_SHARED = 4
"""Into how many pieces a filter's gradient is divided at least."""


def suits(weight_shape: tuple[int, ...], groups: int) -> bool:
    """Whether there are channels and filters enough."""
    least = FEW if weight_shape[2:] == (3, 3) else CHANNELS
    return groups == 1 and min(weight_shape[:2]) >= least


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    relu: bool,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d`."""
    size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = empty((x.shape[0], w.shape[0], *size), x.dtype)
    axes = _forward_axes(x.shape, w.shape, size, stride, padding, dilation)
    bias = _zeros(w.shape[0], x.dtype) if bias is None else contiguous(bias)
    _correlate(contiguous(x), contiguous(w), False, bias, relu, y, axes)
    return y


def conv2d_input_grad(
    g: np.ndarray,
    w: np.ndarray,
    input_shape: Shape,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_input_grad`."""
    rows, columns = (
        _backward_axes(size, out, kernel, *how)
        for size, out, kernel, *how in zip(
            input_shape[2:], g.shape[2:], w.shape[2:], stride, padding[::2], dilation
        )
    )
    complete = [sum(axis.out for axis in axes) for axes in (rows, columns)] == [*input_shape[2:]]
    dx = empty(input_shape, g.dtype) if complete else _zeros(input_shape, g.dtype)
    g, w, bias = contiguous(g), contiguous(w), _zeros(w.shape[1], g.dtype)
    for row in rows:
        for column in columns:
            _correlate(g, w, True, bias, False, dx, (row, column))
    return dx


def conv2d_weight_grad(
    g: np.ndarray,
    x: np.ndarray,
    weight_shape: Shape,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_weight_grad`."""
    axes = _forward_axes(x.shape, weight_shape, g.shape[2:], stride, padding, dilation)
    grid, taps = _grid(len(x), axes, 2 * _TILES), _taps(axes)
    dw = empty(weight_shape, x.dtype)
    size = _packed_size(*weight_shape[:2], taps, grid, x.itemsize)
    parts = min(max(1, _SUMS // size), 4 * _SHARED, _chunks(len(x), grid))
    shares = min(-(-_SHARED // parts), -(-weight_shape[1] * x.itemsize // BYTES))
    sums, spread = empty(parts * size, x.dtype), empty(0, x.dtype)
    g, x = contiguous(g), contiguous(x)
    if shares > 1:
        spread = empty(_spread_size(g, grid), g.dtype)
        spread_gradient(spread.size, g, spread, grid)
    work = g.size * weight_shape[1] * taps.rows * taps.columns // _SIMD
    correlate_weight(work, g, spread, x, taps, sums, parts, shares, grid)
    unpack_filters(sums.size, sums, parts, taps, grid.winograd, dw)
    return dw


def _correlate(x, w, back: bool, bias, relu: bool, y, axes: tuple[_Axis, _Axis]) -> None:
    """Put into y the correlation of x and w along two axes."""
    halves = -(-len(x) // 2)  # pictures: two chunks at least
    grid, taps = _grid(halves, axes, _TILES), _taps(axes)
    shape = (w.shape[1], w.shape[0]) if back else w.shape[:2]
    size, order = _packed_size(*shape, taps, grid, x.itemsize), (back, taps, grid.winograd)
    pack = None if back else pack_of(w, order, size)
    filters = empty(size, x.dtype) if pack is None else pack.numbers
    if pack is None:
        pack_filters(size, w, *order, filters)
    else:
        launch(pack.refresh, pack_filters.run, size, w, *order, filters)
    positions = len(x) * grid.rows * grid.columns
    work = positions * w.shape[0] * w.shape[1] * taps.rows * taps.columns // _SIMD
    correlate(work, x, filters, taps, bias, relu, y, grid)


def _zeros(shape: int | tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    zeros = empty(shape, dtype)
    launch(np.copyto, zeros, 0)
    return zeros


# --------------------------------------------------------------------------- axes


class _Axis(NamedTuple):
    """One axis of a correlation: ``out`` results, result i at ``at + i every``.

    It meets tap ``tap + k step`` of the filter, k < taps, at input
    ``i stride + k dilation - before``.
    """

    out: int
    tap: int
    step: int
    taps: int
    stride: int
    before: int
    dilation: int
    at: int = 0
    every: int = 1


def _useful(axis: _Axis, size: int) -> _Axis:
    """The axis without those first and last taps that never meet one of ``size`` inputs."""
    reach = (axis.out - 1) * axis.stride
    firsts = [k * axis.dilation - axis.before for k in range(axis.taps)]
    meets = [k for k, first in enumerate(firsts) if -reach <= first < size] or [0]
    return axis._replace(
        tap=axis.tap + meets[0] * axis.step,
        taps=meets[-1] - meets[0] + 1,
        before=axis.before - meets[0] * axis.dilation,
    )


def _forward_axes(
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    out: tuple[int, ...],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
) -> tuple[_Axis, _Axis]:
    rows, columns = (
        _useful(
            _Axis(out[i], 0, 1, w_shape[2 + i], stride[i], padding[2 * i], dilation[i]),
            x_shape[2 + i],
        )
        for i in range(2)
    )
    return rows, columns


def _backward_axes(
    size: int, out: int, kernel: int, stride: int, before: int, dilation: int
) -> list[_Axis]:
    """From ``out`` places of the gradient to ``size`` inputs, for each remainder of the stride."""
    axes = []
    for phase in phases(size, out, kernel, stride, before, dilation):
        places, taps = (
            range(*s.indices(n)) for s, n in ((phase.places, size), (phase.taps, kernel))
        )
        axis = _Axis(
            len(places), kernel - 1 - taps[0], -taps.step, len(taps), 1, phase.padding[0],
            phase.dilation, places[0], places.step,
        )  # fmt: skip
        axes.append(_useful(axis, out))
    return axes


def _taps(axes: tuple[_Axis, _Axis]) -> Taps:
    rows, columns = axes
    return Taps(rows.tap, rows.step, rows.taps, columns.tap, columns.step, columns.taps)


# --------------------------------------------------------------------------- layout


def _grid(pictures: int, axes: tuple[_Axis, _Axis], tiles: int) -> Grid:
    """The layout with about so many tiles or positions, and at most ``pictures``, in a chunk."""
    rows, columns = axes
    winograd = _by_winograd(axes)
    tile = 2 if winograd else 1
    down, across = -(-rows.out // tile), -(-columns.out // tile)
    if down * across > tiles:
        chunks = -(-down // max(1, tiles // across))
        count, lines = 1, -(-down // chunks)
    else:
        count, lines = min(tiles // (down * across), pictures), down
    return Grid(
        winograd, rows.out, columns.out, count, lines, rows.before, columns.before, rows.stride,
        columns.stride, rows.dilation, columns.dilation, rows.at, columns.at, rows.every,
        columns.every,
    )  # fmt: skip


def _chunks(pictures: int, grid: Grid) -> int:
    down = -(-grid.rows // (2 if grid.winograd else 1))
    return -(-pictures // grid.pictures) * -(-down // grid.lines)


def _by_winograd(axes: tuple[_Axis, _Axis]) -> bool:
    """Whether the filter allows it, and its tiles take fewer products than patches."""
    if any((a.taps, abs(a.step), a.stride, a.dilation) != (3, 1, 1, 1) for a in axes):
        return False
    tiles = math.prod(-(-a.out // 2) for a in axes)
    return PLACES * tiles < 9 * math.prod(a.out for a in axes)


def _spread_size(g: np.ndarray, grid: Grid) -> int:
    """How many numbers the gradient's rows are."""
    tiles = grid.pictures * grid.lines * -(-grid.columns // (2 if grid.winograd else 1))
    rows = _up(g.shape[1], 2 * BYTES // g.itemsize) * (PLACES if grid.winograd else 1)
    return _chunks(len(g), grid) * padded(tiles) * rows


def _packed_size(filters: int, channels: int, taps: Taps, grid: Grid, itemsize: int) -> int:
    """How many numbers the packed filters are."""
    lanes = BYTES // itemsize
    matrices = PLACES if grid.winograd else taps.rows * taps.columns
    return _up(filters, 2 * lanes) * _up(channels, lanes) * matrices


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
