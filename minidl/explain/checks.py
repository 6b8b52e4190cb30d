"""Arguments that several explanations have, checked."""

from __future__ import annotations

import operator
from typing import Any

from minidl.autograd import describe
from minidl.tensor import Tensor


def batch_of(input: Tensor) -> Tensor:
    """``input``, (N, C, H, W), cut off from any graph; ValueError for other shapes."""
    if not isinstance(input, Tensor):
        raise TypeError(f"an explanation wants a Tensor of pictures, got {type(input).__name__}")
    if input.ndim != 4 or 0 in input.shape or not input.is_floating_point():
        raise ValueError(
            "an explanation wants a batch of pictures (N, C, H, W) of floating-point numbers, got "
            f"{describe([input])}; picture.unsqueeze(0) is a batch of one"
        )
    return input.detach()


def count_of(name: str, value: Any) -> int:
    """``value`` as an integer from 1 up; ValueError for anything else, by its ``name``."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or operator.index(value) < 1:
        raise ValueError(f"{name} is a positive whole number, got {value!r}")
    return operator.index(value)
