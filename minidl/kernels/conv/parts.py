"""A filter's gradient is a sum over all positions, computed in parts that are then added up.

Without parts a small filter would keep few multiprocessors busy. How many there are depends on
the shapes only, and they are added in one order, so results are the same every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.kernels.cuda import Source
from minidl.kernels.cuda.tiles import MULTIPROCESSORS
from minidl.kernels.launch import empty

_LEAST = 256
"""Positions that are worth a part."""


def part_size(positions: int, blocks: int, most: int) -> int:
    """Positions of a part, so that ``blocks`` times the parts, at most ``most``, fill a GPU."""
    wanted = min(-(-4 * MULTIPROCESSORS // blocks), positions // _LEAST, most)
    return -(-positions // max(wanted, 1))


def sum_of_parts(
    source: Source,
    compute: Callable[[Any], None],
    like: Any,
    shape: tuple[int, ...],
    count: int,
    **macros: Any,
) -> Any:
    """An array of ``shape`` with the dtype of ``like``: the sum of ``count`` parts.

    ``compute(parts)`` is to fill an array of shape (count, *shape), float32 for float16.
    """
    total = empty(shape, like.dtype, like)
    if count == 1 and like.dtype != np.float16:
        compute(total)
        return total
    parts = empty((count, *shape), np.result_type(like.dtype, np.float32), like)
    compute(parts)
    kernel = source.kernel("add_parts", like, **macros)
    size = math.prod(shape)
    kernel((-(-size // 32),), (32, 8), (parts, total, size, count))
    return total
