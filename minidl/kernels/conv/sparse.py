"""Gradients of convolution in Numba where most numbers are zeros: what surrounds the lists.

See `minidl.kernels.conv.lists`. Arrays are float32 or float64, and not empty.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np

from minidl.kernels.conv import lists
from minidl.kernels.conv.dense import SIMD, number_of_parts
from minidl.kernels.conv.lists import Layout
from minidl.kernels.conv.reference import Grads, How, output_size
from minidl.kernels.launch import contiguous, empty, launch

LONGEST_ROW = 128
"""Numbers that a row of taps may meet, in all channels."""

GROUP_BYTES = 20_000
"""About how much a group of pictures takes: the first-level cache holds its x and its dx."""

ALWAYS = np.ones(1, np.uint8)
_NO_CODE = np.empty((0,) * 4, np.uint8)


def suits(weight_shape: tuple[int, ...], how: How) -> bool:
    """Whether a row of taps meets neighbouring numbers, and not too many."""
    _, channels, _, columns = weight_shape
    _, _, (_, dilation), groups = how
    return groups == 1 and (dilation == 1 or columns == 1) and columns * channels <= LONGEST_ROW


def decide(g: np.ndarray) -> np.ndarray:
    """An array of one number: not 0 if at most a quarter of g is not zero."""
    found = empty((1,), np.uint8)
    lists.is_sparse(g.size // SIMD, contiguous(g).reshape(-1), found)
    return found


def fill(
    wanted: np.ndarray,
    g: np.ndarray,
    code: np.ndarray | None,
    x: np.ndarray | None,
    w: np.ndarray | None,
    results: Grads,
    input_shape: tuple[int, ...],
    weight_shape: tuple[int, ...],
    how: How,
) -> None:
    """Fill those of ``results`` (dx, dw, db) that are not None; not unless ``wanted[0]``.

    g is the gradient of the convolution's result or, with a ``code``, of its maxima. x is not
    used without dw, and w not without dx.
    """
    dx, dw, db = results
    needs = dx is not None, dw is not None, db is not None
    task = _task(input_shape, weight_shape, g.dtype, how)
    x, dw = (contiguous(x), dw) if needs[1] else (task.nothing, task.filters)
    w, dx = (contiguous(w), dx) if needs[0] else (task.filters, task.nothing)
    sums = empty((task.parts, task.weights if needs[1] else 0), g.dtype)
    bias_sums = empty((task.parts, weight_shape[0] if needs[2] else 0), g.dtype)
    packed = empty((task.weights if needs[0] else 0,), g.dtype)
    if needs[0]:
        launch(lists.pack, wanted, w, packed, task.layout)
    code = _NO_CODE if code is None else contiguous(code)
    args = contiguous(g), code, x, w, packed, task.offsets, dx, sums, bias_sums, needs, task.layout
    lists.gradients(task.work, wanted, *args)
    db = task.nothing.reshape(-1) if db is None else db
    launch(lists.add_parts, wanted, sums, bias_sums, dw, db, needs, task.layout)


class _Task(NamedTuple):
    """How gradients are found, which the shapes decide."""

    layout: Layout
    offsets: np.ndarray
    work: int
    weights: int
    """Numbers of the packed filters, and of a partial sum of their gradient."""
    parts: int
    """How many partial sums there are."""
    nothing: np.ndarray
    """Stands for pictures that are not used."""
    filters: np.ndarray
    """Stands for filters that are not used: kernels look at their shape."""


@functools.lru_cache(maxsize=1024)
def _task(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], dtype: np.dtype, how: How
) -> _Task:
    layout = _layout(input_shape, weight_shape, dtype.itemsize, how)
    lanes = lists.BYTES // dtype.itemsize
    weights = weight_shape[0] * layout.slots * lanes
    size = output_size(input_shape[2:], weight_shape[2:], *how[:3])
    return _Task(
        layout,
        lists.slot_offsets(weight_shape[2], weight_shape[1], lanes, layout),
        work=input_shape[0] * math.prod(size) * math.prod(weight_shape) // SIMD,
        weights=weights,
        parts=number_of_parts(-(-input_shape[0] // layout.pictures), weights),
        nothing=np.empty((0,) * 4, dtype),
        filters=np.empty(weight_shape, dtype),
    )


def _layout(
    input_shape: tuple[int, ...], weight_shape: tuple[int, ...], itemsize: int, how: How
) -> Layout:
    """How pictures are laid out: what the taps meet, and no more."""
    stride, (top, _, left, _), dilation, _ = how
    pictures, channels = input_shape[:2]
    rows, columns = weight_shape[2:]
    height, width = (
        (out - 1) * s + d * (k - 1) + 1
        for out, s, d, k in zip(
            output_size(input_shape[2:], weight_shape[2:], *how[:3]),
            stride,
            dilation,
            weight_shape[2:],
        )
    )
    area = height * width * channels * itemsize
    # at least four groups to share, as long as there are pictures
    group = max(1, min(GROUP_BYTES // area, -(-pictures // 4)))
    row = columns * channels
    slots = lists.slots(rows, row, itemsize)
    return Layout(group, height, width, top, left, *stride, dilation[0], row, slots)
