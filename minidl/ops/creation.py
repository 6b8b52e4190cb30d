"""New tensors.

Floats take the default dtype, integers int64, unless ``dtype`` says otherwise;
``requires_grad=True`` makes a leaf whose gradient backward fills in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.autograd import Leaf, TensorBase, describe, wrap
from minidl.backend import asarray, device, get_default_dtype, int64
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


def _made(array: np.ndarray, place: Any, requires_grad: bool) -> Any:
    device(place)
    made = wrap(array)
    return require_grad(made) if requires_grad else made


def tensor(data: Any, dtype: Any = None, device: Any = "cpu", requires_grad: bool = False) -> Any:
    """A tensor with a copy of ``data``: numbers, nested sequences, an array or a tensor."""
    data = data.array if isinstance(data, TensorBase) else data
    return _made(np.array(asarray(_plain(data), dtype)), device, requires_grad)


def _plain(data: Any) -> Any:
    """Sequences of tensors as sequences of arrays."""
    if isinstance(data, TensorBase):
        return data.array
    if isinstance(data, list | tuple) and any(
        isinstance(x, TensorBase | list | tuple) for x in data
    ):
        return [_plain(x) for x in data]
    return data


def as_tensor(data: Any, dtype: Any = None) -> Any:
    """``data`` as a tensor, without a copy where it is one already or an array of that dtype."""
    if isinstance(data, TensorBase):
        return data if dtype is None else data.to(dtype)
    return wrap(asarray(_plain(data), dtype))


def from_numpy(array: np.ndarray) -> Any:
    """A tensor that shares ``array``'s memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy wants a numpy.ndarray, got {type(array).__name__}")
    return wrap(asarray(array))


def full(
    *size: Any, fill_value: Any = None, dtype: Any = None, device: Any = "cpu", requires_grad=False
) -> Any:
    """A tensor of shape ``size`` with every element ``fill_value``: ``full((2, 3), 1.5)``."""
    if fill_value is None:
        *size, fill_value = size
    value = asarray(fill_value, dtype)
    return _made(np.full(shape_of(size), value, value.dtype), device, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = "cpu", requires_grad=False) -> Any:
    """A tensor of shape ``size`` with every element 0."""
    return _made(np.zeros(shape_of(size), dtype or get_default_dtype()), device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = "cpu", requires_grad=False) -> Any:
    """A tensor of shape ``size`` with every element 1."""
    return _made(np.ones(shape_of(size), dtype or get_default_dtype()), device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = "cpu", requires_grad=False) -> Any:
    """A tensor of shape ``size`` whose elements are whatever was in memory."""
    return _made(np.empty(shape_of(size), dtype or get_default_dtype()), device, requires_grad)


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


def arange(*bounds: float, dtype: Any = None, device: Any = "cpu", requires_grad=False) -> Any:
    """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``: end excluded."""
    if dtype is None:
        floats = any(isinstance(bound, float) for bound in bounds)
        dtype = get_default_dtype() if floats else int64
    return _made(np.arange(*bounds).astype(dtype), device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: Any = None,
    device: Any = "cpu",
    requires_grad=False,
) -> Any:
    """``steps`` evenly spaced values from ``start`` to ``end``, both included."""
    values = np.linspace(start, end, steps, dtype=dtype or get_default_dtype())
    return _made(values, device, requires_grad)


def eye(
    n: int, m: int | None = None, dtype: Any = None, device: Any = "cpu", requires_grad=False
) -> Any:
    """The identity matrix of ``n`` rows and ``m`` (default ``n``) columns."""
    return _made(np.eye(n, m, dtype=dtype or get_default_dtype()), device, requires_grad)
