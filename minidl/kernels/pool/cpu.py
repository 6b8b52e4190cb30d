"""Pooling in Numba: planes in parallel. float16 takes the reference."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.jit import FLOATS, jit, threaded
from minidl.kernels.launch import contiguous, empty, planned, unplanned
from minidl.kernels.pool import reference
from minidl.kernels.pool.halves import max_pool2d_by_two
from minidl.kernels.pool.reference import Pair, Windows


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
        max_pool2d_by_two(work, x, y, indices)
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
    _avg_pool2d(x.size, contiguous(x), rows, columns, contiguous(scale, x.dtype), y)
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
    _avg_pool2d_grad(dx.size, contiguous(g), rows, columns, contiguous(scale, g.dtype), dx)
    return dx
