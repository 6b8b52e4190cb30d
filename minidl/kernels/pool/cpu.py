"""Pooling in Numba: planes in parallel, along the lines of each plane.

The loops over a window's taps are outside and those along a line inside, where LLVM turns
them into vectors. float16 takes the reference.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.jit import jit, threaded
from minidl.kernels.pool import reference

Pair = tuple[int, int]


def _covered(x: np.ndarray) -> bool:
    return x.dtype in (np.float32, np.float64)


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


# --------------------------------------------------------------------------- maximum


@jit
def _first_inside(start, step):
    """How many steps it takes from ``start`` to get to 0 or beyond."""
    return max(0, (step - 1 - start) // step)


@jit
def _row_maximum(row, at, stride, offset, y, indices):
    """Update the maxima of a line of windows with one tap, at ``row[j * stride + offset]``."""
    first = _first_inside(offset, stride)
    stop = min(y.size, (row.size - 1 - offset) // stride + 1)
    for j in range(first, stop):
        p = j * stride + offset
        v = row[p]
        better = v > y[j] or v != v
        y[j] = v if better else y[j]
        indices[j] = at + p if better else indices[j]


@threaded
def _max_pool2d(x, y, indices, kernel, stride, padding, dilation):
    planes, height, width = x.shape
    for plane in prange(planes):
        for i in range(y.shape[1]):
            top = i * stride[0] - padding[0]
            top += _first_inside(top, dilation[0]) * dilation[0]
            bottom = min(i * stride[0] - padding[0] + kernel[0] * dilation[0], height)
            for j in range(y.shape[2]):
                left = j * stride[1] - padding[1]
                left += _first_inside(left, dilation[1]) * dilation[1]
                y[plane, i, j] = -np.inf
                indices[plane, i, j] = top * width + left
            for r in range(top, bottom, dilation[0]):
                for s in range(kernel[1]):
                    offset = s * dilation[1] - padding[1]
                    _row_maximum(
                        x[plane, r], r * width, stride[1], offset, y[plane, i], indices[plane, i]
                    )


def max_pool2d(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """See `minidl.kernels.pool.reference.max_pool2d`."""
    if not _covered(x):
        return reference.max_pool2d(x, kernel, stride, padding, dilation, size)
    y = np.empty((x.shape[0] * x.shape[1], *size), x.dtype)
    indices = np.empty(y.shape, np.int64)
    work = y.size * kernel[0] * kernel[1]
    _max_pool2d(work, _planes(x), y, indices, kernel, stride, padding, dilation)
    shape = (*x.shape[:2], *size)
    return y.reshape(shape), indices.reshape(shape)


@threaded
def _scatter(g, indices, dx):
    for plane in prange(g.shape[0]):
        dx[plane] = 0
        for j in range(g.shape[1]):
            dx[plane, indices[plane, j]] += g[plane, j]


def max_pool2d_scatter(g: np.ndarray, indices: np.ndarray, size: Pair) -> np.ndarray:
    """See `minidl.kernels.pool.reference.max_pool2d_scatter`."""
    if not _covered(g):
        return reference.max_pool2d_scatter(g, indices, size)
    n, channels, height, width = g.shape
    flat = n * channels, height * width
    dx = np.empty((n * channels, size[0] * size[1]), g.dtype)
    places = np.ascontiguousarray(indices).reshape(flat)
    _scatter(dx.size, np.ascontiguousarray(g).reshape(flat), places, dx)
    return dx.reshape(n, channels, *size)


# --------------------------------------------------------------------------- mean


@threaded
def _avg_pool2d(x, rows, columns, scale, y):
    for plane in prange(x.shape[0]):
        for i in range(y.shape[1]):
            for j in range(y.shape[2]):
                total = y[plane, i, j] * 0
                for r in range(rows[i, 0], rows[i, 1]):
                    for s in range(columns[j, 0], columns[j, 1]):
                        total += x[plane, r, s]
                y[plane, i, j] = total * scale[i, j]


def avg_pool2d(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """See `minidl.kernels.pool.reference.avg_pool2d`."""
    if not _covered(x):
        return reference.avg_pool2d(x, rows, columns, scale)
    y = np.zeros((x.shape[0] * x.shape[1], len(rows), len(columns)), x.dtype)
    _avg_pool2d(x.size, _planes(x), rows, columns, scale.astype(x.dtype), y)
    return y.reshape(*x.shape[:2], *y.shape[1:])


@threaded
def _avg_pool2d_grad(g, rows, columns, scale, dx):
    for plane in prange(g.shape[0]):
        for i in range(g.shape[1]):
            for j in range(g.shape[2]):
                share = g[plane, i, j] * scale[i, j]
                for r in range(rows[i, 0], rows[i, 1]):
                    for s in range(columns[j, 0], columns[j, 1]):
                        dx[plane, r, s] += share


def avg_pool2d_grad(
    g: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray, size: Pair
) -> np.ndarray:
    """See `minidl.kernels.pool.reference.avg_pool2d_grad`."""
    if not _covered(g):
        return reference.avg_pool2d_grad(g, rows, columns, scale, size)
    dx = np.zeros((g.shape[0] * g.shape[1], *size), g.dtype)
    _avg_pool2d_grad(dx.size, _planes(g), rows, columns, scale.astype(g.dtype), dx)
    return dx.reshape(*g.shape[:2], *size)
