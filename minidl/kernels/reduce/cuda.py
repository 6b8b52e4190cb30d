"""Reductions on a GPU, without a copy of the array unless its axes are very mixed."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from minidl.kernels.cuda import FLOATING, Source, ctype, packed
from minidl.kernels.cuda.divisor import divisor
from minidl.kernels.launch import contiguous, empty, planned
from minidl.kernels.reduce import reference

_source = Source(__file__, "reduce.cu", [{"ELEMENT": ctype(dtype)} for dtype in FLOATING])
_THREADS = 256
_ENOUGH_BLOCKS = 8 * 132
"""As many as an H100 runs at one time. What a device has must not decide on the order of sums."""
_WARP = 32
_PACK_BYTES = 16
_PER_LANE = 16
"""How many elements a thread should have at least."""
_MOST = 2**30
"""Elements per output, and outputs: the kernel counts them by an int."""

Axes = tuple[int, ...]


@planned
def reduce_sum(x: Any, axes: Axes, keepdims: bool, dtype: np.dtype) -> Any:
    """See `minidl.kernels.reduce.reference.reduce_sum`."""
    if not _covered(x, axes) or dtype != x.dtype:
        return reference.reduce_sum(x, axes, keepdims, dtype)
    return _reduced("sum", x, axes, keepdims)


@planned
def reduce_mean(x: Any, axes: Axes, keepdims: bool, dtype: np.dtype) -> Any:
    """See `minidl.kernels.reduce.reference.reduce_mean`."""
    if not _covered(x, axes) or dtype != x.dtype:
        return reference.reduce_mean(x, axes, keepdims, dtype)
    return _reduced("sum", x, axes, keepdims, _count(x, axes))


@planned
def reduce_max(x: Any, axes: Axes, keepdims: bool) -> Any:
    """See `minidl.kernels.reduce.reference.reduce_max`."""
    if not _covered(x, axes) or not x.size:
        return reference.reduce_max(x, axes, keepdims)
    return _reduced("max", x, axes, keepdims)


@planned
def reduce_min(x: Any, axes: Axes, keepdims: bool) -> Any:
    """See `minidl.kernels.reduce.reference.reduce_min`."""
    if not _covered(x, axes) or not x.size:
        return reference.reduce_min(x, axes, keepdims)
    return _reduced("min", x, axes, keepdims)


def _covered(x: Any, axes: Axes) -> bool:
    reduced = _count(x, axes)
    return x.dtype in FLOATING and reduced <= _MOST and x.size <= _MOST * max(reduced, 1)


def _count(x: Any, axes: Axes) -> int:
    return math.prod(x.shape[axis] for axis in axes)


def _reduced(name: str, x: Any, axes: Axes, keepdims: bool, count: int = 1) -> Any:
    """The reduction ``name`` of x, divided by ``count``."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    result = empty(sizes if keepdims else [sizes[axis] for axis in kept], x.dtype, x)
    if not result.size:
        return result
    plan = _plan(x.shape, x.strides, axes, x.itemsize)
    if plan is None:
        x = contiguous(x.transpose(*kept, *axes)).reshape(result.size, -1)
        plan = _plan(x.shape, x.strides, (1,), x.itemsize)
    wide = np.promote_types(x.dtype, np.float32)
    parts = empty((result.size, plan.parts), wide, x) if plan.parts > 1 else None
    _launch(f"reduce_{name}", plan, x, parts, result, wide.type(count))
    if parts is not None:
        rows = _plan(parts.shape, parts.strides, (1,), parts.itemsize)
        _launch(f"{name}_of_parts", rows, parts, result, wide.type(count))
    return result


def _launch(name: str, plan: _Plan, x: Any, *args: Any) -> None:
    result = args[-2]
    kernel = _source.kernel(name, result, ELEMENT=ctype(result.dtype))
    kernel((plan.blocks, plan.parts), (_THREADS,), (x, *args, plan.layout))


# --------------------------------------------------------------------------- the plan


class _Plan(NamedTuple):
    """How the blocks share the work; ``layout`` is the structure Layout of CUDA C."""

    layout: np.ndarray
    blocks: int
    parts: int


class _Axis(NamedTuple):
    size: int
    stride: int  # in elements


@functools.lru_cache(maxsize=1024)
def _plan(shape: Axes, strides: Axes, axes: Axes, itemsize: int) -> _Plan | None:
    """How to reduce ``axes``; None if more than two axes are kept or reduced in the end."""
    every = [_Axis(size, stride // itemsize) for size, stride in zip(shape, strides)]
    kept = _joined([axis for place, axis in enumerate(every) if place not in axes])
    reduced = _joined(sorted((every[place] for place in axes), key=lambda axis: -abs(axis.stride)))
    if len(kept) > 2 or len(reduced) > 2:
        return None
    kept, reduced = ([_Axis(1, 0)] * (2 - len(part)) + part for part in (kept, reduced))
    outputs, count = (part[0].size * part[1].size for part in (kept, reduced))
    apart = [abs(axis.stride) for axis in kept if axis.size > 1]
    along_reduced = abs(reduced[1].stride) <= min(apart, default=math.inf)
    most_lanes = _THREADS if along_reduced else _THREADS // min(_power_of_2(outputs), _WARP)
    lanes = min(_power_of_2(-(-count // _PER_LANE)), most_lanes)
    blocks = -(-outputs // (_THREADS // lanes))
    parts = max(min(-(-_ENOUGH_BLOCKS // blocks), count // (lanes * _PER_LANE)), 1)
    part_size = -(-count // (parts * lanes * _PER_LANE)) * lanes * _PER_LANE
    layout = packed(
        kept=np.array([axis.stride for axis in kept], np.int64),
        reduced=np.array([axis.stride for axis in reduced], np.int64),
        per_kept=divisor(kept[1].size),
        per_reduced=divisor(max(reduced[1].size, 1)),
        sizes=np.array([outputs, count, part_size, lanes], np.int32),
        along_reduced=np.int32(along_reduced),
        in_packs=np.int32(along_reduced and _packs(kept, reduced, _PACK_BYTES // itemsize)),
    )
    return _Plan(layout, blocks, -(-count // part_size) if count else 1)


def _joined(axes: list[_Axis]) -> list[_Axis]:
    """The same elements in the same order with as few axes as can be."""
    joined: list[_Axis] = []
    for axis in axes:
        if joined and joined[-1].stride == axis.stride * axis.size:
            joined[-1] = _Axis(joined[-1].size * axis.size, axis.stride)
        elif axis.size != 1:
            joined.append(axis)
    return joined


def _packs(kept: list[_Axis], reduced: list[_Axis], width: int) -> bool:
    """Whether the reduced elements lie together, in packs of ``width``."""
    strides = [axis.stride for axis in (*kept, reduced[0]) if axis.size > 1]
    together = reduced[1].stride == 1 and reduced[1].size % width == 0
    return together and all(stride % width == 0 for stride in strides)


def _power_of_2(number: int) -> int:
    """The least power of two that is no less than ``number``."""
    return 1 << max(number - 1, 0).bit_length()
