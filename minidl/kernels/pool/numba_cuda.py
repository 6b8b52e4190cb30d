"""Pooling in Numba CUDA, to be read beside `pool.cu`.

The idea: every thread gathers. It reads the elements of a window for the result, and for a
gradient what comes back from all windows that cover its element. So no two threads write to
one place, nothing is added in memory, and sums have one order.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from minidl.backend import xp
from minidl.kernels.cuda import grid_for
from minidl.kernels.cuda.numba_launch import covered, cuda_device, cuda_kernel, launch
from minidl.kernels.pool import reference
from minidl.kernels.pool.reference import Pair, Windows

_THREADS = 256


@cuda_device
def _place(planes, index):
    """Plane, row and column of an array's element: indices are row-major."""
    height, width = planes.shape[1], planes.shape[2]
    return index // (height * width), index // width % height, index % width


# --------------------------------------------------------------------------- maximum


@cuda_kernel
def _max_pool2d(x, y, indices, windows):
    """One thread a window."""
    kernel, stride, padding, dilation = windows
    height, width = x.shape[1], x.shape[2]
    for index in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        plane, i, j = _place(y, index)
        best, found = y.dtype.type(0), -1
        for r in range(kernel[0]):
            row = i * stride[0] - padding[0] + r * dilation[0]
            for s in range(kernel[1]):
                column = j * stride[1] - padding[1] + s * dilation[1]
                if 0 <= row < height and 0 <= column < width:
                    value = x[plane, row, column]
                    if found < 0 or value > best or value != value:  # NaN is the largest
                        best, found = value, row * width + column
        y[plane, i, j] = best
        indices[plane, i, j] = found


@cuda_device
def _covering(windows, axis, place, out):
    """Which of ``out`` windows may have the place in them: from the first to before the second."""
    kernel, stride, padding, dilation = windows
    last, reach = place + padding[axis], dilation[axis] * (kernel[axis] - 1) + 1
    first, behind = (last - reach) // stride[axis] + 1, last // stride[axis] + 1
    return first if first > 0 else 0, behind if behind < out else out


@cuda_kernel
def _max_pool2d_scatter(g, indices, dx, windows):
    """One thread an element of dx: it adds up what windows send to its place."""
    for index in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        plane, row, column = _place(dx, index)
        top, bottom = _covering(windows, 0, row, g.shape[1])
        left, right = _covering(windows, 1, column, g.shape[2])
        total = g.dtype.type(0)
        for i in range(top, bottom):
            for j in range(left, right):
                if indices[plane, i, j] == row * dx.shape[2] + column:
                    total += g[plane, i, j]
        dx[plane, row, column] = total


def max_pool2d(
    x: Any, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> tuple[Any, Any]:
    """See `minidl.kernels.pool.reference.max_pool2d`."""
    if not covered(x):
        return reference.max_pool2d(x, kernel, stride, padding, dilation, size)
    shape = (*x.shape[:2], *size)
    y, indices = xp(x).empty(shape, x.dtype), xp(x).empty(shape, np.int64)
    _launch(_max_pool2d, y, [x, y, indices], (kernel, stride, padding, dilation))
    return y, indices


def max_pool2d_scatter(g: Any, indices: Any, size: Pair, windows: Windows) -> Any:
    """See `minidl.kernels.pool.reference.max_pool2d_scatter`."""
    if not covered(g):
        return reference.max_pool2d_scatter(g, indices, size, windows)
    dx = xp(g).empty((*g.shape[:2], *size), g.dtype)
    _launch(_max_pool2d_scatter, dx, [g, indices, dx], windows)
    return dx


# --------------------------------------------------------------------------- mean


@cuda_kernel
def _avg_pool2d(x, y, rows, columns, scale):
    """One thread a window, whose rows and columns start and stop where these say."""
    for index in range(cuda.grid(1), y.size, cuda.gridsize(1)):
        plane, i, j = _place(y, index)
        total = x.dtype.type(0)
        for row in range(rows[i, 0], rows[i, 1]):
            for column in range(columns[j, 0], columns[j, 1]):
                total += x[plane, row, column]
        y[plane, i, j] = total * scale[i, j]


@cuda_kernel
def _avg_pool2d_grad(g, dx, rows, columns, scale):
    """One thread an element of dx; these are the windows that cover its row and column."""
    for index in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        plane, row, column = _place(dx, index)
        total = g.dtype.type(0)
        for i in range(rows[row, 0], rows[row, 1]):
            for j in range(columns[column, 0], columns[column, 1]):
                total += g[plane, i, j] * scale[i, j]
        dx[plane, row, column] = total


def avg_pool2d(x: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray) -> Any:
    """See `minidl.kernels.pool.reference.avg_pool2d`."""
    if not covered(x):
        return reference.avg_pool2d(x, rows, columns, scale)
    y = xp(x).empty((*x.shape[:2], len(rows), len(columns)), x.dtype)
    _launch(_avg_pool2d, y, [x, y], *_moved(x, rows, columns, scale))
    return y


def avg_pool2d_grad(
    g: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray, size: Pair
) -> Any:
    """See `minidl.kernels.pool.reference.avg_pool2d_grad`."""
    if not covered(g):
        return reference.avg_pool2d_grad(g, rows, columns, scale, size)
    dx = xp(g).empty((*g.shape[:2], *size), g.dtype)
    covering = (_places(windows, length) for windows, length in zip((rows, columns), size))
    _launch(_avg_pool2d_grad, dx, [g, dx], *_moved(g, *covering, scale))
    return dx


def _places(windows: np.ndarray, size: int) -> np.ndarray:
    """Which windows cover each of ``size`` places: the first, and the one behind the last."""
    starts, stops = windows.T
    places = np.arange(size)
    first, behind = (
        np.searchsorted(stops, places, "right"),
        np.searchsorted(starts, places, "right"),
    )
    return np.stack((first, behind), 1)


def _moved(x: Any, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray) -> tuple:
    """The small arrays of the host where x is, the scale in its dtype."""
    asarray = xp(x).asarray
    return asarray(rows, np.int64), asarray(columns, np.int64), asarray(scale, x.dtype)


def _launch(kernel: Any, out: Any, arrays: list, *how: Any) -> None:
    """Run one thread for each element of ``out``, on (planes, height, width) arrays."""
    planes = [
        xp(a).ascontiguousarray(a).reshape(a.shape[0] * a.shape[1], *a.shape[2:]) for a in arrays
    ]
    launch(kernel, grid_for(out.size, _THREADS), (_THREADS,), *planes, *how)
