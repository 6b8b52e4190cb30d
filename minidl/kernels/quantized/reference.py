"""Numbers as 8-bit integers, the definition, and layers that compute with them.

A real number x stands for the integer ``q = round(x / scale) + zero_point``, to the nearest, ties
to even, held within -128 and 127; and q for ``(q - zero_point) * scale``. These are QuantizeLinear
and DequantizeLinear of ONNX (https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html), and the
scheme of https://arxiv.org/abs/1712.05877. NaN becomes -128.

Scales and zero points are arrays: float32 and int8, of no dimensions or, for weights, one number
for each output (their zero point is 0).
"""

from __future__ import annotations

import numpy as np

from minidl.backend import xp
from minidl.kernels.conv.reference import Padding, Pair, conv2d
from minidl.kernels.pool.reference import max_pool2d

LEAST, MOST = -128, 127

PLAIN, RELU, POOL = range(3)
"""What comes after a layer: nothing, ReLU, or ReLU and maximum pooling of 2 by 2."""

_WINDOWS = (2, 2), (2, 2), (0, 0), (1, 1)


def along(values: np.ndarray, axis: int | None, ndim: int) -> np.ndarray:
    """One value for each place along ``axis``, in a shape that broadcasts; one for all if None."""
    if axis is None:
        return values
    return values.reshape([-1 if i == axis % ndim else 1 for i in range(ndim)])


def quantize(
    x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int | None = None
) -> np.ndarray:
    """The integers that floats stand for, int8."""
    scale, zero_point = (along(each, axis, x.ndim) for each in (scale, zero_point))
    q = xp(x).rint(x / scale) + zero_point.astype(x.dtype)
    return xp(x).where(q > LEAST, xp(x).minimum(q, MOST), LEAST).astype(np.int8)


def dequantize(
    q: np.ndarray, scale: np.ndarray, zero_point: np.ndarray, axis: int | None = None
) -> np.ndarray:
    """The numbers that int8 integers stand for, of the scale's dtype."""
    scale, zero_point = (along(each, axis, q.ndim) for each in (scale, zero_point))
    return (q.astype(np.int32) - zero_point.astype(np.int32)).astype(scale.dtype) * scale


def quantized_conv2d(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    w: np.ndarray,
    w_scale: np.ndarray,
    bias: np.ndarray | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    after: int = PLAIN,
) -> np.ndarray:
    """The convolution of x (n, c, h, w), made integers, with int8 w (o, c / groups, r, s).

    The products are added up as whole numbers; ``w_scale`` is (o,), or of no dimensions.
    ``after`` says what comes after.
    """
    sums = conv2d(_whole(x, scale, zero_point), _floats(w), None, stride, padding, dilation, groups)
    y = _scaled(sums, x, scale, w_scale, bias, (-1, 1, 1), after != PLAIN)
    if after != POOL:
        return y
    return max_pool2d(y, *_WINDOWS, (y.shape[2] // 2, y.shape[3] // 2))[0]


def quantized_linear(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    w: np.ndarray,
    w_scale: np.ndarray,
    bias: np.ndarray | None,
    after: int = PLAIN,
) -> np.ndarray:
    """The product of x (n, k), made integers, with int8 w (o, k), as `quantized_conv2d`."""
    sums = _whole(x, scale, zero_point) @ _floats(w).T
    return _scaled(sums, x, scale, w_scale, bias, (-1,), after == RELU)


def _whole(x: np.ndarray, scale: np.ndarray, zero_point: np.ndarray) -> np.ndarray:
    """The integers of x, counted from the zero point."""
    return _floats(quantize(x, scale, zero_point)) - _floats(zero_point)


def _floats(q: np.ndarray) -> np.ndarray:
    """Integers as float64, in which sums below 2**53 are exact and products have a BLAS."""
    return q.astype(np.float64)


def _scaled(
    sums: np.ndarray,
    x: np.ndarray,
    scale: np.ndarray,
    w_scale: np.ndarray,
    bias: np.ndarray | None,
    shape: tuple[int, ...],
    relu: bool,
) -> np.ndarray:
    """What sums of products of integers stand for, plus the bias; one rounding each."""
    factor = xp(x).broadcast_to(scale * w_scale, (sums.shape[1],)).astype(x.dtype)
    y = sums.astype(x.dtype) * factor.reshape(shape)
    y = y if bias is None else y + bias.reshape(shape)
    return xp(x).maximum(y, 0) if relu else y
