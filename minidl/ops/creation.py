"""New tensors.

Floats take the default dtype, integers int64, unless ``dtype`` says otherwise;
``requires_grad=True`` makes a leaf whose gradient backward fills in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minidl.autograd import Leaf, TensorBase, describe, wrap
from minidl.backend import asarray, device, get_default_dtype, int64, result_type
from minidl.ops.shape import shape_of


def require_grad(tensor: TensorBase, requires_grad: bool = True) -> Any:
    """Make ``tensor`` a leaf whose gradient is wanted, or no longer wanted."""
    if requires_grad and tensor.array.dtype.kind != "f":
        raise RuntimeError(
            f"{describe([tensor])} cannot require a gradient: only floating-point tensors can; "
            "convert it with .float() first"
        )
    if tensor.node is not None and not isinstance(tensor.node, Leaf):
        if requires_grad:
            return tensor
        raise RuntimeError("only a leaf can stop requiring a gradient; use detach()")
    tensor.node = (tensor.node or Leaf(tensor)) if requires_grad else None
    return tensor


def made(array: np.ndarray, place: Any, requires_grad: bool) -> Any:
    """A tensor around a new ``array`` on the device ``place``, a leaf if a gradient is wanted."""
    device(place)
    return require_grad(wrap(array), requires_grad)


def tensor(data: Any, dtype: Any = None, device: Any = "cpu", requires_grad: bool = False) -> Any:
    """A tensor with a copy of ``data``: numbers, nested sequences, an array or a tensor."""
    return made(np.array(_array(data, dtype)), device, requires_grad)


def _array(data: Any, dtype: Any) -> np.ndarray:
    """``data`` as an array; sequences of tensors or arrays keep their elements' dtype."""
    if isinstance(data, TensorBase):
        return asarray(data.array, dtype)
    if isinstance(data, list | tuple) and any(isinstance(x, _NESTED) for x in data):
        parts = [x if _is_number(x) else _array(x, None) for x in data]
        return asarray(parts, result_type(*(_lifted(x) for x in parts)) if dtype is None else dtype)
    return asarray(data, dtype)


_NESTED = (TensorBase, np.ndarray, np.generic, list, tuple)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, np.generic)


def _lifted(part: Any) -> Any:
    """A part whose dtype counts in full, even if it is a scalar's."""
    return part if _is_number(part) else np.atleast_1d(part)


def as_tensor(data: Any, dtype: Any = None, device: Any = "cpu") -> Any:
    """``data`` as a tensor, without a copy where it is one already or an array of that dtype."""
    if isinstance(data, TensorBase):
        return data if dtype is None else data.to(dtype)
    return made(_array(data, dtype), device, False)


def from_numpy(array: np.ndarray) -> Any:
    """A tensor that shares ``array``'s memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: wants a numpy.ndarray, got {type(array).__name__}")
    if not array.dtype.isnative:
        raise ValueError("from_numpy: the bytes of the array are in foreign order: use tensor()")
    return wrap(asarray(array))


# --------------------------------------------------------------------------- constants


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = "cpu",
    requires_grad: bool = False,
) -> Any:
    """A tensor of shape ``size`` with every element ``fill_value``: ``full((2, 3), 1.5)``."""
    fill_value = fill_value.array if isinstance(fill_value, TensorBase) else fill_value
    value = asarray(fill_value, dtype)
    return made(np.full(shape_of((size,)), value, value.dtype), device, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = "cpu", requires_grad: bool = False) -> Any:
    """A tensor of shape ``size`` with every element 0."""
    return made(np.zeros(shape_of(size), dtype or get_default_dtype()), device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = "cpu", requires_grad: bool = False) -> Any:
    """A tensor of shape ``size`` with every element 1."""
    return made(np.ones(shape_of(size), dtype or get_default_dtype()), device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = "cpu", requires_grad: bool = False) -> Any:
    """A tensor of shape ``size`` whose elements are whatever was in memory."""
    return made(np.empty(shape_of(size), dtype or get_default_dtype()), device, requires_grad)


def zeros_like(input: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """Zeros of ``input``'s shape and dtype."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def ones_like(input: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """Ones of ``input``'s shape and dtype."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def empty_like(input: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """An uninitialised tensor of ``input``'s shape and dtype."""
    return empty(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def full_like(input: Any, fill_value: Any, dtype: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of ``input``'s shape and dtype with every element ``fill_value``."""
    dtype = dtype or input.dtype
    return full(input.shape, fill_value, dtype=dtype, requires_grad=requires_grad)


# --------------------------------------------------------------------------- sequences


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = "cpu",
    requires_grad: bool = False,
) -> Any:
    """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``: end excluded."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: {step=} does not lead from {start} to {end}")
    if dtype is None:
        floats = any(isinstance(bound, float) for bound in (start, end, step))
        dtype = get_default_dtype() if floats else int64
    values = start + step * np.arange(math.ceil((end - start) / step))
    return made(values.astype(dtype), device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = "cpu",
    requires_grad: bool = False,
) -> Any:
    """``steps`` evenly spaced values from ``start`` to ``end``, both included."""
    if steps < 0:
        raise ValueError(f"linspace: steps must not be negative, got {steps}")
    values = np.linspace(start, end, steps)
    return made(values.astype(dtype or get_default_dtype()), device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = "cpu",
    requires_grad: bool = False,
) -> Any:
    """The identity matrix of ``n`` rows and ``m`` (default ``n``) columns."""
    return made(np.eye(n, m, dtype=dtype or get_default_dtype()), device, requires_grad)
