"""Convolution on a GPU: which kernels run, on which memory."""

from __future__ import annotations

import math
from typing import Any

from minidl.kernels.conv import depthwise, direct, geometry, reference, tensor_cores
from minidl.kernels.conv.geometry import TENSOR_CORES, TENSOR_TILES, TILES, How, Launch
from minidl.kernels.conv.memory import axes, empty_like, flat, settled
from minidl.kernels.conv.parts import sum_of_parts
from minidl.kernels.conv.reference import Grads, Needs, Padding, Pair, output_size
from minidl.kernels.cuda import FLOATING, Source, ctype
from minidl.kernels.cuda.tensor_cores import variants
from minidl.kernels.launch import contiguous, launch, planned
from minidl.kernels.reduce.cuda import reduce_sum

_source = Source(
    __file__,
    "conv.cu",
    [{"ELEMENT": ctype(name), **tile.definitions} for name in TILES for tile in TILES[name]]
    + variants(TENSOR_TILES),
)


@planned
def conv2d(
    x: Any,
    w: Any,
    bias: Any | None,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    relu: bool = False,
) -> Any:
    """See `minidl.kernels.conv.reference.conv2d`."""
    shape = len(x), len(w), *output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    if not _covered(x, w, shape, padding, groups):
        return reference.conv2d(x, w, bias, stride, padding, dilation, groups, relu)
    x, w, bias = settled(x), settled(w), None if bias is None else contiguous(bias)
    y, how = empty_like(x, shape), How(stride, padding, dilation, groups)
    if depthwise.suits(w.shape, groups):
        depthwise.conv2d(x, w, bias, y, how, relu)
        return y
    numbers = x.dtype.name
    if tensor_cores.suit(groups, x):
        x, w, numbers = tensor_cores.channels_last(x), tensor_cores.channels_last(w), TENSOR_CORES
    elif direct.suits(x, w.shape, shape[2:], how):
        direct.conv2d(x, contiguous(w), bias, y, how, relu)
        return y
    _correlate(x, w, bias, y, geometry.forward(axes(x), axes(w), axes(y), how, relu, numbers))
    return y


@planned
def conv2d_input_grad(
    g: Any,
    w: Any,
    input_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Any:
    """See `minidl.kernels.conv.reference.conv2d_input_grad`."""
    if not _covered(g, w, input_shape, padding, groups):
        return reference.conv2d_input_grad(g, w, input_shape, stride, padding, dilation, groups)
    g, w = settled(g), settled(w)
    dx, how = empty_like(g, input_shape), How(stride, padding, dilation, groups)
    if depthwise.suits(w.shape, groups):
        depthwise.conv2d_input_grad(g, w, dx, how)
        return dx
    numbers = g.dtype.name
    if tensor_cores.suit(groups, g):
        g, numbers = tensor_cores.channels_last(g), TENSOR_CORES
        w = tensor_cores.channels_last(w.swapaxes(0, 1)).swapaxes(0, 1)
    elif direct.suits_input_grad(g, w.shape, input_shape[2:], how):
        direct.conv2d_input_grad(g, contiguous(w), dx, how)
        return dx
    launches, complete = geometry.backward(axes(g), axes(w), axes(dx), how, numbers)
    if not complete:
        launch(dx.fill, 0)  # some inputs are seen by no output
    for part in launches:
        _correlate(g, w, None, dx, part)
    return dx


@planned
def conv2d_weight_grad(
    g: Any,
    x: Any,
    weight_shape: tuple[int, int, int, int],
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Any:
    """See `minidl.kernels.conv.reference.conv2d_weight_grad`."""
    if not _covered(g, x, weight_shape, padding, groups):
        return reference.conv2d_weight_grad(g, x, weight_shape, stride, padding, dilation, groups)
    g, x, how = settled(g), settled(x), How(stride, padding, dilation, groups)
    if depthwise.suits(weight_shape, groups):
        return depthwise.conv2d_weight_grad(g, x, weight_shape, how)
    if tensor_cores.suit(groups, g, x):
        return _weight_grad_on_tensor_cores(g, x, weight_shape, how)
    if direct.suits_weight_grad(g, x, weight_shape, how):
        return direct.conv2d_weight_grad(g, x, weight_shape, how)
    launch = geometry.weight_grad(axes(g), axes(x), weight_shape, how, g.dtype.name)
    return _weight_grad(g, x, weight_shape, groups, launch)


@planned
def conv2d_grads(
    g: Any,
    x: Any,
    w: Any,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    needs: Needs = (True, True, True),
) -> Grads:
    """See `minidl.kernels.conv.reference.conv2d_grads`."""
    how = stride, padding, dilation, groups
    return (
        conv2d_input_grad(g, w, x.shape, *how) if needs[0] else None,
        conv2d_weight_grad(g, x, w.shape, *how) if needs[1] else None,
        reduce_sum(g, (0, 2, 3), False, g.dtype) if needs[2] else None,
    )


def _weight_grad_on_tensor_cores(g: Any, x: Any, weight_shape: tuple, how: How) -> Any:
    g, x = tensor_cores.channels_last(g), tensor_cores.channels_last(x)
    filters, channels, height, width = weight_shape
    padded = g.shape[1], x.shape[1] // how.groups, height, width
    launch = geometry.weight_grad(axes(g), axes(x), padded, how, TENSOR_CORES)
    last = padded[0], height, width, padded[1]
    dw = _weight_grad(g, x, last, how.groups, launch).transpose(0, 3, 1, 2)
    return contiguous(dw[:filters, :channels])


def _weight_grad(g: Any, x: Any, shape: tuple, groups: int, launch: Launch) -> Any:
    """The gradient in the filters, its axes in the order in which taps are counted."""
    macros = {"ELEMENT": ctype(g.dtype), **launch.tile.definitions}
    kernel = _source.kernel("weight_grad", g, **macros)

    def compute(parts: Any) -> None:
        args = flat(g), flat(x), parts, groups, launch.part, launch.geometry
        kernel(launch.grid, (launch.tile.threads,), args)

    return sum_of_parts(_source, compute, g, shape, launch.parts, **macros)


def _correlate(x: Any, w: Any, bias: Any | None, y: Any, launch: Launch) -> None:
    """y = w x, and what comes after."""
    kernel = _source.kernel("correlate", x, ELEMENT=ctype(x.dtype), **launch.tile.definitions)
    args = flat(x), flat(w), bias, flat(y), launch.geometry
    kernel(launch.grid, (launch.tile.threads,), args)


_MOST_ELEMENTS, _MOST_ROWS, _MOST_GROUPS = 2**31 - 1, 2**15 - 1, 2**16 - 1


def _covered(a: Any, b: Any, shape: tuple[int, ...], padding: Padding, groups: int) -> bool:
    """Whether the kernels take this: floating point, not empty, and what they count in suffices."""
    sizes = a.size, b.size, math.prod(shape)
    rows = max(*a.shape[2:], *b.shape[2:], *shape[2:]) + sum(map(abs, padding))
    return (
        a.dtype in FLOATING
        and a.dtype == b.dtype
        and min(sizes) > 0
        and max(sizes) <= _MOST_ELEMENTS
        and rows <= _MOST_ROWS
        and groups <= _MOST_GROUPS
    )
