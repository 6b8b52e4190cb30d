"""Normalisation in Numba: sums by channel or group, then one pass over the rows in memory.

Sums run in the arrays' own precision over short pieces, which the compiler vectorises,
and in double precision over the pieces. The last pass does not go by channel: rows one
after the other are what the processor can fetch ahead. Where rows are short (1x1 to 3x3
pictures), loops run along a sample's channels instead, and sums are those of columns.
"""

import math

import numpy as np
from numba import prange

from minidl.kernels.jit import FLOATS, jit, threaded
from minidl.kernels.launch import contiguous, empty, launch, planned, unplanned
from minidl.kernels.norm import reference

_PIECE = 256  # float32 sums of 256 values lose next to nothing
_PARTS = 32  # shares of a batch whose weight gradients are added up apart
_SHORT = 16  # rows below this length are not worth a vectorised loop each
_COLUMNS = 1024  # columns of an array with short rows that are summed at a time


# --------------------------------------------------------------------------- sums


@jit
def _sum(x, c):
    """The sum over channel ``c`` of x (N, C, S)."""
    total = 0.0
    for n in range(x.shape[0]):
        row = x[n, c]
        for start in range(0, row.size, _PIECE):
            piece = row[start : start + _PIECE]
            part = row.dtype.type(0)
            for i in range(piece.size):
                part += piece[i]
            total += part
    return total


@jit
def _squares(x, c, mean):
    """The sum of (x - mean)^2 over channel ``c``."""
    total = 0.0
    for n in range(x.shape[0]):
        row = x[n, c]
        for start in range(0, row.size, _PIECE):
            piece = row[start : start + _PIECE]
            part = row.dtype.type(0)
            for i in range(piece.size):
                part += (piece[i] - mean) * (piece[i] - mean)
            total += part
    return total


@jit
def _products(g, x, c, mean):
    """The sums of g and of g (x - mean) over channel ``c``."""
    total, total_product = 0.0, 0.0
    for n in range(x.shape[0]):
        g_row, row = g[n, c], x[n, c]
        for start in range(0, row.size, _PIECE):
            g_piece, piece = g_row[start : start + _PIECE], row[start : start + _PIECE]
            part = row.dtype.type(0)
            part_product = row.dtype.type(0)
            for i in range(piece.size):
                part += g_piece[i]
                part_product += g_piece[i] * (piece[i] - mean)
            total += part
            total_product += part_product
    return total, total_product


# --------------------------------------------------------------------------- kernels


@threaded
def _normalize(x, weight, bias, eps, y, mean, var, rstd):
    channels = x.shape[1]
    count = max(x.shape[0] * x.shape[2], 1)
    for c in prange(channels):
        mean[c] = _sum(x, c) / count
        variance = _squares(x, c, mean[c]) / count
        var[c] = variance
        rstd[c] = 1 / math.sqrt(variance + eps)
    for r in prange(x.shape[0] * channels):
        n, c = r // channels, r % channels
        row, out = x[n, c], y[n, c]
        centre, scale, shift = mean[c], rstd[c] * weight[c], bias[c]
        for i in range(row.size):
            out[i] = (row[i] - centre) * scale + shift


@threaded
def _normalize_grad(g, x, mean, rstd, weight, g_x, g_weight, g_bias):
    channels = x.shape[1]
    count = x.dtype.type(max(x.shape[0] * x.shape[2], 1))
    for c in prange(channels):
        total, product = _products(g, x, c, mean[c])
        g_bias[c] = total
        g_weight[c] = product * rstd[c]
    for r in prange(x.shape[0] * channels):
        n, c = r // channels, r % channels
        g_row, row, out = g[n, c], x[n, c], g_x[n, c]
        centre, scale = mean[c], rstd[c] * weight[c]
        g_mean, slope = g_bias[c] / count, g_weight[c] * rstd[c] / count
        for i in range(row.size):
            out[i] = scale * (g_row[i] - g_mean - (row[i] - centre) * slope)


@threaded
def _scale_shift(x, scale, shift, y):
    channels = x.shape[1]
    for row in prange(x.shape[0] * channels):
        n, c = row // channels, row % channels
        source, out, a, b = x[n, c], y[n, c], scale[c], shift[c]
        for i in range(source.size):
            out[i] = source[i] * a + b


@threaded
def _channel_dot(g, x, out):
    for c in prange(x.shape[1]):
        out[c] = _products(g, x, c, x.dtype.type(0))[1]


# --------------------------------------------------------------------------- short rows


@jit
def _channels_of(block, x, channels):
    """The first channel of a block of about _COLUMNS columns of x (N, C * S), and the end."""
    each = max(1, _COLUMNS * channels // max(x.shape[1], 1))
    return block * each, min((block + 1) * each, channels)


@jit
def _blocks(x, channels):
    each = max(1, _COLUMNS * channels // max(x.shape[1], 1))
    return (channels + each - 1) // each


@jit
def _column_sums(g, x, centre, kind, first, last, inner, out):
    """out[c] = the sum of g (kind 0), of g (x - centre) (1) or of (x - centre)^2 (2)."""
    width = (last - first) * inner
    part = np.empty(width, x.dtype)
    for c in range(first, last):
        out[c] = 0.0
    for start in range(0, x.shape[0], _PIECE):
        for k in range(width):
            part[k] = 0
        for n in range(start, min(start + _PIECE, x.shape[0])):
            g_row, row = g[n, first * inner :], x[n, first * inner :]
            if kind == 0:
                for k in range(width):
                    part[k] += g_row[k]
            elif kind == 1:
                for k in range(width):
                    part[k] += g_row[k] * (row[k] - centre[k])
            else:
                for k in range(width):
                    part[k] += (row[k] - centre[k]) * (row[k] - centre[k])
        for k in range(width):
            out[first + k // inner] += part[k]


@jit
def _widened(values, first, last, inner):
    """Each of the channels' values ``inner`` times."""
    wide = np.empty((last - first) * inner, values.dtype)
    for k in range(wide.size):
        wide[k] = values[first + k // inner]
    return wide


@threaded
def _normalize_short(x, weight, bias, eps, y, mean, var, rstd):
    channels = mean.size
    inner = x.shape[1] // max(channels, 1)
    count = max(x.shape[0] * inner, 1)
    for block in prange(_blocks(x, channels)):
        first, last = _channels_of(block, x, channels)
        totals = np.empty(channels, np.float64)
        _column_sums(x, x, mean, 0, first, last, inner, totals)
        for c in range(first, last):
            mean[c] = totals[c] / count
        centre = _widened(mean, first, last, inner)
        _column_sums(x, x, centre, 2, first, last, inner, totals)
        for c in range(first, last):
            var[c] = totals[c] / count
            rstd[c] = 1 / math.sqrt(totals[c] / count + eps)
        factor, scale = _widened(rstd, first, last, inner), _widened(weight, first, last, inner)
        shift = _widened(bias, first, last, inner)
        for n in range(x.shape[0]):
            row, out = x[n, first * inner :], y[n, first * inner :]
            for k in range(centre.size):
                out[k] = (row[k] - centre[k]) * (factor[k] * scale[k]) + shift[k]


@threaded
def _normalize_grad_short(g, x, mean, rstd, weight, g_x, g_weight, g_bias):
    channels = mean.size
    inner = x.shape[1] // max(channels, 1)
    count = x.dtype.type(max(x.shape[0] * inner, 1))
    for block in prange(_blocks(x, channels)):
        first, last = _channels_of(block, x, channels)
        totals, products = np.empty(channels, np.float64), np.empty(channels, np.float64)
        centre = _widened(mean, first, last, inner)
        _column_sums(g, x, centre, 0, first, last, inner, totals)
        _column_sums(g, x, centre, 1, first, last, inner, products)
        scale, g_mean, slope = np.empty((3, centre.size), x.dtype)
        for c in range(first, last):
            g_bias[c] = totals[c]
            g_weight[c] = products[c] * rstd[c]
            for k in range((c - first) * inner, (c - first + 1) * inner):
                scale[k] = rstd[c] * weight[c]
                g_mean[k], slope[k] = g_bias[c] / count, g_weight[c] * rstd[c] / count
        for n in range(x.shape[0]):
            g_row, row, out = g[n, first * inner :], x[n, first * inner :], g_x[n, first * inner :]
            for k in range(centre.size):
                out[k] = scale[k] * (g_row[k] - g_mean[k] - (row[k] - centre[k]) * slope[k])


@threaded
def _scale_shift_short(x, scale, shift, y):
    channels = scale.size
    inner = x.shape[1] // max(channels, 1)
    for block in prange(_blocks(x, channels)):
        first, last = _channels_of(block, x, channels)
        a, b = _widened(scale, first, last, inner), _widened(shift, first, last, inner)
        for n in range(x.shape[0]):
            row, out = x[n, first * inner :], y[n, first * inner :]
            for k in range(a.size):
                out[k] = row[k] * a[k] + b[k]


@threaded
def _channel_dot_short(g, x, out):
    channels = out.size
    inner = x.shape[1] // max(channels, 1)
    for block in prange(_blocks(x, channels)):
        first, last = _channels_of(block, x, channels)
        totals = np.empty(channels, np.float64)
        centre = np.zeros((last - first) * inner, x.dtype)
        _column_sums(g, x, centre, 1, first, last, inner, totals)
        for c in range(first, last):
            out[c] = totals[c]


# --------------------------------------------------------------------------- by group


@threaded
def _group_normalize(rows, weight, bias, eps, y, mean, rstd):
    """Rows (1, N * groups, values); weight and bias (groups, values), one for each value."""
    length, groups = rows.shape[2], weight.shape[0]
    for r in prange(rows.shape[1]):
        mean[r] = _sum(rows, r) / length
        rstd[r] = 1 / math.sqrt(_squares(rows, r, mean[r]) / length + eps)
        row, out, scale, shift = rows[0, r], y[0, r], weight[r % groups], bias[r % groups]
        centre, inverse = mean[r], rstd[r]
        for i in range(length):
            out[i] = (row[i] - centre) * inverse * scale[i] + shift[i]


@threaded
def _group_weight_grad(g, rows, mean, rstd, weight, parts, weighted):
    """``weighted`` = g weight; ``parts`` (count, 2, groups, values): sums of g z and of g.

    Each part sums up a share of the samples. The gradient of x is that of a normalisation of
    each row, with the weighted g.
    """
    length, groups = rows.shape[2], weight.shape[0]
    samples = rows.shape[1] // groups
    for part in prange(parts.shape[0]):
        parts[part] = 0
        first, last = part * samples // len(parts), (part + 1) * samples // len(parts)
        for r in range(first * groups, last * groups):
            g_row, row, out, scale = g[0, r], rows[0, r], weighted[0, r], weight[r % groups]
            of_product, of_g = parts[part, 0, r % groups], parts[part, 1, r % groups]
            centre, inverse = mean[r], rstd[r]
            for i in range(length):
                of_product[i] += g_row[i] * ((row[i] - centre) * inverse)
                of_g[i] += g_row[i]
                out[i] = g_row[i] * scale[i]


@threaded
def _group_totals(parts, g_weight, g_bias):
    """The gradients of weight and bias: ``parts`` (count, 2, channels, values) added up."""
    for c in prange(g_weight.size):
        of_product, of_g = 0.0, 0.0
        for part in range(parts.shape[0]):
            for i in range(parts.shape[3]):
                of_product += parts[part, 0, c, i]
                of_g += parts[part, 1, c, i]
        g_weight[c] = of_product
        g_bias[c] = of_g


# --------------------------------------------------------------------------- preparation


def _covered(x: np.ndarray) -> bool:
    return x.dtype in FLOATS


def _rows(x: np.ndarray) -> np.ndarray:
    """``x`` (N, C, ...) as contiguous (N, C, S); with short rows as (N, C * S)."""
    n, channels, length = *x.shape[:2], math.prod(x.shape[2:])
    shape = (n, channels, length) if length >= _SHORT else (n, channels * length)
    return contiguous(x).reshape(shape)


def _per_channel(values: np.ndarray | None, default: float, x: np.ndarray) -> np.ndarray:
    """``values`` in the dtype of ``x``, or ``default`` for each of its channels."""
    if values is not None:
        return contiguous(values, x.dtype)
    constant = empty(x.shape[1], x.dtype)
    launch(np.copyto, constant, default)
    return constant


@planned
def normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The result, mean, biased variance and 1 / sqrt(var + eps); see the reference."""
    if not _covered(x):
        return unplanned(reference.normalize, x, weight, bias, eps)
    rows = _rows(x)
    y = empty(rows.shape, x.dtype)
    mean, var, rstd = empty((3, x.shape[1]), x.dtype)
    scale, shift = _per_channel(weight, 1.0, x), _per_channel(bias, 0.0, x)
    kernel = _normalize if rows.ndim == 3 else _normalize_short
    kernel(4 * x.size, rows, scale, shift, float(eps), y, mean, var, rstd)
    return y.reshape(x.shape), mean, var, rstd


@planned
def normalize_grad(
    g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``x``, ``weight`` and ``bias``; see the reference."""
    if not _covered(x):
        return unplanned(reference.normalize_grad, g, x, mean, rstd, weight)
    rows, g_rows = _rows(x), _rows(contiguous(g, x.dtype))
    g_x = empty(rows.shape, x.dtype)
    g_weight, g_bias = empty((2, x.shape[1]), x.dtype)
    kernel = _normalize_grad if rows.ndim == 3 else _normalize_grad_short
    scale, mean, rstd = _per_channel(weight, 1.0, x), contiguous(mean), contiguous(rstd)
    kernel(6 * x.size, g_rows, rows, mean, rstd, scale, g_x, g_weight, g_bias)
    return g_x.reshape(x.shape), g_weight, g_bias


@planned
def scale_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
    """``x * scale[c] + shift[c]`` for each channel c."""
    if not _covered(x):
        return unplanned(reference.scale_shift, x, scale, shift)
    rows = _rows(x)
    y = empty(rows.shape, x.dtype)
    kernel = _scale_shift if rows.ndim == 3 else _scale_shift_short
    kernel(x.size, rows, _per_channel(scale, 1.0, x), _per_channel(shift, 0.0, x), y)
    return y.reshape(x.shape)


@planned
def channel_dot(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The sum of ``g * x`` over each channel."""
    if not _covered(x) or g.dtype != x.dtype:
        return unplanned(reference.channel_dot, g, x)
    rows, out = _rows(x), empty(x.shape[1], x.dtype)
    kernel = _channel_dot if rows.ndim == 3 else _channel_dot_short
    kernel(2 * x.size, _rows(g), rows, out)
    return out


def _group_rows(x: np.ndarray, groups: int) -> np.ndarray:
    """``x`` (N, C, ...) as contiguous (1, N * groups, values)."""
    return contiguous(x).reshape(1, len(x) * groups, math.prod(x.shape[1:]) // groups)


def _per_value(values: np.ndarray | None, default: float, x: np.ndarray, groups: int) -> np.ndarray:
    """A channel's value for each of its values in a sample, (groups, values)."""
    each = empty((x.shape[1], math.prod(x.shape[2:])), x.dtype)
    launch(np.copyto, each, _per_channel(values, default, x)[:, None])
    return each.reshape(groups, -1)


@planned
def group_normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, groups: int, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The result, and by sample and group mean and 1 / sqrt(var + eps); see the reference."""
    if not _covered(x) or not x.size:
        return unplanned(reference.group_normalize, x, weight, bias, groups, eps)
    rows = _group_rows(x, groups)
    y = empty(rows.shape, x.dtype)
    mean, rstd = empty((2, rows.shape[1]), x.dtype)
    scale, shift = _per_value(weight, 1.0, x, groups), _per_value(bias, 0.0, x, groups)
    _group_normalize(4 * x.size, rows, scale, shift, float(eps), y, mean, rstd)
    return y.reshape(x.shape), mean.reshape(-1, groups), rstd.reshape(-1, groups)


@planned
def group_normalize_grad(
    g: np.ndarray,
    x: np.ndarray,
    mean: np.ndarray,
    rstd: np.ndarray,
    weight: np.ndarray | None,
    groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``x``, ``weight`` and ``bias``; see the reference."""
    if not _covered(x) or not x.size:
        return unplanned(reference.group_normalize_grad, g, x, mean, rstd, weight, groups)
    rows, g_rows = _group_rows(x, groups), _group_rows(contiguous(g, x.dtype), groups)
    scale = _per_value(weight, 1.0, x, groups)
    statistics = contiguous(mean).reshape(-1), contiguous(rstd).reshape(-1)
    parts = empty((min(len(x), _PARTS), 2, *scale.shape), x.dtype)
    weighted, g_x = empty(rows.shape, x.dtype), empty(rows.shape, x.dtype)
    _group_weight_grad(4 * x.size, g_rows, rows, *statistics, scale, parts, weighted)
    ones, unused = empty(rows.shape[1], x.dtype), empty((2, rows.shape[1]), x.dtype)
    launch(np.copyto, ones, 1)
    _normalize_grad(6 * x.size, weighted, rows, *statistics, ones, g_x, *unused)
    g_weight, g_bias = empty((2, x.shape[1]), x.dtype)
    by_channel = parts.reshape(len(parts), 2, x.shape[1], -1)
    _group_totals(parts.size, by_channel, g_weight, g_bias)
    return g_x.reshape(x.shape), g_weight, g_bias
