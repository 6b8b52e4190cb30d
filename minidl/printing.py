"""How the values of a tensor are written out, as PyTorch writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

DIGITS = 4
"""Decimal places of numbers that are not whole."""


def values_text(array: Any, prefix: str = "tensor(") -> str:
    """The values of ``array``, the inner part of large ones left out; ``prefix`` sets the indent.

    Floating-point numbers share one format: without decimals if all are whole, in powers
    of ten if the largest is beyond 1e8, a thousand times the smallest, or the smallest
    below 1e-4, and with four decimals otherwise.
    """
    return np.array2string(
        array,
        max_line_width=80,
        separator=", ",
        prefix=prefix,
        threshold=1000,
        formatter={"float_kind": _number_format(array)} if array.dtype.kind == "f" else None,
    )


def _number_format(array: Any) -> Callable[[float], str]:
    finite = np.abs(array[np.isfinite(array) & (array != 0)].astype(np.float64))
    smallest, largest = (finite.min(), finite.max()) if finite.size else (1.0, 1.0)
    whole = bool((finite == np.floor(finite)).all())
    if largest > 1e8 or largest > 1000 * smallest or (not whole and smallest < 1e-4):
        form = f".{DIGITS}e"
    else:
        form = ".0f" if whole else f".{DIGITS}f"
    texts = [_formatted(value, form) for value in array.ravel()] if array.size <= 1000 else []
    width = max(map(len, texts), default=0)
    return lambda value: _formatted(value, form).rjust(width)


def _formatted(value: float, form: str) -> str:
    text = format(float(value), form)
    return f"{text}." if form == ".0f" and np.isfinite(value) else text
