"""From shapes to launches: what `conv.cu` is told of a convolution.

The input gradient is a convolution too, of the result's gradient with the flipped filters: one
for each remainder of the stride, which writes every so many rows and columns.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.conv.memory import Axes
from minidl.kernels.conv.parts import part_size
from minidl.kernels.conv.phases import Phase, phases
from minidl.kernels.conv.reference import Padding, Pair
from minidl.kernels.cuda import integers, packed, tensor_cores
from minidl.kernels.cuda.divisor import divisor
from minidl.kernels.cuda.tensor_cores import TensorTile
from minidl.kernels.cuda.tiles import LARGE, MEDIUM, NARROW, Tile, fastest

TILES = {"float32": (NARROW, MEDIUM, LARGE), "float16": (NARROW, MEDIUM), "float64": (NARROW,)}
"""The tiles that there are for each dtype."""

TENSOR_TILES = tensor_cores.SMALL, tensor_cores.MEDIUM, tensor_cores.LARGE
TENSOR_CORES = "tensor cores"
"""In place of a dtype's name: channels-last float16, on tensor cores."""

_MOST_GROUPS = 65535


class How(NamedTuple):
    """What a convolution does, whatever its arrays: the arguments of `reference.conv2d`."""

    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int


class Launch(NamedTuple):
    """The structure ``Geometry`` of a kernel, the tile it is compiled for, and its grid.

    The sum over positions is cut into ``parts`` of ``part`` positions.
    """

    geometry: np.ndarray
    tile: Tile | TensorTile
    grid: tuple[int, int, int]
    parts: int = 1
    part: int = 0


@functools.lru_cache(1024)
def forward(x: Axes, w: Axes, y: Axes, how: How, relu: bool, numbers: str) -> Launch:
    """The launch of ``correlate`` that computes y."""
    top, _, left, _ = how.padding
    w = _grouped(w, how.groups)
    return _correlation(x, w, y, how.stride, (top, left), how.dilation, numbers, relu=relu)


@functools.lru_cache(1024)
def backward(g: Axes, w: Axes, dx: Axes, how: How, numbers: str) -> tuple[list[Launch], bool]:
    """The launches of ``correlate`` that compute dx; whether they write all of it."""
    down, across = (
        list(phases(size, out, kernel, stride, before, dilation))
        for size, out, kernel, stride, before, dilation in zip(
            dx.shape[2:], g.shape[2:], w.shape[2:], how.stride, how.padding[::2], how.dilation
        )
    )
    launches = [
        _phase(g, _grouped(w, how.groups), dx, (i, j), numbers) for i in down for j in across
    ]
    complete = len(launches) == min(how.stride[0], dx.shape[2]) * min(how.stride[1], dx.shape[3])
    return launches, complete


def _phase(g: Axes, w: Axes, dx: Axes, parts: tuple[Phase, Phase], numbers: str) -> Launch:
    """One remainder of the stride, in rows and columns: every so many places, taps backwards."""
    group, filter, *steps = w.strides
    groups, filters, channels, *kernel = w.shape
    taps = [range(n)[::-1][part.taps] for n, part in zip(kernel, parts)]
    places = [range(n)[part.places] for n, part in zip(dx.shape[2:], parts)]
    some_taps = Axes(
        (groups, channels, filters, *map(len, taps)),
        (group, steps[0], filter, *(t.step * n for t, n in zip(taps, steps[1:]))),
    )
    some_places = Axes(
        (*dx.shape[:2], *map(len, places)),
        (*dx.strides[:2], *(p.step * n for p, n in zip(places, dx.strides[2:]))),
    )
    return _correlation(
        g,
        some_taps,
        some_places,
        (1, 1),
        tuple(part.padding[0] for part in parts),
        tuple(part.dilation for part in parts),
        numbers,
        w_start=sum(t[0] * n for t, n in zip(taps, steps[1:])),
        y_start=sum(p[0] * n for p, n in zip(places, dx.strides[2:])),
    )


@functools.lru_cache(1024)
def weight_grad(g: Axes, x: Axes, weight_shape: tuple[int, ...], how: How, numbers: str) -> Launch:
    """The launch of ``weight_grad``."""
    top, _, left, _ = how.padding
    w = _grouped(Axes(weight_shape, (0, 0, 0, 0)), how.groups)
    geometry = _geometry(x, w, g, how.stride, (top, left), how.dilation, numbers)
    rows, columns = w.shape[1], math.prod(w.shape[2:])
    positions = g.shape[0] * math.prod(g.shape[2:])
    tile = fastest(_tiles(numbers), rows, columns, _MOST_GROUPS)  # there are parts enough
    tiles = tile.count(rows, columns)
    part = part_size(positions, tiles * how.groups, _MOST_GROUPS // how.groups)
    parts = -(-positions // part)
    return Launch(geometry, tile, (tiles, 1, parts * how.groups), parts, part)


def _grouped(w: Axes, groups: int) -> Axes:
    """The filters with their groups as an axis of its own."""
    filters = w.shape[0] // groups
    return Axes((groups, filters, *w.shape[1:]), (filters * w.strides[0], *w.strides))


def _correlation(
    x: Axes, w: Axes, y: Axes, stride: Pair, before: Pair, dilation: Pair, numbers: str, **more
) -> Launch:
    geometry = _geometry(x, w, y, stride, before, dilation, numbers, **more)
    groups, filters = w.shape[:2]
    positions = y.shape[0] * math.prod(y.shape[2:])
    tile = fastest(_tiles(numbers), filters, positions, groups)
    return Launch(geometry, tile, (tile.count(filters, positions), 1, groups))


def _geometry(
    x: Axes,
    w: Axes,
    y: Axes,
    stride: Pair,
    before: Pair,
    dilation: Pair,
    numbers: str,
    y_start: int = 0,
    w_start: int = 0,
    relu: bool = False,
) -> np.ndarray:
    """The structure ``Geometry`` of `conv.cu`, field by field."""
    _, filters, channels, kernel_height, kernel_width = w.shape
    pictures, _, out_height, out_width = y.shape
    axes_of_taps = channels, kernel_height, kernel_width
    if numbers == TENSOR_CORES:
        axes_of_taps = kernel_height, kernel_width, channels
    counts = integers(
        filters=filters,
        taps=channels * kernel_height * kernel_width,
        positions=pictures * out_height * out_width,
        height=x.shape[2],
        width=x.shape[3],
        stride=stride,
        before=before,
        dilation=dilation,
    )
    divisors = {
        "per_picture": divisor(out_height * out_width),
        "per_row": divisor(out_width),
        "per_outer": divisor(axes_of_taps[1] * axes_of_taps[2]),
        "per_middle": divisor(axes_of_taps[2]),
    }
    distances = integers(
        x_picture=x.strides[0],
        x_group=channels * x.strides[1],
        x=x.strides[1:],
        y_picture=y.strides[0],
        y_group=filters * y.strides[1],
        y=y.strides[1:],
        w=w.strides,
        y_start=y_start,
        w_start=w_start,
        relu=relu,
        neighbours=_neighbours(filters, y, y_start),
    )
    return packed(**counts, **divisors, **distances)


def _tiles(numbers: str) -> tuple[Tile, ...] | tuple[TensorTile, ...]:
    return TENSOR_TILES if numbers == TENSOR_CORES else TILES[numbers]


def _neighbours(filters: int, y: Axes, y_start: int) -> int:
    """Which two results can be stored together: 1, two filters', 2, two columns', or 0, none."""
    for number, axis, count in ((1, 1, filters), (2, 3, y.shape[3])):
        others = (*y.strides[:axis], *y.strides[axis + 1 :], y_start, count)
        if y.strides[axis] == 1 and not any(step % 2 for step in others):
            return number
    return 0
