"""Normalisation: by channel over a batch, by group of channels, by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minidl import kernels
from minidl.autograd import change, describe, fused, op
from minidl.kernels.launch import planned
from minidl.ops.elementwise import rsqrt
from minidl.ops.reduce import mean, sum
from minidl.ops.shape import reshape

# --------------------------------------------------------------------------- building blocks


def _other_dims(x: Any) -> tuple[int, ...]:
    """All dimensions but that of the channels."""
    return (0, *range(2, len(x.shape)))


def _along_channels(values: Any, x: Any) -> Any:
    """One value per channel, in a shape that broadcasts against ``x``."""
    return reshape(values, (1, -1) + (1,) * (len(x.shape) - 2))


def _normalize_composed(input: Any, weight: Any, bias: Any, eps: float) -> tuple[Any, Any, Any]:
    dims, channels = _other_dims(input), (input.shape[1],)
    centre = mean(input, dims, True)
    centred = input - centre
    variance = mean(centred * centred, dims, True)
    y = centred * rsqrt(variance + eps)
    if weight is not None:
        y = y * _along_channels(weight, input)
    if bias is not None:
        y = y + _along_channels(bias, input)
    return y, reshape(centre, channels), reshape(variance, channels)


def _group_normalize_composed(input: Any, weight: Any, bias: Any, groups: int, eps: float) -> Any:
    length = math.prod(input.shape[1:]) // groups
    rows = reshape(input, (input.shape[0], groups, length))
    centred = rows - mean(rows, 2, True)
    variance = mean(centred * centred, 2, True)
    y = reshape(centred * rsqrt(variance + eps), input.shape)
    y = y if weight is None else y * _along_channels(weight, input)
    return y if bias is None else y + _along_channels(bias, input)


@fused(reference=_normalize_composed)
@planned
def _normalize(input, weight, bias, eps):
    """(x - mean) / sqrt(var + eps) * weight + bias by channel; also mean and biased variance."""
    y, centre, variance, rstd = kernels.normalize(input, weight, bias, eps)
    return (y, centre, variance), (centre, rstd)


@_normalize.backward("input", "weight", "bias")
@planned
def _(g, residuals, input, weight, _bias, _eps):
    return kernels.normalize_grad(g, input, *residuals, weight)


@fused(reference=_group_normalize_composed)
@planned
def _group_normalize(input, weight, bias, groups, eps):
    """(x - mean) / sqrt(var + eps) * weight + bias by group of channels in each sample."""
    y, *residuals = kernels.group_normalize(input, weight, bias, groups, eps)
    return y, residuals


@_group_normalize.backward("input", "weight", "bias")
@planned
def _(g, residuals, input, weight, _bias, groups, _eps):
    return kernels.group_normalize_grad(g, input, *residuals, weight, groups)


@op
@planned
def _scale_shift(input, scale, shift):
    """x * scale + shift by channel; ``shift`` may be None."""
    return kernels.scale_shift(input, scale, shift)


@op
@planned
def _channel_dot(grad, input):
    """The sum of g * x over each channel: the gradient of `_scale_shift` in its scale."""
    return kernels.channel_dot(grad, input)


_scale_shift.vjp(
    lambda g, _y, _x, scale, _shift: _scale_shift(g, scale, None),
    lambda g, _y, x, _scale, _shift: _channel_dot(g, x),
    lambda g, _y, _x, _scale, _shift: sum(g, _other_dims(_x)),
)
_channel_dot.vjp(
    lambda gg, _y, _g, x: _scale_shift(x, gg, None),
    lambda gg, _y, g, _x: _scale_shift(g, gg, None),
)


# --------------------------------------------------------------------------- checks


def _check_input(name: str, input: Any, least: int) -> None:
    if input.dtype.kind != "f":
        raise TypeError(f"{name}({describe([input])}): input must be floating point")
    if input.ndim < least:
        raise ValueError(f"{name}({describe([input])}): input needs at least {least} dimensions")


def _check_shapes(name: str, input: Any, shape: tuple[int, ...], **tensors: Any) -> None:
    for argument, tensor in tensors.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise ValueError(
                f"{name}({describe([input])}): {argument} must have shape {list(shape)}, "
                f"got {list(tensor.shape)}"
            )


# --------------------------------------------------------------------------- batch norm


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias for each channel of (N, C, ...).

    In training, mean and biased variance are those of the batch, and ``running = (1 -
    momentum) * running + momentum * batch`` moves the running ones in place, with the
    unbiased variance. Otherwise the running ones are used.

    Parameters
    ----------
    input : Tensor
        Shape (N, C, ...).
    running_mean, running_var : Tensor or None
        Shape (C,); in training they may be None.
    weight, bias : Tensor, optional
        Shape (C,).

    Raises
    ------
    ValueError
        For shapes that do not fit, a batch with one value per channel in training, or no
        running statistics otherwise.

    Notes
    -----
    Source: https://arxiv.org/abs/1502.03167
    """
    _check_input("batch_norm", input, 2)
    _check_shapes(
        "batch_norm",
        input,
        (input.shape[1],),
        running_mean=running_mean,
        running_var=running_var,
        weight=weight,
        bias=bias,
    )
    if not training:
        return _with_running_statistics(input, running_mean, running_var, weight, bias, eps)
    count = input.shape[0] * math.prod(input.shape[2:])
    if count == 1:
        raise ValueError(
            f"batch_norm({describe([input])}): in training a channel needs more than one value"
        )
    y, centre, variance = _normalize(input, weight, bias, eps)
    if count:
        _move_running(centre, variance, running_mean, running_var, momentum, count)
    return y


def _with_running_statistics(
    input: Any, running_mean: Any, running_var: Any, weight: Any, bias: Any, eps: float
) -> Any:
    if running_mean is None or running_var is None:
        raise ValueError(
            f"batch_norm({describe([input])}): without training=True it needs running_mean "
            "and running_var"
        )
    scale = rsqrt(running_var + eps)
    if weight is not None:
        scale = scale * weight
    shift = -running_mean * scale
    return _scale_shift(input, scale, shift if bias is None else shift + bias)


def _move_running(
    centre: Any, variance: Any, running_mean: Any, running_var: Any, momentum: float, count: int
) -> None:
    """The running statistics a step of ``momentum`` towards the batch's, out of the graph."""
    running = running_mean, running_var
    arrays = (None if tensor is None else tensor.array for tensor in running)
    statistics = centre.array, variance.array, *arrays
    change("move_running", kernels.move_running, *statistics, momentum, count)
    for tensor in running:
        if tensor is not None:
            tensor.version[0] += 1


# --------------------------------------------------------------------------- within a sample


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions.

    ``normalized_shape`` are their sizes, and the shape of ``weight`` and ``bias``;
    ValueError if the input does not end with them.
    Source: https://arxiv.org/abs/1607.06450
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    _check_input("layer_norm", input, 1)
    if not shape or tuple(input.shape[-len(shape) :]) != shape:
        raise ValueError(
            f"layer_norm({describe([input])}): the last dimensions must be {list(shape)}"
        )
    _check_shapes("layer_norm", input, shape, weight=weight, bias=bias)
    length = math.prod(shape)
    rows = reshape(input, (math.prod(input.shape[: -len(shape)]), length))
    flat = (None if tensor is None else reshape(tensor, (length,)) for tensor in (weight, bias))
    return reshape(_group_normalize(rows, *flat, 1, eps), input.shape)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over each of ``num_groups`` of the channels.

    ``input`` is (N, C, ...), ``weight`` and ``bias`` are (C,); ValueError if the groups do
    not divide the channels.
    Source: https://arxiv.org/abs/1803.08494
    """
    _check_input("group_norm", input, 2)
    channels = input.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"group_norm({describe([input])}): {channels} channels cannot be divided into "
            f"{num_groups} equal groups"
        )
    _check_shapes("group_norm", input, (channels,), weight=weight, bias=bias)
    return _group_normalize(input, weight, bias, num_groups, eps)
