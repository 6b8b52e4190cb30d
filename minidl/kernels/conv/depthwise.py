"""Depthwise convolution on a GPU: as many groups as channels."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minidl.kernels.conv.geometry import How
from minidl.kernels.conv.memory import Axes, axes, flat
from minidl.kernels.conv.parts import part_size, sum_of_parts
from minidl.kernels.cuda import FLOATING, Source, ctype, grid_for, integers, packed
from minidl.kernels.cuda.divisor import divisor

_source = Source(__file__, "depthwise.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256
_TAPS = 9
"""Taps of a block of ``depthwise_weight_grad``."""


def suits(weight_shape: tuple[int, ...], groups: int) -> bool:
    """Whether each filter sees one of several channels."""
    return groups > 1 and weight_shape[1] == 1


def conv2d(x: Any, w: Any, bias: Any | None, y: Any, how: How, relu: bool) -> None:
    """Fill y with the convolution; see `reference.conv2d`."""
    geometry = _geometry(axes(x), w.shape, axes(y), how, y.shape[1:], relu)
    kernel = _source.kernel("depthwise", x, ELEMENT=ctype(x.dtype))
    args = flat(x), flat(w), bias, flat(y), y.size, geometry
    kernel(grid_for(y.size, _THREADS), (_THREADS,), args)


def conv2d_input_grad(g: Any, w: Any, dx: Any, how: How) -> None:
    """Fill dx with the gradient in x."""
    geometry = _geometry(axes(dx), w.shape, axes(g), how, dx.shape[1:])
    kernel = _source.kernel("depthwise_input_grad", g, ELEMENT=ctype(g.dtype))
    args = flat(g), flat(w), flat(dx), dx.size, geometry
    kernel(grid_for(dx.size, _THREADS), (_THREADS,), args)


def conv2d_weight_grad(g: Any, x: Any, weight_shape: tuple[int, ...], how: How) -> Any:
    """The gradient in the filters."""
    geometry = _geometry(axes(x), weight_shape, axes(g), how, (1, *g.shape[2:]))
    filters, _, *kernel_size = weight_shape
    blocks = -(-math.prod(kernel_size) // _TAPS)
    positions = g.size // filters
    part = part_size(positions, filters * blocks, 65535)
    kernel = _source.kernel("depthwise_weight_grad", g, ELEMENT=ctype(g.dtype))
    parts = -(-positions // part)

    def compute(sums: Any) -> None:
        args = flat(g), flat(x), sums, positions, part, geometry
        kernel((filters, blocks, parts), (_THREADS,), args)

    return sum_of_parts(_source, compute, g, weight_shape, parts, ELEMENT=ctype(g.dtype))


@functools.lru_cache(1024)
def _geometry(
    x: Axes,
    weight_shape: tuple[int, ...],
    y: Axes,
    how: How,
    indexed: tuple[int, int, int],
    relu: bool = False,
) -> np.ndarray:
    """The structure ``Depthwise`` of `depthwise.cu`; threads count channels, rows, columns."""
    top, _, left, _ = how.padding
    return packed(
        per_channel=divisor(weight_shape[0] // how.groups),
        **integers(
            kernel=weight_shape[2:],
            size=x.shape[2:],
            out=y.shape[2:],
            stride=how.stride,
            before=(top, left),
            dilation=how.dilation,
        ),
        step=np.stack([divisor(step) for step in how.stride]),
        indexed=np.stack([divisor(count) for count in indexed]),
        **integers(x=x.strides, y=y.strides, relu=relu),
    )
