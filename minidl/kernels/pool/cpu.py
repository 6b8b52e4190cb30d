"""Pooling in Numba: planes in parallel. float16 takes the reference."""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.jit import jit, threaded
from minidl.kernels.pool import reference
from minidl.kernels.pool.reference import Pair, Windows


def _covered(x: np.ndarray) -> bool:
    return x.dtype in (np.float32, np.float64)


def _planes(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


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


@threaded
def _max_pool2d(x, y, indices, kernel, stride, padding, dilation):
    planes, height, width = x.shape
    step_h, step_w = dilation
    columns = np.empty((y.shape[2], 2), np.int64)
    for j in range(y.shape[2]):
        start = j * stride[1] - padding[1]
        columns[j, 0], columns[j, 1] = _inside(start, step_w, kernel[1], width)
    small = kernel == (2, 2) and dilation == (1, 1)
    for p in prange(planes):
        plane = x[p].reshape(height * width)
        for i in range(y.shape[1]):
            top, bottom = _inside(i * stride[0] - padding[0], step_h, kernel[0], height)
            for j in range(y.shape[2]):
                left, right = columns[j, 0], columns[j, 1]
                corner = found = top * width + left
                best = plane[corner]
                if small and bottom - top == 2 and right - left == 2:
                    # the window of most networks, without the overhead of loops
                    best, found = _larger(plane, corner, best, found)
                    best, found = _larger(plane, corner + 1, best, found)
                    best, found = _larger(plane, corner + width, best, found)
                    best, found = _larger(plane, corner + width + 1, best, found)
                else:
                    for r in range(top, bottom, step_h):
                        for place in range(r * width + left, r * width + right, step_w):
                            best, found = _larger(plane, place, best, found)
                y[p, i, j] = best
                indices[p, i, j] = found


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


def max_pool2d_scatter(
    g: np.ndarray, indices: np.ndarray, size: Pair, windows: Windows
) -> np.ndarray:
    """See `minidl.kernels.pool.reference.max_pool2d_scatter`."""
    if not _covered(g):
        return reference.max_pool2d_scatter(g, indices, size, windows)
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
