"""Layers of 8-bit integers in Numba: what surrounds the loops.

Convolutions of every stride, padding, dilation and number of groups are flat correlations, see
`minidl.kernels.quantized.flat`. Inputs other than float32 take the reference. Packed weights are
kept, see `minidl.kernels.packs`.
"""

from __future__ import annotations

import math

import numpy as np

from minidl.kernels.conv.dense import SIMD, cropped, grid_of, no_bias
from minidl.kernels.conv.flat import tap_offsets
from minidl.kernels.conv.reference import Padding, Pair, output_size
from minidl.kernels.launch import contiguous, empty, launch, planned, unplanned
from minidl.kernels.packs import pack_of
from minidl.kernels.quantized import flat, reference, rows


@planned
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
    after: int = reference.PLAIN,
) -> np.ndarray:
    """See `minidl.kernels.quantized.reference.quantized_conv2d`."""
    how = stride, padding, dilation, groups
    if not _covered(x, w):
        args = x, scale, zero_point, w, w_scale, bias, *how, after
        return unplanned(reference.quantized_conv2d, *args)
    size = output_size(x.shape[2:], w.shape[2:], *how[:3])
    x, padding = cropped(x, padding)
    shape = (size[0] // 2, size[1] // 2) if after == reference.POOL else size
    y = empty((len(x), len(w), *shape), x.dtype)
    grid = grid_of(x.shape, size, (stride, padding, dilation, groups))
    blocks = -(-w.shape[1] // 4)
    area = math.prod(w.shape[2:])
    planes = flat.planes_of(len(w) // groups) * groups
    length = planes * blocks * area + len(w)
    packed = _packed(w, (groups,), length, flat.pack, w.reshape(-1), w.shape[1], area, groups)
    offsets = tap_offsets(blocks, *w.shape[2:], grid)[: blocks * area]
    numbers = _numbers(len(w), scale, zero_point, w_scale, bias)
    work = len(x) * size[0] * size[1] * packed.size // SIMD
    flat.correlate(
        work, x, *numbers[:3], packed, offsets, numbers[3], after, y.reshape(-1),
        w.shape[2:], size, groups, grid,
    )  # fmt: skip
    return y


@planned
def quantized_linear(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    w: np.ndarray,
    w_scale: np.ndarray,
    bias: np.ndarray | None,
    after: int = reference.PLAIN,
) -> np.ndarray:
    """See `minidl.kernels.quantized.reference.quantized_linear`."""
    if not _covered(x, w):
        args = x, scale, zero_point, w, w_scale, bias, after
        return unplanned(reference.quantized_linear, *args)
    x = contiguous(x)
    outputs, size = w.shape
    blocks = -(-size // 4)
    width = -(-outputs // rows.WIDTH) * rows.WIDTH
    packed = _packed(w, (), width * (blocks + 1), rows.pack, w)
    y = empty((len(x), outputs), x.dtype)
    numbers = _numbers(outputs, scale, zero_point, w_scale, bias)
    work = len(x) * width * blocks // SIMD
    rows.multiply(work, x, *numbers[:3], packed, numbers[3], after, y)
    return y


def _covered(x: np.ndarray, w: np.ndarray) -> bool:
    return bool(x.dtype == np.float32 and x.size and w.size and w.flags.c_contiguous)


def _packed(w: np.ndarray, key: tuple, length: int, pack, *args) -> np.ndarray:
    """Weights as a kernel wants them: kept ones if nobody has changed the weights since."""
    kept = pack_of(w, ("quantized", *key), 4 * length)
    if kept is None:
        packed = empty(length, np.int32)
        launch(pack, *args, packed)
        return packed
    packed = kept.numbers.view(np.int32)
    launch(kept.refresh, pack, *args, packed)
    return packed


def _numbers(
    outputs: int,
    scale: np.ndarray,
    zero_point: np.ndarray,
    w_scale: np.ndarray,
    bias: np.ndarray | None,
) -> tuple[np.ndarray, ...]:
    """Scale, zero point, scales of the outputs, and biases, as flat arrays."""
    if w_scale.ndim == 0:
        spread = empty(outputs, w_scale.dtype)
        launch(np.copyto, spread, w_scale)
        w_scale = spread
    bias = no_bias(outputs, w_scale.dtype) if bias is None else contiguous(bias)
    return scale.reshape(1), zero_point.reshape(1), contiguous(w_scale), bias
