"""Convolution: three bilinear operators, each one's gradients are the other two.

For a fixed stride, padding, dilation and number of groups, ``<g, conv2d(x, w)>`` is one
number that is linear in the result's gradient g, the input x and the filters w. So::

    conv2d(x, w)               its gradient in x is input_grad(g, w), in w weight_grad(g, x)
    conv2d_input_grad(g, w)    its gradient in g is conv2d(x, w), in w weight_grad(g, x)
    conv2d_weight_grad(g, x)   its gradient in g is conv2d(x, w), in x input_grad(g, w)

and derivatives of every order stay among these. The transposed convolution is the input
gradient under another name, and one dimension is two of which one has size 1.

Sizes and arguments are PyTorch's: https://pytorch.org/docs/stable/generated/torch.nn.Conv2d.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import kernels
from minidl.autograd import is_grad_enabled, op
from minidl.kernels.launch import planned
from minidl.kernels.packs import watch
from minidl.ops.activation import relu_grad
from minidl.ops.pair import Pair, Sizes, pair, single
from minidl.ops.reduce import sum
from minidl.ops.shape import reshape, squeeze, unsqueeze

# --------------------------------------------------------------------------- operators


@op
@planned
def _conv2d(input, weight, bias, stride, padding, dilation, groups):
    """The convolution; ``padding`` is (top, bottom, left, right), < 0 cuts off."""
    check_shapes(input.shape, weight.shape, padding, dilation, groups)
    _check_bias_and_dtypes(input, weight, bias, weight.shape[0])
    return kernels.conv2d(input, weight, bias, stride, padding, dilation, groups)


@op
@planned
def _conv2d_input_grad(grad, weight, shape, stride, padding, dilation, groups):
    """The gradient of `_conv2d` in its input, which has this shape."""
    return kernels.conv2d_input_grad(grad, weight, shape, stride, padding, dilation, groups)


@op
@planned
def _conv2d_weight_grad(grad, input, shape, stride, padding, dilation, groups):
    """The gradient of `_conv2d` in its weight, which has this shape."""
    return kernels.conv2d_weight_grad(grad, input, shape, stride, padding, dilation, groups)


@op
@planned
def _rectified_conv2d(input, weight, bias, stride, padding, dilation, groups):
    """relu of the convolution in one kernel; `_rectified` is to take it and see to the gradient."""
    check_shapes(input.shape, weight.shape, padding, dilation, groups)
    _check_bias_and_dtypes(input, weight, bias, weight.shape[0])
    return kernels.conv2d(input, weight, bias, stride, padding, dilation, groups, True)


@op
def _rectified(y):
    """relu of what is not negative, and of no use elsewhere: y itself, with relu's gradient."""
    return y


_rules = (
    lambda g, _y, _x, w, _b, *how: _conv2d_input_grad(g, w, _x.shape, *how),
    lambda g, _y, x, _w, _b, *how: _conv2d_weight_grad(g, x, _w.shape, *how),
    lambda g, _y, _x, _w, _b, *_how: sum(g, (0, 2, 3)),
)
_conv2d.vjp(*_rules)
_rectified_conv2d.vjp(*_rules)


@_conv2d.vjp_kernel
@_rectified_conv2d.vjp_kernel
@planned
def _gradients(g, _y, input, weight, _bias, stride, padding, dilation, groups, wanted):
    return kernels.conv2d_grads(g, input, weight, stride, padding, dilation, groups, wanted)


_rectified.vjp(lambda g, y, _x: relu_grad(g, y))
_conv2d_input_grad.vjp(
    lambda g, _y, _grad, w, _shape, *how: _conv2d(g, w, None, *how),
    lambda g, _y, grad, _w, _shape, *how: _conv2d_weight_grad(grad, g, _w.shape, *how),
)
_conv2d_weight_grad.vjp(
    lambda g, _y, _grad, x, _shape, *how: _conv2d(x, g, None, *how),
    lambda g, _y, grad, _x, _shape, *how: _conv2d_input_grad(grad, g, _x.shape, *how),
)


# --------------------------------------------------------------------------- functions


def conv2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Any:
    """Slide filters over pictures.

    ``y[n, o, i, j] = bias[o] + sum over c, r, s of
    weight[o, c, r, s] * x[n, c, i * stride + r * dilation - padding, ...]``, x being 0 outside.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one picture.
    weight : Tensor
        (O, C / groups, R, S). With groups, filter o sees only the channels of its group.
    bias : Tensor, optional
        (O,).
    stride, dilation : int or pair of int
        Steps between outputs, and between the filter's taps, in pixels.
    padding : int, pair of int, "valid" or "same"
        Zeros at each edge, in pixels. "same" keeps H and W, for stride 1; where the number
        of zeros is odd, the last one goes to the bottom or right.
    groups : int
        Must divide C and O.

    Returns
    -------
    Tensor
        (N, O, (H + 2 * padding - dilation * (R - 1) - 1) // stride + 1, ...), or without N.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or the filter does not fit into the padded picture.
    TypeError
        If the operands are not floating point of one dtype.
    """
    return _batched("conv2d", _conv2d, input, weight, bias, stride, padding, dilation, groups)


def conv2d_relu(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Any:
    """``relu(conv2d(...))`` in one kernel; the arguments are those of `conv2d`."""
    args = input, weight, bias, stride, padding, dilation, groups
    return _rectified(_batched("conv2d_relu", _rectified_conv2d, *args))


def _batched(
    name: str,
    op: Callable,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Sizes,
    padding: Sizes | str,
    dilation: Sizes,
    groups: int,
) -> Any:
    """``op`` with numbers as pairs, on a batch of one picture if there is no batch."""
    stride, dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    _check_dims(name, input, weight, 2)
    padding = padding_at_ends(padding, weight.shape[2:], stride, dilation)
    if not is_grad_enabled() and type(getattr(weight, "array", None)) is np.ndarray:
        watch(weight.array, weight.version)
    if input.ndim == 3:
        one = op(unsqueeze(input, 0), weight, bias, stride, padding, dilation, groups)
        return squeeze(one, 0)
    return op(input, weight, bias, stride, padding, dilation, groups)


def conv1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes | str = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> Any:
    """Slide filters over sequences: `conv2d` of height 1.

    ``input`` is (N, C, L) or (C, L), ``weight`` (O, C / groups, S), the result (N, O, L') or
    (O, L'); the other arguments are those of `conv2d`.
    """
    _check_dims("conv1d", input, weight, 1)
    if not isinstance(padding, str):
        padding = 0, single(padding, "padding", 0)
    stride = 1, single(stride, "stride", 1)
    dilation = 1, single(dilation, "dilation", 1)
    input, weight = unsqueeze(input, -2), unsqueeze(weight, -2)
    return squeeze(conv2d(input, weight, bias, stride, padding, dilation, groups), -2)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Any:
    """Every pixel lays down a filter, times its value, and the results add up.

    It is the gradient of `conv2d` in its input, plus a bias.

    Parameters
    ----------
    input : Tensor
        (N, C, H, W), or (C, H, W) for one picture.
    weight : Tensor
        (C, O / groups, R, S).
    bias : Tensor, optional
        (O,).
    stride, dilation : int or pair of int
        Steps between the places of neighbouring pixels, and between a filter's taps.
    padding : int or pair of int
        How many pixels to cut off at each edge of the result.
    output_padding : int or pair of int
        How many to keep of those at the bottom and right; smaller than stride or dilation.
    groups : int
        Must divide C and O.

    Returns
    -------
    Tensor
        (N, O, (H - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1, ...),
        or without N.

    Raises
    ------
    ValueError
        If shapes do not fit each other, or nothing is left of the result.
    TypeError
        If the operands are not floating point of one dtype.
    """
    _check_dims("conv_transpose2d", input, weight, 2)
    stride, dilation = pair(stride, "stride", 1), pair(dilation, "dilation", 1)
    padding = pair(padding, "padding", 0)
    extra = pair(output_padding, "output_padding", 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            f"conv_transpose2d: output_padding {extra} must be smaller than stride {stride} or "
            f"dilation {dilation}"
        )
    if input.ndim == 3:
        batch = unsqueeze(input, 0)
        result = conv_transpose2d(batch, weight, bias, stride, padding, extra, groups, dilation)
        return squeeze(result, 0)
    shape = _transposed_shape(input, weight, bias, stride, padding, extra, groups, dilation)
    # with that much less padding behind, conv2d leads from this shape exactly to the input's
    edges = padding[0], padding[0] - extra[0], padding[1], padding[1] - extra[1]
    result = _conv2d_input_grad(input, weight, shape, stride, edges, dilation, groups)
    return result if bias is None else result + reshape(bias, (-1, 1, 1))


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Any:
    """`conv_transpose2d` of height 1.

    ``input`` is (N, C, L) or (C, L), ``weight`` (C, O / groups, S), the result (N, O, L') or
    (O, L').
    """
    _check_dims("conv_transpose1d", input, weight, 1)
    stride = 1, single(stride, "stride", 1)
    padding = 0, single(padding, "padding", 0)
    extra = 0, single(output_padding, "output_padding", 0)
    dilation = 1, single(dilation, "dilation", 1)
    input, weight = unsqueeze(input, -2), unsqueeze(weight, -2)
    result = conv_transpose2d(input, weight, bias, stride, padding, extra, groups, dilation)
    return squeeze(result, -2)


# --------------------------------------------------------------------------- arguments


def padding_at_ends(padding: Sizes | str, kernel: Pair, stride: Pair, dilation: Pair) -> tuple:
    """The padding as (top, bottom, left, right)."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        if stride != (1, 1):
            raise ValueError(f"padding='same' needs stride 1, got {stride}")
        height, width = (d * (k - 1) for d, k in zip(dilation, kernel))
        return height // 2, height - height // 2, width // 2, width - width // 2
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'valid', 'same' or numbers, got {padding!r}")
    height, width = pair(padding, "padding", 0)
    return height, height, width, width


def _check_dims(name: str, input: Any, weight: Any, dims: int) -> None:
    if len(weight.shape) != dims + 2 or len(input.shape) not in (dims + 1, dims + 2):
        raise ValueError(
            f"{name}: wants an input of {dims + 2} dimensions (or {dims + 1} without batch) and a "
            f"weight of {dims + 2}, got shapes {input.shape} and {weight.shape}"
        )


@functools.lru_cache(maxsize=1024)
def check_shapes(
    input: tuple[int, ...], weight: tuple[int, ...], padding: tuple, dilation: Pair, groups: int
) -> None:
    """ValueError unless the shapes fit each other, and the filter into the padded picture."""
    if groups < 1 or weight[0] % groups:
        raise ValueError(f"groups={groups} does not divide the {weight[0]} filters")
    if input[1] != weight[1] * groups:
        raise ValueError(
            f"the weight is for {weight[1]} x {groups} channels (weight.shape[1] x groups), "
            f"the input has {input[1]}"
        )
    if not all(weight):
        raise ValueError("the weight is empty")
    room = input[2] + padding[0] + padding[1], input[3] + padding[2] + padding[3]
    span = tuple(d * (k - 1) + 1 for d, k in zip(dilation, weight[2:]))
    if span[0] > room[0] or span[1] > room[1]:
        raise ValueError(f"the dilated filter {span} is larger than the padded input {room}")


def _check_bias_and_dtypes(input: Any, weight: Any, bias: Any, filters: int) -> None:
    if bias is not None and bias.shape != (filters,):
        raise ValueError(f"bias must have shape ({filters},), got {bias.shape}")
    dtype = input.dtype
    alike = weight.dtype == dtype and (bias is None or bias.dtype == dtype)
    if dtype.kind != "f" or not alike:
        names = " and ".join(sorted({str(x.dtype) for x in (input, weight, bias) if x is not None}))
        raise TypeError(
            f"wants floating-point operands of one dtype, got {names}; convert with .to(dtype)"
        )


def _transposed_shape(
    input: Any,
    weight: Any,
    bias: Any,
    stride: Pair,
    padding: Pair,
    extra: Pair,
    groups: int,
    dilation: Pair,
) -> tuple[int, int, int, int]:
    """The shape of the transposed convolution's result; the errors of its operands."""
    given = f"conv_transpose2d(input {input.shape}, weight {weight.shape}): "
    if input.shape[1] != weight.shape[0] or groups < 1 or input.shape[1] % groups:
        raise ValueError(
            f"{given}weight.shape[0] must be the input's channels, and groups={groups} divide them"
        )
    if not all(weight.shape):
        raise ValueError(f"{given}the weight is empty")
    filters = weight.shape[1] * groups
    try:
        _check_bias_and_dtypes(input, weight, bias, filters)
    except (ValueError, TypeError) as error:
        raise type(error)(given + str(error)) from None
    height, width = (
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, k, s, p, d, e in zip(
            input.shape[2:], weight.shape[2:], stride, padding, dilation, extra
        )
    )
    if height < 1 or width < 1 or not all(input.shape[1:]):
        raise ValueError(f"{given}nothing is left of the result, its size is {height} x {width}")
    return input.shape[0], filters, height, width
