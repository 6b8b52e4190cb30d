"""The input gradient as convolutions of stride 1: one for each remainder of the stride."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple


class Phase(NamedTuple):
    """Along one axis: the input ``places`` that meet the same ``taps`` of the flipped filter."""

    places: slice
    taps: slice
    dilation: int
    padding: tuple[int, int]


def phases(
    size: int, out: int, kernel: int, stride: int, before: int, dilation: int
) -> Iterator[Phase]:
    """One axis of the input gradient as correlations of stride 1.

    Output o meets input i at tap r when ``i + before = o * stride + r * dilation``. So all
    inputs i of one remainder meet the same taps, every ``stride / gcd(stride, dilation)``-th
    one, and from one tap to the next o moves by ``dilation / gcd``.
    """
    common = math.gcd(stride, dilation)
    every, step = stride // common, dilation // common
    for remainder in range(stride):
        first = (remainder - before) % stride
        taps = [r for r in range(kernel) if (r * dilation - remainder) % stride == 0]
        if taps and first < size:
            places = slice(first, None, stride)
            count = -(-(size - first) // stride)
            reach = (len(taps) - 1) * step
            front = reach - (first + before - taps[0] * dilation) // stride
            back = count - out + reach - front
            behind = kernel - 1 - taps[-1]  # the flipped filter starts with the last tap
            yield Phase(places, slice(behind, None, every), step, (front, back))
