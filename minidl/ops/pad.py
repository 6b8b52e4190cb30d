"""Padding: more elements around a tensor, or fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.autograd import op
from minidl.backend import xp
from minidl.ops.index import getitem


@op
def _pad(input, widths, value):
    """``widths`` holds (before, after) for each dimension; negative ones cut off."""
    shape = [n + before + after for n, (before, after) in zip(input.shape, widths)]
    result = xp(input).full(shape, value, input.dtype)
    inside = [slice(max(before, 0), n - max(after, 0)) for n, (before, after) in zip(shape, widths)]
    kept = [
        slice(max(-before, 0), n - max(-after, 0))
        for n, (before, after) in zip(input.shape, widths)
    ]
    result[tuple(inside)] = input[tuple(kept)]
    return result


_pad.vjp(lambda g, _y, _x, widths, _value: _pad(g, [(-a, -b) for a, b in widths], 0))


def _reflected(positions: np.ndarray, size: int) -> np.ndarray:
    period = 2 * (size - 1)
    folded = positions % max(period, 1)
    return np.where(folded < size, folded, period - folded)


_SOURCES = {
    "reflect": _reflected,
    "replicate": lambda positions, size: positions.clip(0, size - 1),
    "circular": lambda positions, size: positions % size,
}
"""For each mode, which element of a dimension stands at a position beyond its ends."""


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """``input`` with elements added at both ends of its last dimensions.

    Parameters
    ----------
    input : Tensor
        Of any shape.
    pad : sequence of int
        ``(left, right)`` of the last dimension, then those of the one before it, and so
        on. Negative numbers cut elements off.
    mode : str
        ``"constant"``, ``"reflect"`` (without the edge itself), ``"replicate"`` (the edge
        again) or ``"circular"``.
    value : float, optional
        What ``"constant"`` fills in; 0 unless given.

    Raises
    ------
    ValueError
        For an odd number of widths, more widths than dimensions, an unknown mode, or a
        dimension too small for what should be reflected, repeated or cut off.
    """
    widths = list(zip(pad[::2], pad[1::2]))
    if len(pad) % 2 or len(widths) > input.ndim:
        raise ValueError(f"pad: {pad} is not a pair of widths for some of {input.ndim} dimensions")
    if mode != "constant" and mode not in _SOURCES:
        raise ValueError(f"pad: mode is constant, {', '.join(_SOURCES)}, got {mode!r}")
    if mode != "constant" and value is not None:
        raise ValueError(f"pad: mode {mode!r} takes no value")
    widths = [(0, 0)] * (input.ndim - len(widths)) + widths[::-1]
    for size, pair in zip(input.shape, widths):
        if size + min(pair[0], 0) + min(pair[1], 0) < 0:
            raise ValueError(f"pad: cannot cut {pair} off a dimension of size {size}")
    if mode == "constant":
        return _pad(input, widths, 0 if value is None else value)
    if mode == "circular":  # cuts off first, and then wraps around what is left
        input = _pad(input, [(min(before, 0), min(after, 0)) for before, after in widths], 0)
        widths = [(max(before, 0), max(after, 0)) for before, after in widths]
    for axis, pair in enumerate(widths):
        if pair != (0, 0):
            source = _source(input.shape[axis], *pair, mode)
            input = getitem(input, (slice(None),) * axis + (source,))
    return input


def _source(size: int, before: int, after: int, mode: str) -> np.ndarray:
    """Which elements of a dimension stand in the padded one."""
    most = {"reflect": size - 1, "circular": size}.get(mode, math.inf if size else 0)
    if max(before, after, 0) > max(most, 0):
        raise ValueError(
            f"pad: a dimension of size {size} is too small to be padded by {(before, after)} "
            f"in mode {mode!r}"
        )
    places = _SOURCES[mode](np.arange(-before, size + after), size)
    places.flags.writeable = False  # nobody changes it, and a compiled step may rely on it
    return places
