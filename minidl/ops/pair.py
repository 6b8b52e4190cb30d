"""Sizes of two-dimensional windows: one number or two."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

Pair = tuple[int, int]
Sizes = int | Sequence[int]


def pair(value: Sizes, name: str, least: int) -> Pair:
    """``value`` for height and width, one number standing for both; ValueError if < ``least``."""
    if type(value) is int and value >= least:  # nearly always
        return value, value
    if type(value) is tuple and tuple(map(type, value)) == (int, int) and min(value) >= least:
        return value
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    values = values * 2 if len(values) == 1 else values
    if len(values) != 2 or not all(isinstance(v, Integral) and v >= least for v in values):
        raise ValueError(f"{name} must be one integer or two, at least {least}, got {value!r}")
    return int(values[0]), int(values[1])


def single(value: Sizes, name: str, least: int) -> int:
    """``value`` for one dimension: a number, or a sequence of one."""
    if isinstance(value, Sequence) and len(value) != 1:
        raise ValueError(f"{name} must be one integer, at least {least}, got {value!r}")
    return pair(value, name, least)[0]
