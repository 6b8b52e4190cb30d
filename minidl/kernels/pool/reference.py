"""Pooling, the definitions: one window position after another.

The windows of average pooling are given by ``rows`` and ``columns``, integer arrays of shape
(out, 2) that hold where each window starts and stops along its axis, and ``scale`` (out
height, out width), what to multiply its sum with: so one kernel serves every kind of mean.
Starts and stops are in ascending order. The three are arrays of the host, wherever x is.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import xp

Pair = tuple[int, int]
Windows = tuple[Pair, Pair, Pair, Pair]
"""Kernel size, stride, padding and dilation."""


def max_pool2d(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, size: Pair
) -> tuple[np.ndarray, np.ndarray]:
    """The largest element of each window of x (n, c, h, w), and its index in the plane h * w.

    Of equal elements the first counts; NaN counts as the largest, and the last of them.
    """
    y = xp(x).empty((*x.shape[:2], *size), x.dtype)
    indices = xp(x).empty(y.shape, np.int64)
    for i in range(size[0]):
        for j in range(size[1]):
            window, rows, columns = _window(x, (i, j), kernel, stride, padding, dilation)
            flat = window.reshape(*x.shape[:2], len(rows) * len(columns))
            backwards = xp(x).isnan(flat[..., ::-1])
            last_nan = flat.shape[-1] - 1 - backwards.argmax(-1)
            best = xp(x).where(backwards.any(-1), last_nan, flat.argmax(-1))
            y[:, :, i, j] = xp(x).take_along_axis(flat, best[..., None], -1)[..., 0]
            row, column = rows[0] + best // len(columns) * dilation[0], best % len(columns)
            indices[:, :, i, j] = row * x.shape[3] + columns[0] + column * dilation[1]
    return y, indices


def _window(
    x: np.ndarray, at: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> tuple[np.ndarray, range, range]:
    """The elements of one window that lie in the picture, and their rows and columns."""
    rows, columns = (
        _inside(place * s - p, d, k, n)
        for place, s, p, d, k, n in zip(at, stride, padding, dilation, kernel, x.shape[2:])
    )
    slices = (slice(r.start, r.stop, r.step) for r in (rows, columns))
    return x[(..., *slices)], rows, columns


def _inside(start: int, step: int, count: int, size: int) -> range:
    skipped = max(0, -(start // step)) if start < 0 else 0
    return range(start + skipped * step, min(start + count * step, size), step)


def max_pool2d_scatter(
    g: np.ndarray, indices: np.ndarray, size: Pair, windows: Windows
) -> np.ndarray:
    """Add each element of g to the place in its plane, of ``size``, that its index names.

    The indices are of maxima in ``windows``: so a thread can find all that name its place.
    """
    n, channels = g.shape[:2]
    dx = xp(g).zeros((n * channels, size[0] * size[1]), np.result_type(g.dtype, np.float32))
    planes = xp(g).arange(n * channels)[:, None]
    count = g.shape[2] * g.shape[3]
    xp(g).add.at(dx, (planes, indices.reshape(-1, count)), g.reshape(n * channels, count))
    return dx.astype(g.dtype, copy=False).reshape(n, channels, *size)


def max_pool2d_gather(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """The elements of each plane of x (n, c, h, w) that ``indices`` (n, c, i, j) name."""
    planes = x.reshape(*x.shape[:2], x.shape[2] * x.shape[3])
    places = indices.reshape(*indices.shape[:2], indices.shape[2] * indices.shape[3])
    return xp(x).take_along_axis(planes, places, 2).reshape(indices.shape)


def avg_pool2d(
    x: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """The sum of each window of x (n, c, h, w), times ``scale``."""
    y = xp(x).empty((*x.shape[:2], len(rows), len(columns)), np.result_type(x.dtype, np.float32))
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            y[:, :, i, j] = x[:, :, top:bottom, left:right].sum((2, 3), dtype=y.dtype)
    return (y * xp(x).asarray(scale)).astype(x.dtype)


def avg_pool2d_grad(
    g: np.ndarray, rows: np.ndarray, columns: np.ndarray, scale: np.ndarray, size: Pair
) -> np.ndarray:
    """Add each element of g (n, c, i, j), times ``scale``, to all elements of its window."""
    dx = xp(g).zeros((*g.shape[:2], *size), np.result_type(g.dtype, np.float32))
    scaled = g * xp(g).asarray(scale)
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            dx[:, :, top:bottom, left:right] += scaled[:, :, i, j, None, None]
    return dx.astype(g.dtype)
