"""What elementwise forward functions do with their operands before they compute."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import float16, float32, get_default_dtype, is_array, result_type
from minidl.kernels.launch import contiguous

_NUMBERS = frozenset((int, float, bool))


def promoted(first: Any, second: Any) -> tuple[Any, Any]:
    """Two operands in their common dtype; a Python number beside a float array stays as it is."""
    if type(first) is type(second) is np.ndarray and first.dtype is second.dtype:
        return first, second
    if type(second) in _NUMBERS:
        if is_array(first) and first.dtype.kind == "f":
            return first, second
    elif type(first) in _NUMBERS:
        if is_array(second) and second.dtype.kind == "f":
            return first, second
    elif is_array(first) and is_array(second) and first.dtype is second.dtype:
        return first, second
    dtype = result_type(first, second)
    return cast(first, dtype), cast(second, dtype)


def scalars(first: Any, second: Any) -> tuple[Any, Any]:
    """Arrays of the host without dimensions as scalars, which reckon eight times as fast."""
    if type(first) is type(second) is np.ndarray and not first.ndim and not second.ndim:
        return first[()], second[()]
    return first, second


def cast(operand: Any, dtype: np.dtype) -> Any:
    """An array or a number converted to ``dtype``; integers that do not fit wrap around."""
    if is_array(operand):
        return operand.astype(dtype, copy=False)
    return np.array(operand).astype(dtype)[()]


def common_dtype(first: Any, second: Any) -> np.dtype:
    """The dtype of operands that went through `promoted`."""
    return first.dtype if hasattr(first, "dtype") else second.dtype


def floating(x: Any) -> Any:
    """An array or NumPy scalar as floating point: integers take the default dtype."""
    if not is_array(x) and not isinstance(x, np.generic):
        raise TypeError(f"wants a tensor, got {type(x).__name__}")
    if x.dtype.kind == "f":
        return x
    default = get_default_dtype()
    return contiguous(x, default) if is_array(x) else x.astype(default)


def fractional(x: Any) -> Any:
    """``x``; TypeError unless it is floating point already."""
    if x.dtype.kind != "f":
        raise TypeError(f"wants floating-point numbers, got {x.dtype}; convert with .float() first")
    return x


def accumulator(dtype: np.dtype) -> np.dtype:
    """The dtype to add up elements of ``dtype`` in: float16 is too short for sums."""
    return float32 if dtype == float16 else dtype
