"""Dropout: random elements become 0, the others grow to make up for it."""

from __future__ import annotations

import math
from typing import Any

from minidl import kernels, random
from minidl.autograd import describe, op, run


@op
def _dropout(input, p, key, counter):
    """Dropout by the numbers that ``key`` and ``counter`` begin."""
    return kernels.dropout(input, p, key, counter)


_dropout.vjp(lambda g, _y, _x, p, key, counter: _dropout(g, p, key, counter))


def dropout(input: Any, p: float = 0.5, training: bool = True) -> Any:
    """Each element 0 with probability ``p``, else divided by ``1 - p``; itself if not training.

    The mean stays what it was. The random numbers come from the default generator
    (`minidl.random`). ValueError unless 0 <= p <= 1, TypeError for integers.
    Source: https://jmlr.org/papers/v15/srivastava14a.html
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: the probability p must lie in [0, 1], got {p}")
    if input.dtype.kind != "f":
        raise TypeError(f"dropout({describe([input])}): input must be floating point")
    if not training or p == 0:
        return input
    blocks = -(-math.prod(input.shape) // 4)
    return _dropout(input, p, *run("reserve", random.current_generator().reserve, blocks))
