"""Configurations of convolution and pooling, with inputs large enough for one window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from minidl.testing.strategies.arrays import Shape


@dataclass(frozen=True)
class ConvConfiguration:
    """The shapes and options of one convolution; ``options`` are its keyword arguments."""

    input_shape: Shape
    weight_shape: Shape
    bias_shape: Shape
    options: dict[str, Any]


@dataclass(frozen=True)
class PoolConfiguration:
    """The input's shape and the options of one pooling; ``options`` includes kernel_size."""

    input_shape: Shape
    options: dict[str, Any]


@st.composite
def conv_configurations(
    draw: Callable, ndim: int = 2, max_batch: int = 2, max_channels: int = 2, max_kernel: int = 3
) -> ConvConfiguration:
    """Convolutions over ``ndim`` dimensions; ``max_channels`` counts channels per group."""
    groups = draw(st.integers(1, 3))
    cin = groups * draw(st.integers(1, max_channels))
    cout = groups * draw(st.integers(1, max_channels))
    kernel = draw(_sides(ndim, 1, max_kernel))
    dilation = draw(_sides(ndim, 1, 2))
    padding = draw(st.sampled_from(["valid", "same"]) | _one_or_each(ndim, 0, 2))
    stride = 1 if padding == "same" else draw(_one_or_each(ndim, 1, 3))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    added = [0] * ndim if isinstance(padding, str) else [2 * p for p in _each(padding, ndim)]
    size = tuple(draw(_fitting(max(1, e - a))) for e, a in zip(extent, added))
    return ConvConfiguration(
        (draw(st.integers(1, max_batch)), cin, *size),
        (cout, cin // groups, *kernel),
        (cout,),
        {
            "stride": stride,
            "padding": padding,
            "dilation": draw(_shortened(dilation)),
            "groups": groups,
        },
    )


@st.composite
def conv_transpose_configurations(
    draw: Callable, ndim: int = 2, max_batch: int = 2, max_channels: int = 2, max_kernel: int = 3
) -> ConvConfiguration:
    """Transposed convolutions over ``ndim`` dimensions, with a result that is not empty."""
    groups = draw(st.integers(1, 3))
    cin = groups * draw(st.integers(1, max_channels))
    cout = draw(st.integers(1, max_channels))
    kernel = draw(_sides(ndim, 1, max_kernel))
    dilation = draw(_sides(ndim, 1, 2))
    stride = draw(_sides(ndim, 1, 3))
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    padding = tuple(draw(st.integers(0, (e - 1) // 2)) for e in extent)
    output_padding = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation))
    size = draw(_sides(ndim, 1, 4))
    return ConvConfiguration(
        (draw(st.integers(1, max_batch)), cin, *size),
        (cin, cout, *kernel),
        (cout * groups,),
        {
            "stride": draw(_shortened(stride)),
            "padding": draw(_shortened(padding)),
            "output_padding": draw(_shortened(output_padding)),
            "groups": groups,
            "dilation": draw(_shortened(dilation)),
        },
    )


@st.composite
def pool_configurations(
    draw: Callable,
    ndim: int = 2,
    dilated: bool = True,
    max_batch: int = 2,
    max_channels: int = 3,
    max_kernel: int = 3,
) -> PoolConfiguration:
    """Poolings over ``ndim`` dimensions; ``dilated=False`` for those without a dilation."""
    kernel = draw(_sides(ndim, 1, max_kernel))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(_sides(ndim, 1, 2)) if dilated else (1,) * ndim
    extent = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    size = tuple(draw(_fitting(max(1, e - 2 * p))) for e, p in zip(extent, padding))
    options = {
        "kernel_size": draw(_shortened(kernel)),
        "stride": draw(st.none() | _one_or_each(ndim, 1, 3)),
        "padding": draw(_shortened(padding)),
        "ceil_mode": draw(st.booleans()),
    }
    if dilated:
        options["dilation"] = draw(_shortened(dilation))
    shape = (draw(st.integers(1, max_batch)), draw(st.integers(1, max_channels)), *size)
    return PoolConfiguration(shape, options)


def _sides(ndim: int, low: int, high: int) -> st.SearchStrategy:
    return st.tuples(*[st.integers(low, high)] * ndim)


def _one_or_each(ndim: int, low: int, high: int) -> st.SearchStrategy:
    """A number for all dimensions, or a tuple."""
    return st.integers(low, high) | _sides(ndim, low, high)


def _each(value: int | tuple, ndim: int) -> tuple:
    return (value,) * ndim if isinstance(value, int) else value


def _shortened(values: tuple) -> st.SearchStrategy:
    """``values``, or the one number where they are all the same."""
    return st.sampled_from([values[0], values]) if len(set(values)) == 1 else st.just(values)


def _fitting(smallest: int) -> st.SearchStrategy:
    """A side of ``smallest`` or a little more."""
    return st.integers(smallest, smallest + 4)
