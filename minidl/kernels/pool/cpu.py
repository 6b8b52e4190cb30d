"""Pooling in Numba: planes in parallel. float16 takes the reference."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.jit import FLOATS, inner, jit, shared, threaded
from minidl.kernels.launch import contiguous, empty, planned, unplanned
from minidl.kernels.pool import reference
from minidl.kernels.pool.reference import Pair, Windows
from minidl.kernels.share import share


def _covered(x: np.ndarray) -> bool:
    return x.dtype in FLOATS


# --------------------------------------------------------------------------- maximum


@jit
def _inside(start, step, count, size):
    """The first of ``start, start + step, ...`` that is not negative, and where to stop."""
    first = start + max(0, (step - 1 - start) // step) * step
    return first, min(start + count * step, size)


@jit
def _larger(plane, place, best, found):
    """The best so far and its place, or the element at ``place`` if that is larger or NaN."""
    value = plane[place]
    better = (value > best) | (value != value)
    return value if better else best, place if better else found


@jit
def _planes(x):
    """The pictures' channels one after the other."""
    return x.reshape((x.shape[0] * x.shape[1], x.shape[2], x.shape[3]))


@threaded
def _max_pool2d(x, y, indices, kernel, stride, padding, dilation):
    x, y, indices = _planes(x), _planes(y), _planes(indices)
    planes, height, width = x.shape
    step_h, step_w = dilation
    columns = np.empty((y.shape[2], 2), np.int64)
    for j in range(y.shape[2]):
        start = j * stride[1] - padding[1]
        columns[j, 0], columns[j, 1] = _inside(start, step_w, kernel[1], width)
    for p in prange(planes):
        plane = x[p].reshape(height * width)
        for i in range(y.shape[1]):
            top, bottom = _inside(i * stride[0] - padding[0], step_h, kernel[0], height)
            for j in range(y.shape[2]):
                left, right = columns[j, 0], columns[j, 1]
                corner = found = top * width + left
                best = plane[corner]
                for r in range(top, bottom, step_h):
                    for place in range(r * width + left, r * width + right, step_w):
                        best, found = _larger(plane, place, best, found)
                y[p, i, j] = best
                indices[p, i, j] = found


_WINDOWS = 512  # about how many windows of 2 by 2 are compared at a time
_VECTORS = 32  # their number is a multiple of this, for LLVM to need no loop for what is left


@inner
def _max_pool2d_chunk(chunk, x, y, indices, planes, corners):
    """The maxima of ``planes`` planes, or of as many as are left.

    Which of four is the largest nobody can guess, and so no branch may depend on it: the elements
    go to four rows of a table, whose columns vectors compare.
    """
    first = chunk * planes
    last, wide = min(first + planes, len(y)), y.shape[2]
    one, below, across = np.int32(1), np.int32(x.shape[2]), np.int32(x.shape[2] + 1)
    count = (planes * len(corners) + _VECTORS - 1) // _VECTORS * _VECTORS
    table = np.zeros((4, count), x.dtype)
    a, b, c, d = table[0], table[1], table[2], table[3]
    found = np.empty(count, np.int32)  # as wide as the numbers
    column = 0
    for p in range(first, last):
        for i in range(y.shape[1]):
            upper, lower = x[p, 2 * i], x[p, 2 * i + 1]
            for j in range(wide):
                a[column + j], b[column + j] = upper[2 * j], upper[2 * j + 1]
                c[column + j], d[column + j] = lower[2 * j], lower[2 * j + 1]
            column += wide
    for k in range(count):
        best, place = a[k], np.int32(0)
        better = (b[k] > best) | (b[k] != b[k])
        best, place = b[k] if better else best, one if better else place
        better = (c[k] > best) | (c[k] != c[k])
        best, place = c[k] if better else best, below if better else place
        better = (d[k] > best) | (d[k] != d[k])
        a[k], found[k] = d[k] if better else best, across if better else place
    for p in range(first, last):
        part = slice((p - first) * len(corners), (p - first + 1) * len(corners))
        largest, offsets = a[part], found[part]
        maxima, places = y[p].reshape(-1), indices[p].reshape(-1)
        for k in range(len(corners)):
            maxima[k] = largest[k]
        for k in range(len(corners)):
            places[k] = corners[k] + offsets[k]


@shared
def _max_pool2d_by_two(team, x, y, indices):
    """As `_max_pool2d`, for windows of 2 by 2 side by side: no window is cut off at an edge."""
    x, y, indices = _planes(x), _planes(y), _planes(indices)
    high, wide = y.shape[1:]
    corners = np.empty(high * wide, np.int64)  # where windows begin
    for i in range(high):
        for j in range(wide):
            corners[i * wide + j] = 2 * (i * x.shape[2] + j)
    planes = max(1, _WINDOWS // max(1, len(corners)))
    chunks = (len(y) + planes - 1) // planes
    share(team, chunks, _max_pool2d_chunk, (x, y, indices, planes, corners))


_BY_TWO = (2, 2), (2, 2), (0, 0), (1, 1)


@planned
def max_pool2d(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """See `minidl.kernels.pool.reference.max_pool2d`."""
    if not _covered(x):
        return unplanned(reference.max_pool2d, x, kernel, stride, padding, dilation, size)
    shape = (*x.shape[:2], *size)
    y, indices = empty(shape, x.dtype), empty(shape, np.int64)
    x = contiguous(x)
    work = y.size * kernel[0] * kernel[1]
    inside = 2 * size[0] <= x.shape[2] and 2 * size[1] <= x.shape[3]
    if inside and (kernel, stride, padding, dilation) == _BY_TWO:
        _max_pool2d_by_two(work, x, y, indices)
    else:
        _max_pool2d(work, x, y, indices, kernel, stride, padding, dilation)
    return y, indices


@threaded
def _scatter(g, indices, dx):
    rows, columns = g.shape[0] * g.shape[1], g.shape[2] * g.shape[3]
    g, indices = g.reshape((rows, columns)), indices.reshape((rows, columns))
    dx = dx.reshape((rows, dx.shape[2] * dx.shape[3]))
    for plane in prange(rows):
        dx[plane] = 0
        for j in range(columns):
            dx[plane, indices[plane, j]] += g[plane, j]


@planned
def max_pool2d_scatter(
    g: np.ndarray, indices: np.ndarray, size: Pair, windows: Windows
) -> np.ndarray:
    """See `minidl.kernels.pool.reference.max_pool2d_scatter`."""
    if not _covered(g):
        return unplanned(reference.max_pool2d_scatter, g, indices, size, windows)
    dx = empty((*g.shape[:2], *size), g.dtype)
    _scatter(dx.size, contiguous(g), contiguous(indices), dx)
    return dx


# --------------------------------------------------------------------------- mean


@threaded
def _avg_pool2d(x, rows, columns, scale, y):
    x, y = _planes(x), _planes(y)
    for plane in prange(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                total = y.dtype.type(0)
                for r in range(rows[i, 0], rows[i, 1]):
                    for s in range(columns[j, 0], columns[j, 1]):
                        total += x[plane, r, s]
                y[plane, i, j] = total * scale[i, j]


@planned
def avg_pool2d(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """See `minidl.kernels.pool.reference.avg_pool2d`."""
    if not _covered(x):
        return unplanned(reference.avg_pool2d, x, rows, columns, scale)
    y = empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    _avg_pool2d(x.size, contiguous(x), rows, columns, scale.astype(x.dtype), y)
    return y


@threaded
def _avg_pool2d_grad(g, rows, columns, scale, dx):
    g, dx = _planes(g), _planes(dx)
    for plane in prange(g.shape[0]):
        dx[plane] = 0
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                share = g[plane, i, j] * scale[i, j]
                for r in range(rows[i, 0], rows[i, 1]):
                    for s in range(columns[j, 0], columns[j, 1]):
                        dx[plane, r, s] += share


@planned
def avg_pool2d_grad(
    g: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray, size: Pair
) -> np.ndarray:
    """See `minidl.kernels.pool.reference.avg_pool2d_grad`."""
    if not _covered(g):
        return unplanned(reference.avg_pool2d_grad, g, rows, columns, scale, size)
    dx = empty((*g.shape[:2], *size), g.dtype)
    _avg_pool2d_grad(dx.size, contiguous(g), rows, columns, scale.astype(g.dtype), dx)
    return dx
