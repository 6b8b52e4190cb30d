"""How the values of a tensor are written out, as PyTorch writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

DIGITS = 4
"""Decimal places of numbers that are not whole."""

THRESHOLD, EDGE = 1000, 3
"""Of tensors with more elements only the first and last few along each dimension are shown."""


def values_text(array: Any, prefix: str = "tensor(") -> str:
    """The values of ``array``, the inner part of large ones left out; ``prefix`` sets the indent.

    Floating-point numbers share one format: without decimals if all are whole, in powers
    of ten if the largest is beyond 1e8 or a thousand times the smallest, or the smallest
    below 1e-4, and with four decimals otherwise.
    """
    number = _number_format(_shown(array)) if array.dtype.kind == "f" else None
    return np.array2string(
        array,
        max_line_width=80,
        separator=", ",
        prefix=prefix,
        threshold=THRESHOLD,
        edgeitems=EDGE,
        formatter=number and {"float_kind": number},
    )


def _shown(array: Any) -> Any:
    """The elements that are printed, as an array."""
    if array.size <= THRESHOLD:
        return array
    ends = [[*range(n)] if n <= 2 * EDGE else [*range(EDGE), *range(-EDGE, 0)] for n in array.shape]
    return array[np.ix_(*ends)]


def _number_format(shown: Any) -> Callable[[float], str]:
    values = shown[np.isfinite(shown) & (shown != 0)].astype(np.float64)
    sizes = np.abs(values) if values.size else np.ones(1)
    whole = bool((sizes == np.floor(sizes)).all())
    if sizes.max() > 1e8 or sizes.max() > 1000 * sizes.min() or (not whole and sizes.min() < 1e-4):
        form = f".{DIGITS}e"
    else:
        form = ".0f" if whole else f".{DIGITS}f"
    width = max((len(_formatted(value, form)) for value in values), default=0)
    return lambda value: _formatted(value, form).rjust(width)


def _formatted(value: float, form: str) -> str:
    text = format(float(value), form)
    return f"{text}." if form == ".0f" and np.isfinite(value) else text
