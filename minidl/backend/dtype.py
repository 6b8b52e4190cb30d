"""Dtypes: which there are, which one Python numbers take, and which one a result has."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend.device import is_array

float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
bool_ = np.dtype(np.bool_)

_default_dtype = float32


def get_default_dtype() -> np.dtype:
    """The dtype that Python floats become: float32 unless set otherwise."""
    return _default_dtype


def set_default_dtype(dtype: Any) -> None:
    """Make ``dtype`` (float16, float32 or float64) the dtype that Python floats become."""
    global _default_dtype
    dtype = np.dtype(dtype)
    if dtype.kind != "f":
        raise TypeError(f"the default dtype must be a floating-point dtype, got {dtype}")
    _default_dtype = dtype


def asarray(data: Any, dtype: Any = None) -> np.ndarray:
    """``data`` as an array: Python floats take the default dtype, arrays keep theirs.

    Raises
    ------
    TypeError
        If the elements are no numbers or booleans.
    ValueError
        If nested sequences have rows of different lengths.
    """
    try:
        array = np.asarray(data, dtype=dtype)
    except ValueError as error:
        raise ValueError(f"cannot make a tensor of {type(data).__name__}: {error}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(
            f"cannot make a tensor of {type(data).__name__}: its elements are {array.dtype}, "
            "and a tensor holds numbers or booleans"
        )
    if dtype is None and array.dtype.kind == "f" and not isinstance(data, np.ndarray | np.generic):
        array = array.astype(_default_dtype)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an arithmetic result, by PyTorch's rules.

    The highest category among the operands (bool < integer < floating point) decides;
    within it arrays with dimensions outrank 0-d arrays, and those outrank Python
    scalars. So ``float32 + int64`` stays float32, and a float64 scalar array does not
    widen a float32 batch. TypeError for an operand that is no array and no number.

    Source: https://pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc
    """
    ranks: list[list[np.dtype]] = [[], [], []]
    for operand in operands:
        if is_array(operand):
            ranks[0 if operand.ndim else 1].append(operand.dtype)
        else:
            ranks[2].append(_scalar_dtype(operand))
    best: np.dtype | None = None
    for dtypes in filter(None, ranks):
        here = np.result_type(*_top_category(dtypes))
        if best is None or _category(here) > _category(best):
            best = here
    return best


def fits_into(dtype: np.dtype, place: np.dtype) -> bool:
    """Whether an in-place result of ``dtype`` may be put in memory of the dtype ``place``.

    PyTorch converts to any dtype of the same category or a higher one: float64 to float32,
    int64 to uint8, but no floating-point number to an integer.
    """
    return _category(dtype) <= _category(place)


def _scalar_dtype(value: Any) -> np.dtype:
    if isinstance(value, bool):
        return bool_
    if isinstance(value, int):
        return int64
    if isinstance(value, float):
        return _default_dtype
    if isinstance(value, np.generic) and value.dtype.kind in "fiub":
        return value.dtype
    raise TypeError(f"wants a tensor or a number, got {type(value).__name__}")


def _category(dtype: np.dtype) -> int:
    return {"b": 0, "u": 1, "i": 1, "f": 2}[dtype.kind]


def _top_category(dtypes: list[np.dtype]) -> list[np.dtype]:
    top = max(map(_category, dtypes))
    return [dtype for dtype in dtypes if _category(dtype) == top]
