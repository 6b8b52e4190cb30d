"""Two-dimensional convolution in Numba: shapes and phases around the flat correlation.

Every stride, padding, dilation and number of groups takes the same road, see
`minidl.kernels.conv.flat`; float16 takes the reference's.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.kernels.activation import cpu as activation
from minidl.kernels.conv import reference, wide
from minidl.kernels.conv.flat import BLOCK, TAPS, Grid, correlate, correlate_weight
from minidl.kernels.conv.phases import phases
from minidl.kernels.conv.reference import output_size

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]

CHUNK = 1024
"""About how many positions of each channel are worked on at a time."""

SIMD = 4
"""How many multiply-adds count as one of a plain loop, seeing that vectors do many at once."""


def conv2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d`."""
    if not _covered(x, w):
        return reference.conv2d(x, w, bias, stride, padding, dilation, groups, relu)
    if wide.suits(x, w.shape, groups):
        return wide.conv2d(x, w, bias, stride, padding, dilation, relu)
    size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    y = np.empty((x.shape[0], w.shape[0], *size), x.dtype)
    x, padding = _cropped(x, padding)
    bias = np.zeros(w.shape[0], x.dtype) if bias is None else np.ascontiguousarray(bias)
    grid = _grid(x.shape, size, stride, padding, dilation)
    work = y.size * (w.size // w.shape[0]) // SIMD
    correlate(work, x, np.ascontiguousarray(w), bias, y, groups, grid)
    return activation.relu(y) if relu else y


def conv2d_input_grad(
    g: np.ndarray,
    w: np.ndarray,
    input_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_input_grad`.

    It is the correlation of g with the flipped filter, one for each remainder of the stride:
    input rows a stride apart meet the same taps.
    """
    if not _covered(g, w):
        return reference.conv2d_input_grad(g, w, input_shape, stride, padding, dilation, groups)
    if wide.suits(g, w.shape, groups):
        return wide.conv2d_input_grad(g, w, input_shape, stride, padding, dilation)
    flipped = _flipped(w, groups)
    top, _, left, _ = padding
    dx = None
    for rows in phases(input_shape[2], g.shape[2], w.shape[2], stride[0], top, dilation[0]):
        for columns in phases(input_shape[3], g.shape[3], w.shape[3], stride[1], left, dilation[1]):
            part = conv2d(
                g,
                flipped[:, :, rows.taps, columns.taps],
                None,
                (1, 1),
                rows.padding + columns.padding,
                (rows.dilation, columns.dilation),
                groups,
            )
            if part.shape == input_shape:
                return part
            dx = np.zeros(input_shape, g.dtype) if dx is None else dx
            dx[:, :, rows.places, columns.places] = part
    return np.zeros(input_shape, g.dtype) if dx is None else dx


def conv2d_weight_grad(
    g: np.ndarray,
    x: np.ndarray,
    weight_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """See `minidl.kernels.conv.reference.conv2d_weight_grad`."""
    if not _covered(g, x):
        return reference.conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups)
    if wide.suits(g, weight_shape, groups):
        return wide.conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation)
    x, padding = _cropped(x, padding)
    grid = _grid(x.shape, g.shape[2:], stride, padding, dilation)
    per_group = weight_shape[0] // groups
    taps = math.prod(weight_shape[1:])
    filters, padded_taps = _up(per_group, BLOCK) * groups, _up(taps, TAPS)
    sums = np.empty((_parts(len(x), grid, filters * taps), filters, padded_taps), x.dtype)
    height, width = weight_shape[2:]
    work = g.size * taps // SIMD
    correlate_weight(work, np.ascontiguousarray(g), x, height, width, sums, groups, grid)
    dw = sums.sum(0).reshape(groups, -1, padded_taps)[:, :per_group, :taps]
    return dw.reshape(weight_shape)


def _covered(*arrays: np.ndarray) -> bool:
    return all(a.dtype in (np.float32, np.float64) and a.size for a in arrays)


def _up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _cropped(x: np.ndarray, padding: Padding) -> tuple[np.ndarray, Padding]:
    """x without the rows and columns that a negative padding cuts off, in row-major order."""
    if min(padding) < 0:
        x = reference.pad(x, tuple(min(p, 0) for p in padding))
        padding = tuple(max(p, 0) for p in padding)
    return np.ascontiguousarray(x), padding


def _grid(
    shape: tuple[int, ...], size: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair
) -> Grid:
    """The layout for pictures of ``shape`` whose results have ``size``."""
    top, bottom, left, right = padding
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


def _parts(pictures: int, grid: Grid, weights: int) -> int:
    """Into how many partial sums the filter's gradient is split: few if filters are large."""
    chunks = -(-pictures // grid.pictures)
    return min(chunks, max(2, min(16, 4_000_000 // weights)))


def _flipped(w: np.ndarray, groups: int) -> np.ndarray:
    """The filters that lead back: input and output channels exchanged, taps in reverse order."""
    filters, channels, height, width = w.shape
    split = w.reshape(groups, filters // groups, channels, height, width)
    back = split.swapaxes(1, 2)[..., ::-1, ::-1]
    return back.reshape(groups * channels, filters // groups, height, width)
