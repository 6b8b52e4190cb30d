"""How four-dimensional arrays lie in a device's memory, as the kernels are told it.

Row-major order (N, C, H, W) and channels-last, (N, H, W, C) seen as (N, C, H, W), are taken as
they are. Kernels count elements with 32 bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minidl.kernels.launch import contiguous, empty

MOST = 2**31


class Axes(NamedTuple):
    """The sizes of an array, and the distance in memory between neighbours along each axis."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]


def axes(array: Any) -> Axes:
    """The axes of ``array``; distances in elements."""
    size = array.itemsize
    return Axes(array.shape, tuple(stride // size for stride in array.strides))


def settled(x: Any) -> Any:
    """``x``, or a copy of it, in row-major or channels-last order."""
    return x if x.flags.c_contiguous or is_channels_last(x) else contiguous(x)


def is_channels_last(x: Any) -> bool:
    """Whether a row of numbers in memory is the channels of a pixel."""
    return not x.flags.c_contiguous and x.transpose(0, 2, 3, 1).flags.c_contiguous


def flat(x: Any) -> Any:
    """A dense array as its memory is, contiguous: what a kernel is handed."""
    if x.flags.c_contiguous:
        return x
    return x.transpose(sorted(range(x.ndim), key=lambda axis: -x.strides[axis]))


def empty_like(x: Any, shape: tuple[int, ...]) -> Any:
    """A new array of this shape in the order of ``x``."""
    if not is_channels_last(x):
        return empty(shape, x.dtype, x)
    n, c, h, w = shape
    return empty((n, h, w, c), x.dtype, x).transpose(0, 3, 1, 2)
