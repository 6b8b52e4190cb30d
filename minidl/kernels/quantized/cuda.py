"""Layers of 8-bit integers on a GPU; a linear layer is a convolution of pictures of one pixel."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from minidl.kernels.conv.reference import Padding, Pair, output_size
from minidl.kernels.cuda import Source, packed
from minidl.kernels.cuda.divisor import divisor
from minidl.kernels.launch import contiguous, empty, planned, unplanned
from minidl.kernels.quantized import reference

_source = Source(__file__, "quantized.cu", [{"ELEMENT": "float"}])
_THREADS = 256
_MOST = 2**31 - _THREADS  # threads and elements, which the kernels count by an int


@planned
def quantized_conv2d(
    x: Any,
    scale: Any,
    zero_point: Any,
    w: Any,
    w_scale: Any,
    bias: Any,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    after: int = reference.PLAIN,
) -> Any:
    """See `minidl.kernels.quantized.reference.quantized_conv2d`."""
    size = output_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    elements = max(x.size, len(x) * len(w) * math.prod(size))
    covered = x.dtype == np.float32 and x.size and elements <= _MOST
    if not covered or after == reference.POOL:
        how = stride, padding, dilation, groups, after
        args = x, scale, zero_point, w, w_scale, bias, *how
        return unplanned(reference.quantized_conv2d, *args)
    group, taps = w.shape[1], math.prod(w.shape[2:])
    blocks = -(-group // 4)
    pixels = empty((len(x), groups * blocks, *x.shape[2:]), np.int32, x)
    numbers = contiguous(scale), contiguous(zero_point)
    at = _pixels(math.prod(x.shape[2:]), blocks, group)
    _launch("pack_pixels", pixels.size, contiguous(x), *numbers, pixels, at)
    words, sums = empty((blocks * taps, len(w)), np.int32, x), empty(len(w), np.int32, x)
    _launch("pack_filters", len(w), contiguous(w), words, sums, group, taps)
    y = empty((len(x), len(w), *size), x.dtype, x)
    layer = _layer(
        x.shape[2:], size, len(w), w.shape[2:], stride, padding, dilation, groups, blocks
    )
    bias = None if bias is None else contiguous(bias)
    scales = contiguous(w_scale), w_scale.size
    _launch("correlate", y.size, pixels, words, sums, *numbers, *scales, bias, y, layer, int(after))
    return y


@planned
def quantized_linear(
    x: Any,
    scale: Any,
    zero_point: Any,
    w: Any,
    w_scale: Any,
    bias: Any,
    after: int = reference.PLAIN,
) -> Any:
    """See `minidl.kernels.quantized.reference.quantized_linear`."""
    pictures, filters = x.reshape(*x.shape, 1, 1), w.reshape(*w.shape, 1, 1)
    how = (1, 1), (0, 0, 0, 0), (1, 1), 1, after
    y = quantized_conv2d(pictures, scale, zero_point, filters, w_scale, bias, *how)
    return y.reshape(len(x), len(w))


def _launch(name: str, count: int, first: Any, *args: Any) -> None:
    """Run ``count`` threads, of which each knows that number."""
    kernel = _source.kernel(name, first, ELEMENT="float")
    kernel((-(-count // _THREADS),), (_THREADS,), (first, *args, count))


@functools.lru_cache(maxsize=256)
def _pixels(plane: int, blocks: int, group: int) -> np.ndarray:
    """The structure Pixels of CUDA C."""
    return packed(size=divisor(plane), blocks=divisor(blocks), group=np.int32(group))


@functools.lru_cache(maxsize=256)
def _layer(
    size: Pair,
    out: Pair,
    filters: int,
    kernel: Pair,
    stride: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
    blocks: int,
) -> np.ndarray:
    """The structure Layer of CUDA C."""
    pairs = {
        "size": size,
        "kernel": kernel,
        "stride": stride,
        "padding": (padding[0], padding[2]),
        "dilation": dilation,
    }
    return packed(
        width=divisor(out[1]),
        height=divisor(out[0]),
        filters=divisor(filters),
        per_group=divisor(filters // groups),
        **{name: np.array(pair, np.int32) for name, pair in pairs.items()},
        blocks=np.int32(blocks),
        groups=np.int32(groups),
    )
