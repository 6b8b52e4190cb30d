"""Normalisation in Numba: sums by channel or group, then one pass over the rows in memory.

Sums run in the arrays' own precision over short pieces, which the compiler vectorises,
and in double precision over the pieces. The last pass does not go by channel: rows one
after the other are what the processor can fetch ahead.
"""

import math

import numpy as np
from numba import prange

from minidl.kernels.jit import jit, threaded
from minidl.kernels.norm import reference

_PIECE = 256  # float32 sums of 256 values lose next to nothing
_PARTS = 32  # shares of a batch whose weight gradients are added up apart
_SHORT = 16  # rows below this length are not worth a vectorised loop each


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
        first, last = part * samples // len(parts), (part + 1) * samples // len(parts)
        for r in range(first * groups, last * groups):
            g_row, row, out, scale = g[0, r], rows[0, r], weighted[0, r], weight[r % groups]
            of_product, of_g = parts[part, 0, r % groups], parts[part, 1, r % groups]
            centre, inverse = mean[r], rstd[r]
            for i in range(length):
                of_product[i] += g_row[i] * ((row[i] - centre) * inverse)
                of_g[i] += g_row[i]
                out[i] = g_row[i] * scale[i]


# --------------------------------------------------------------------------- preparation


def _covered(x: np.ndarray) -> bool:
    return x.dtype in (np.float32, np.float64)


def _rows(x: np.ndarray) -> np.ndarray:
    """``x`` (N, C, ...) as contiguous (N, C, S); with short rows as (1, C, N * S)."""
    n, channels = x.shape[:2]
    length = math.prod(x.shape[2:])
    if length >= _SHORT:
        return np.ascontiguousarray(x).reshape(n, channels, length)
    by_channel = np.ascontiguousarray(x.reshape(n, channels, length).swapaxes(0, 1))
    return by_channel.reshape(1, channels, n * length)


def _shaped(rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What `_rows` made, in ``shape`` again."""
    if math.prod(shape[2:]) >= _SHORT:
        return rows.reshape(shape)
    swapped = rows.reshape(shape[1], shape[0], math.prod(shape[2:])).swapaxes(0, 1)
    return np.ascontiguousarray(swapped).reshape(shape)


def _per_channel(values: np.ndarray | None, default: float, x: np.ndarray) -> np.ndarray:
    """``values`` in the dtype of ``x``, or ``default`` for each of its channels."""
    if values is None:
        return np.full(x.shape[1], default, x.dtype)
    return np.ascontiguousarray(values, dtype=x.dtype)


def normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The result, mean, biased variance and 1 / sqrt(var + eps); see the reference."""
    if not _covered(x):
        return reference.normalize(x, weight, bias, eps)
    rows = _rows(x)
    y = np.empty_like(rows)
    mean, var, rstd = np.empty((3, x.shape[1]), x.dtype)
    scale, shift = _per_channel(weight, 1.0, x), _per_channel(bias, 0.0, x)
    _normalize(4 * x.size, rows, scale, shift, float(eps), y, mean, var, rstd)
    return _shaped(y, x.shape), mean, var, rstd


def normalize_grad(
    g: np.ndarray, x: np.ndarray, mean: np.ndarray, rstd: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients of ``x``, ``weight`` and ``bias``; see the reference."""
    if not _covered(x):
        return reference.normalize_grad(g, x, mean, rstd, weight)
    rows = _rows(x)
    g_x = np.empty_like(rows)
    g_weight, g_bias = np.empty((2, x.shape[1]), x.dtype)
    g_rows, scale = _rows(g.astype(x.dtype, copy=False)), _per_channel(weight, 1.0, x)
    _normalize_grad(6 * x.size, g_rows, rows, mean, rstd, scale, g_x, g_weight, g_bias)
    return _shaped(g_x, x.shape), g_weight, g_bias


def scale_shift(x: np.ndarray, scale: np.ndarray, shift: np.ndarray | None) -> np.ndarray:
    """``x * scale[c] + shift[c]`` for each channel c."""
    if not _covered(x) or math.prod(x.shape[2:]) < _SHORT:
        return reference.scale_shift(x, scale, shift)
    rows = _rows(x)
    y = np.empty_like(rows)
    _scale_shift(x.size, rows, _per_channel(scale, 1.0, x), _per_channel(shift, 0.0, x), y)
    return y.reshape(x.shape)


def channel_dot(g: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The sum of ``g * x`` over each channel."""
    if not _covered(x) or g.dtype != x.dtype:
        return reference.channel_dot(g, x)
    out = np.empty(x.shape[1], x.dtype)
    _channel_dot(2 * x.size, _rows(g), _rows(x), out)
    return out


def _group_rows(x: np.ndarray, groups: int) -> np.ndarray:
    """``x`` (N, C, ...) as contiguous (1, N * groups, values)."""
    return np.ascontiguousarray(x).reshape(1, len(x) * groups, math.prod(x.shape[1:]) // groups)


def _per_value(values: np.ndarray | None, default: float, x: np.ndarray, groups: int) -> np.ndarray:
    """A channel's value for each of its values in a sample, (groups, values)."""
    return _per_channel(values, default, x).repeat(math.prod(x.shape[2:])).reshape(groups, -1)


def group_normalize(
    x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None, groups: int, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The result, and by sample and group mean and 1 / sqrt(var + eps); see the reference."""
    if not _covered(x) or not x.size:
        return reference.group_normalize(x, weight, bias, groups, eps)
    rows = _group_rows(x, groups)
    y = np.empty_like(rows)
    mean, rstd = np.empty((2, rows.shape[1]), x.dtype)
    scale, shift = _per_value(weight, 1.0, x, groups), _per_value(bias, 0.0, x, groups)
    _group_normalize(4 * x.size, rows, scale, shift, float(eps), y, mean, rstd)
    return y.reshape(x.shape), mean.reshape(-1, groups), rstd.reshape(-1, groups)


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
        return reference.group_normalize_grad(g, x, mean, rstd, weight, groups)
    rows, g_rows = _group_rows(x, groups), _group_rows(g.astype(x.dtype, copy=False), groups)
    scale, statistics = _per_value(weight, 1.0, x, groups), (mean.reshape(-1), rstd.reshape(-1))
    parts = np.zeros((min(len(x), _PARTS), 2, *scale.shape), x.dtype)
    weighted, g_x = np.empty_like(rows), np.empty_like(rows)
    _group_weight_grad(4 * x.size, g_rows, rows, *statistics, scale, parts, weighted)
    ones, unused = np.ones(rows.shape[1], x.dtype), np.empty((2, rows.shape[1]), x.dtype)
    _normalize_grad(6 * x.size, weighted, rows, *statistics, ones, g_x, *unused)
    sums = parts.sum(axis=0).reshape(2, x.shape[1], -1).sum(axis=2)
    return g_x.reshape(x.shape), *sums
