"""Convolution on tensor cores: what they ask of the arrays.

They take eight neighbours at a time, which are channels: all operands are channels-last, and
their channels, within a group, come in eights.
"""

from __future__ import annotations

from typing import Any

from minidl.kernels.conv.memory import MOST, axes, flat, is_channels_last
from minidl.kernels.cuda import Source, integers, packed
from minidl.kernels.cuda.tensor_cores import CHUNK, is_aligned, serve
from minidl.kernels.launch import empty

_source = Source(__file__, "channels_last.cu", [{"ELEMENT": "__half"}])
_TILE = 32


def suit(groups: int, *arrays: Any) -> bool:
    """Whether they can compute with these; where there are no groups, zeros may be added."""
    return serve(arrays[0]) and all(
        x.shape[1] // groups % CHUNK == 0
        or (groups == 1 and x.size // x.shape[1] * _padded(x.shape[1]) < MOST)
        for x in arrays
    )


def _padded(channels: int) -> int:
    return -(-channels // CHUNK) * CHUNK


def channels_last(x: Any) -> Any:
    """``x`` with its channels innermost in memory, and channels of zeros to a multiple of 8."""
    pictures, channels, height, width = x.shape
    padded = _padded(channels)
    if is_channels_last(x) and padded == channels and is_aligned(x):
        return x
    out = empty((pictures, height, width, padded), x.dtype, x)
    positions, (picture, channel, row, column) = height * width, axes(x).strides
    position = column if width > 1 else row
    sizes = {"channels": channels, "padded": padded, "positions": positions}
    layout = packed(**integers(**sizes, picture=picture, channel=channel, position=position))
    grid = pictures * -(-positions // _TILE), -(-padded // _TILE)
    kernel = _source.kernel("channels_last", x, ELEMENT="__half")
    kernel(grid, (_TILE, 8), (flat(x), out, layout))
    return out.transpose(0, 3, 1, 2)
