"""Dropout: random elements become 0, the others grow to make up for it."""

from __future__ import annotations

from typing import Any

from minidl import random
from minidl.autograd import describe, op
from minidl.backend import xp


@op
def masked_scale(input, kept, scale):
    """``input * scale`` where the boolean array ``kept`` holds, 0 elsewhere."""
    result = xp(input).multiply(input, kept)
    result *= input.dtype.type(scale)
    return result


masked_scale.vjp(lambda g, _y, _x, kept, scale: masked_scale(g, kept, scale))


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
    kept = random.current_generator().uniform(input.shape) >= p
    return masked_scale(input, kept, 1 / (1 - p) if p < 1 else 0.0)
