"""Linear layers on the CPU: loops of our own for small ones, BLAS for the others.

For a few rows a product is over before a BLAS has arranged its operands. The loops read each
number of the weight once for four rows of the input, along its rows, eight or sixteen at a time.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from minidl.kernels.jit import FLOATS, inner, threaded
from minidl.kernels.launch import contiguous, empty, launch, planned
from minidl.kernels.matmul import reference
from minidl.kernels.matmul.cpu import matmul
from minidl.kernels.tiles import add_outer, load_at, store_at, zero_tile
from minidl.kernels.vectors import lanes

# Up to how many rows of the input, and multiply-adds, our own loops are faster.
_ROWS, _WORK = 128, 8_000_000

# --------------------------------------------------------------------------- loops


@threaded
def _forward(x, w, bias, relu, y):
    """y = x w^T + bias, four rows of x at a time."""
    rows = x.shape[0]
    for quad in prange((rows + 3) // 4):
        first, last = 4 * quad, min(4 * quad + 4, rows)
        if last - first == 4:
            _four_rows(x, w, first, y)
        else:
            for n in range(first, last):
                for m in range(w.shape[0]):
                    y[n, m] = _dot(x[n], w[m])
        for n in range(first, last):
            for m in range(w.shape[0]):
                value = y[n, m] + bias[m] if bias.size else y[n, m]
                y[n, m] = 0 if relu and value <= 0 else value  # NaN stays


@inner
def _four_rows(x, w, n, y):
    """Rows n to n + 3 of y = x w^T, with two rows of w at a time."""
    zero, columns = x.dtype.type(0), w.shape[0]
    x0, x1, x2, x3 = x[n], x[n + 1], x[n + 2], x[n + 3]
    for m in range(0, columns - 1, 2):
        w0, w1 = w[m], w[m + 1]
        a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = zero
        for k in range(x.shape[1]):
            a0 += x0[k] * w0[k]
            a1 += x1[k] * w0[k]
            a2 += x2[k] * w0[k]
            a3 += x3[k] * w0[k]
            b0 += x0[k] * w1[k]
            b1 += x1[k] * w1[k]
            b2 += x2[k] * w1[k]
            b3 += x3[k] * w1[k]
        y[n, m], y[n + 1, m], y[n + 2, m], y[n + 3, m] = a0, a1, a2, a3
        y[n, m + 1], y[n + 1, m + 1], y[n + 2, m + 1], y[n + 3, m + 1] = b0, b1, b2, b3
    if columns % 2:
        for i in range(n, n + 4):
            y[i, columns - 1] = _dot(x[i], w[columns - 1])


@inner
def _dot(a, b):
    total = a.dtype.type(0)
    for k in range(a.size):
        total += a[k] * b[k]
    return total


@inner
def _tile(a, at, row, term, b, start, step, terms, columns, c, to, down):
    """Four rows by three vectors of c = a b, added up in registers.

    Rows of a lie ``row`` apart and its terms ``term``, rows of c ``down`` apart and vectors
    ``step``: where there are fewer than four or three, 0 computes the same one again.
    """
    tile, vectors = zero_tile(c, 12), (0, step, 2 * step)
    for t in range(terms):
        q = at + t * term
        tile = add_outer(tile, a, q, row, load_at(b, start + t * columns, vectors))
    v, w = step, 2 * step
    first, second = (0, v, w), (down, down + v, down + w)
    third, fourth = (2 * down, 2 * down + v, 2 * down + w), (3 * down, 3 * down + v, 3 * down + w)
    store_at(c, to, first + second + third + fourth, tile)


@inner
def _width(columns, c):
    """How many columns of c are computed at once."""
    wide = lanes(c)
    return 3 * wide if columns >= 3 * wide else wide if columns >= wide else max(columns, 1)


@inner
def _strip(a, row, term, rows, terms, b, columns, c, strip):
    """Some columns of c = a b, flat: a last strip, and last rows, go over some others again."""
    wide, width = lanes(c), _width(columns, c)
    if columns < wide:
        for n in range(rows):
            for k in range(columns):
                total = c.dtype.type(0)
                for t in range(terms):
                    total += a[n * row + t * term] * b[t * columns + k]
                c[n * columns + k] = total
        return
    k = min(strip * width, columns - width)
    step = wide if width > wide else 0
    height, apart, down = (4, row, columns) if rows >= 4 else (1, 0, 0)
    for n in range(0, rows, height):
        first = min(n, rows - height)
        to = first * columns + k
        _tile(a, first * row, apart, term, b, k, step, terms, columns, c, to, down)


@threaded
def _backward(g, y, x, w, passed, dx, dw, db):
    """The gradients that are not empty; ``passed`` is room for the g that relu let through."""
    rows, columns = g.shape
    inner = max(dx.shape[1], dw.shape[1])
    for n in range(rows if y.size else 0):
        for m in range(columns):
            passed[n, m] = 0 if y[n, m] <= 0 else g[n, m]
    flat = passed.reshape(-1) if y.size else g.reshape(-1)
    if db.size:
        db[:] = 0
        for n in range(rows):
            for m in range(columns):
                db[m] += flat[n * columns + m]
    x, w, dx, dw = x.reshape(-1), w.reshape(-1), dx.reshape(-1), dw.reshape(-1)
    strips = (inner + _width(inner, flat) - 1) // _width(inner, flat)
    for strip in prange(strips):
        if dw.size:
            _strip(flat, 1, columns, columns, rows, x, inner, dw, strip)
        if dx.size:
            _strip(flat, columns, 1, rows, columns, w, inner, dx, strip)


# --------------------------------------------------------------------------- kernels


def _covered(x: np.ndarray, rows: int, inner: int, columns: int) -> bool:
    return x.dtype in FLOATS and 0 < rows <= _ROWS and 0 < rows * inner * columns <= _WORK


_NOTHING = {(dtype, ndim): np.empty((0,) * ndim, dtype) for dtype in FLOATS for ndim in (1, 2)}
"""What stands for a vector or a matrix that there is not."""


def _room(shape: tuple[int, ...], dtype: np.dtype, wanted: bool = True) -> np.ndarray:
    """An array to write into; an empty one stands for one that is not wanted."""
    return empty(shape, dtype) if wanted else _NOTHING[dtype, len(shape)]


@planned
def linear(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool) -> np.ndarray:
    """See `minidl.kernels.matmul.reference.linear`."""
    if not _covered(x, len(x), *w.shape):
        return _by_blas(x, w, bias, relu)
    y = empty((x.shape[0], w.shape[0]), x.dtype)
    bias = _NOTHING[x.dtype, 1] if bias is None else contiguous(bias)
    _forward(x.size * len(w), contiguous(x), contiguous(w), bias, relu, y)
    return y


@planned
def linear_grad(
    g: np.ndarray,
    y: np.ndarray | None,
    x: np.ndarray | None,
    w: np.ndarray | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    """See `minidl.kernels.matmul.reference.linear_grad`."""
    (rows, columns), dtype = g.shape, g.dtype
    inner = w.shape[1] if wanted[0] else x.shape[1] if wanted[1] else 1
    if not _covered(g, rows, inner, columns):
        return _grad_by_blas(g, y, x, w, wanted)
    nothing = _NOTHING[dtype, 2]
    gradients = (
        _room((rows, inner), dtype, wanted[0]),
        _room((columns, inner), dtype, wanted[1]),
        _room((columns,), dtype, wanted[2]),
    )
    _backward(
        rows * inner * columns,
        contiguous(g),
        nothing if y is None else contiguous(y),
        contiguous(x) if wanted[1] else nothing,
        contiguous(w) if wanted[0] else nothing,
        _room((rows, columns), dtype, y is not None),
        *gradients,
    )
    return tuple(array if want else None for array, want in zip(gradients, wanted))


# --------------------------------------------------------------------------- BLAS


def _by_blas(x: np.ndarray, w: np.ndarray, bias: np.ndarray | None, relu: bool) -> np.ndarray:
    y = matmul(x, w.T, bias)
    if relu:
        launch(_rectify, y)
    return y


def _grad_by_blas(
    g: np.ndarray,
    y: np.ndarray | None,
    x: np.ndarray | None,
    w: np.ndarray | None,
    wanted: tuple[bool, bool, bool],
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray | None]:
    if y is not None:
        passed = empty(g.shape, g.dtype)
        launch(_mask, g, y, passed)
        g = passed
    dx = matmul(g, w) if wanted[0] else None
    dw = matmul(g.T, x) if wanted[1] else None
    db = None
    if wanted[2]:
        db = empty(g.shape[1:], g.dtype)
        launch(_add_rows, g, db)
    return dx, dw, db


def _rectify(y: np.ndarray) -> None:
    y[y <= 0] = 0


def _mask(g: np.ndarray, y: np.ndarray, passed: np.ndarray) -> None:
    np.copyto(passed, g)
    passed[y <= 0] = 0


def _add_rows(g: np.ndarray, total: np.ndarray) -> None:
    total[...] = reference.row_sum(g)
