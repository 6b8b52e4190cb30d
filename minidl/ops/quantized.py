"""Layers that compute in 8-bit integers with 32-bit sums: floats in, floats out.

The input is made integers as `minidl.quantize` does it, the weights are already, and the sums of
their products are whole numbers: exact, in whatever order they are added up. A compiled step puts
ReLU and pooling that come behind into the layer: that is what the operators' last argument is for.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import is_grad_enabled, op
from minidl.backend import int8, is_array
from minidl.kernels.launch import contiguous, planned
from minidl.kernels.packs import watch
from minidl.kernels.quantized.reference import PLAIN
from minidl.ops.conv import check_shapes, padding_at_ends
from minidl.ops.pair import Sizes, pair
from minidl.ops.quantize import filled, parameters
from minidl.ops.shape import reshape

_MOST_PRODUCTS = 2**31 // (255 * 128)  # whose sum a 32-bit integer surely holds


@op
@planned
def _quantized_conv2d(
    input, scale, zero_point, weight, weight_scale, bias, stride, padding, dilation, groups, after
):
    weight_scale = _checked(input, weight, weight_scale, bias)
    if input.ndim != 4 or weight.ndim != 4:
        raise ValueError("wants an input (N, C, H, W) and a weight (O, C / groups, R, S)")
    check_shapes(input.shape, weight.shape, padding, dilation, groups)
    numbers = parameters(input, scale, zero_point, None)
    how = stride, padding, dilation, groups, after
    return kernels.quantized_conv2d(input, *numbers, weight, weight_scale, bias, *how)


@op
@planned
def _quantized_linear(input, scale, zero_point, weight, weight_scale, bias, after):
    weight_scale = _checked(input, weight, weight_scale, bias)
    if input.ndim != 2 or weight.ndim != 2 or input.shape[1] != weight.shape[1]:
        raise ValueError("wants an input of shape (..., in) and a weight of shape (out, in)")
    numbers = parameters(input, scale, zero_point, None)
    return kernels.quantized_linear(input, *numbers, weight, weight_scale, bias, after)


def _checked(input: Any, weight: Any, weight_scale: Any, bias: Any) -> Any:
    """The weight's scales as an array; the errors that both layers have in common."""
    if input.dtype.kind != "f" or weight.dtype != int8:
        raise TypeError(f"wants a floating-point input and an int8 weight, got {weight.dtype}")
    outputs = weight.shape[0]
    if not is_array(weight_scale):
        weight_scale = filled((), weight_scale, input.dtype, input)
    if weight_scale.shape not in ((), (outputs,)):
        raise ValueError(f"weight_scale must be one number or {outputs}")
    if bias is not None and (bias.shape != (outputs,) or bias.dtype != input.dtype):
        raise ValueError(f"the bias must have shape ({outputs},) and the input's dtype")
    products = math.prod(weight.shape[1:])
    if products > _MOST_PRODUCTS:
        raise ValueError(
            f"a sum of {products} products may not fit into 32 bits; {_MOST_PRODUCTS} do"
        )
    return contiguous(weight_scale, input.dtype)


def quantized_conv2d(
    input: Any,
    scale: Any,
    zero_point: Any,
    weight: Any,
    weight_scale: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Any:
    """A convolution in 8-bit integers; no gradient.

    ``y = sum((quantize(x) - zero_point) * weight) * (scale * weight_scale) + bias``, where the
    sum is that of `conv2d`, over whole numbers.

    Parameters
    ----------
    input : Tensor
        Floating point, (N, C, H, W).
    scale, zero_point : Tensor or number
        Of the input, see `quantize`.
    weight : Tensor
        int8, (O, C / groups, R, S), with a zero point of 0.
    weight_scale : Tensor
        Of no dimensions, or (O,).
    bias : Tensor, optional
        (O,).
    stride, padding, dilation, groups
        As for `conv2d`.

    Returns
    -------
    Tensor
        Of the input's dtype and the shape of `conv2d`'s result.

    Raises
    ------
    TypeError
        If the weight is not int8 or the input is not floating point.
    ValueError
        If shapes do not fit, or a sum might not fit into 32 bits.
    """
    stride, dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    padding = padding_at_ends(padding, weight.shape[2:], stride, dilation)
    _watch(weight)
    how = stride, padding, dilation, groups, PLAIN
    return _quantized_conv2d(input, scale, zero_point, weight, weight_scale, bias, *how)


def quantized_linear(
    input: Any, scale: Any, zero_point: Any, weight: Any, weight_scale: Any, bias: Any = None
) -> Any:
    """`linear` in 8-bit integers: ``sum((quantize(x) - zero_point) * weight)``, scaled, plus bias.

    ``input`` is (..., in), ``weight`` int8 (out, in), the result (..., out); the rest is as in
    `quantized_conv2d`.
    """
    _watch(weight)
    args = scale, zero_point, weight, weight_scale, bias, PLAIN
    if input.ndim == 2:
        return _quantized_linear(input, *args)
    rows = reshape(input, (math.prod(input.shape[:-1]), *input.shape[-1:]))
    return reshape(_quantized_linear(rows, *args), (*input.shape[:-1], weight.shape[0]))


def _watch(weight: Any) -> None:
    """Have kernels keep the packed weights of inference."""
    if not is_grad_enabled() and type(getattr(weight, "array", None)) is np.ndarray:
        watch(weight.array, weight.version)
