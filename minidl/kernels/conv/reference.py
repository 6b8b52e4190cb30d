"""Two-dimensional convolution, the definition: one matrix product for each tap of the filter.

With output (n, o, i, j), input (n, c, ., .), filter (o, c, r, s), and the input padded by
zeros (``x``; a negative padding cuts off instead)::

    y[n, o, i, j] = sum over c, r, s of w[o, c, r, s] * x[n, c, i * stride + r * dilation, ...]

The result and its two gradients are one trilinear form of y's gradient, x and w, solved for
each; within a group each filter sees only the channels of its group.
"""

from __future__ import annotations

import numpy as np

from minidl.backend import xp
from minidl.kernels.pool.reference import max_pool2d

Pair = tuple[int, int]
Padding = tuple[int, int, int, int]
How = tuple[Pair, Padding, Pair, int]
"""Stride, padding (top, bottom, left, right), dilation and groups."""

Needs = tuple[bool, bool, bool]
"""Which gradients are wanted: those in x, w and bias."""

Grads = tuple["np.ndarray | None", "np.ndarray | None", "np.ndarray | None"]
"""The gradients in x, w and bias; None for those that are not wanted."""

NO_GRADIENT = 4
"""The place of a maximum that is not positive, so that ReLU lets no gradient through."""


def output_size(
    size: tuple[int, ...], kernel: tuple[int, ...], stride: Pair, padding: Padding, dilation: Pair
) -> Pair:
    """Height and width of the result: how many places the dilated filter fits in."""
    before_and_after = padding[0] + padding[1], padding[2] + padding[3]
    height, width = (
        (n + p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, before_and_after, dilation)
    )
    return height, width


def pad(x: np.ndarray, padding: Padding) -> np.ndarray:
    """x with ``(top, bottom, left, right)`` more rows and columns of zeros, or fewer if < 0."""
    top, bottom, left, right = padding
    more = [(0, 0), (0, 0), (max(top, 0), max(bottom, 0)), (max(left, 0), max(right, 0))]
    height, width = x.shape[2:]
    rows = slice(max(-top, 0), height + min(bottom, 0))
    columns = slice(max(-left, 0), width + min(right, 0))
    return xp(x).pad(x[:, :, rows, columns], more)


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
    """The convolution of x (n, c, h, w) with w (o, c / groups, r, s), plus bias (o,).

    ``padding`` is (top, bottom, left, right); the result has shape (n, o, *output_size).
    With ``relu``, its negative numbers become 0.
    """
    size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    padded = _grouped(pad(x, padding), groups)
    filters = _split(w, groups)
    y = xp(x).zeros((len(x), groups, filters.shape[1], *size), _wide(x))
    for r, s, there in _taps(w.shape[2:], size, stride, dilation):
        y += _sum("ngcij,goc->ngoij", padded[there], filters[..., r, s])
    y = y.reshape(len(x), w.shape[0], *size)
    if bias is not None:
        y += bias[:, None, None]
    if relu:
        y = xp(y).maximum(y, 0)
    return y.astype(x.dtype, copy=False)


def conv2d_input_grad(
    g: np.ndarray,
    w: np.ndarray,
    input_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """The gradient of `conv2d` in x, of shape ``input_shape``, for g, the gradient of y."""
    top, bottom, left, right = padding
    n, channels, height, width = input_shape
    filters = _split(w, groups)
    g = _grouped(g, groups)
    padded = xp(g).zeros(
        (n, groups, channels // groups, height + top + bottom, width + left + right), _wide(g)
    )
    for r, s, there in _taps(w.shape[2:], g.shape[3:], stride, dilation):
        padded[there] += _sum("ngoij,goc->ngcij", g, filters[..., r, s])
    dx = pad(padded.reshape(n, channels, *padded.shape[3:]), (-top, -bottom, -left, -right))
    return dx.astype(g.dtype, copy=False)


def conv2d_weight_grad(
    g: np.ndarray,
    x: np.ndarray,
    weight_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> np.ndarray:
    """The gradient of `conv2d` in w, of shape ``weight_shape``, for g, the gradient of y."""
    padded = _grouped(pad(x, padding), groups)
    g = _grouped(g, groups)
    dw = xp(g).empty((groups, g.shape[2], *weight_shape[1:]), _wide(g))
    for r, s, there in _taps(weight_shape[2:], g.shape[3:], stride, dilation):
        dw[..., r, s] = _sum("ngoij,ngcij->goc", g, padded[there])
    return dw.reshape(weight_shape).astype(g.dtype, copy=False)


def conv2d_grads(
    g: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: Needs = (True, True, True),
) -> Grads:
    """The gradients of `conv2d` in x, w and bias, those that are needed.

    A variant may leave out zeros of g: zero times infinity is then zero.
    """
    how = stride, padding, dilation, groups
    return (
        conv2d_input_grad(g, w, x.shape, *how) if needs[0] else None,
        conv2d_weight_grad(g, x, w.shape, *how) if needs[1] else None,
        g.sum((0, 2, 3), dtype=_wide(g)).astype(g.dtype, copy=False) if needs[2] else None,
    )


# --------------------------------------------------------------------------- with pooling


def conv2d_relu_max_pool2d(
    x: np.ndarray,
    w: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each window of 2 by 2 of relu(`conv2d`), (n, o, height // 2, width // 2).

    And where it is in its window, uint8 of the same shape: 0, 1 in the upper row, 2, 3 in the
    lower one, or NO_GRADIENT. As in max_pool2d, the first of equal numbers counts, and the
    last NaN as the largest.
    """
    rectified = conv2d(x, w, bias, stride, padding, dilation, groups, True)
    height, width = rectified.shape[2:]
    size = height // 2, width // 2
    y, indices = max_pool2d(rectified, (2, 2), (2, 2), (0, 0), (1, 1), size)
    place = indices // width % 2 * 2 + indices % width % 2
    return y, xp(y).where(y <= 0, NO_GRADIENT, place).astype(np.uint8)


def conv2d_relu_max_pool2d_grad(
    g: np.ndarray,
    code: np.ndarray,
    x: np.ndarray,
    w: np.ndarray,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: Needs = (True, True, True),
) -> Grads:
    """As `conv2d_grads`, for g, the gradient of `conv2d_relu_max_pool2d`, and its places."""
    size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    spread = xp(g).zeros((*g.shape[:2], *size), g.dtype)
    height, width = 2 * g.shape[2], 2 * g.shape[3]
    for place in range(NO_GRADIENT):
        there = slice(place // 2, height, 2), slice(place % 2, width, 2)
        spread[(..., *there)] = xp(g).where(code == place, g, g.dtype.type(0))
    return conv2d_grads(spread, x, w, stride, padding, dilation, groups, needs)


def _grouped(x: np.ndarray, groups: int) -> np.ndarray:
    return x.reshape(len(x), groups, x.shape[1] // groups, *x.shape[2:])


def _split(w: np.ndarray, groups: int) -> np.ndarray:
    return w.reshape(groups, len(w) // groups, *w.shape[1:])


def _taps(kernel: tuple, size: tuple, stride: Pair, dilation: Pair):
    """Each tap (r, s) of the filter, and where in the padded input all outputs meet it."""
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            top, left = r * dilation[0], s * dilation[1]
            rows = slice(top, top + (size[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (size[1] - 1) * stride[1] + 1, stride[1])
            yield r, s, (..., rows, columns)


def _wide(x: np.ndarray) -> np.dtype:
    """The dtype to add up in: float32 for float16."""
    return np.result_type(x.dtype, np.float32)


def _sum(terms: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return xp(a).einsum(terms, a.astype(_wide(a)), b.astype(_wide(b)), optimize=True)
