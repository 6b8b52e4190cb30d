"""New tensors.

Floats take the default dtype, integers int64, unless ``dtype`` says otherwise; they lie on
``device``, or on the default one. ``requires_grad=True`` makes a leaf whose gradient backward
fills in.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

from minidl.autograd import Leaf, TensorBase, describe, reading, run, wrap
from minidl.backend import (
    CPU,
    Device,
    asarray,
    device_of,
    device_or_default,
    get_default_dtype,
    int64,
    is_array,
    made_on,
    result_type,
    to_device,
    to_host,
)
from minidl.ops.shape import shape_of


def require_grad(tensor: TensorBase, requires_grad: bool = True) -> Any:
    """Make ``tensor`` a leaf whose gradient is wanted, or no longer wanted."""
    if requires_grad and tensor.array.dtype.kind != "f":
        raise RuntimeError(
            f"{describe([tensor])} cannot require a gradient: only floating-point tensors can; "
            "convert it with .float() first"
        )
    if tensor.place is not None and not isinstance(tensor.place, Leaf):
        if requires_grad:
            return tensor
        raise RuntimeError("only a leaf can stop requiring a gradient; use detach()")
    tensor.place = (tensor.place or Leaf(tensor)) if requires_grad else None
    return tensor


def leaf(array: Any, requires_grad: bool) -> Any:
    """A tensor around a new ``array``, a leaf of the graph if a gradient is wanted."""
    return require_grad(wrap(array), requires_grad)


def _new(make: Callable[..., Any], device: Any, requires_grad: bool, *args: Any) -> Any:
    """A tensor of what ``make(xp, *args)`` makes with the array module of a device."""
    place = device_or_default(device)
    return leaf(run(make.__name__.strip("_"), _made, place, make, *args), requires_grad)


def _made(place: Device, make: Callable[..., Any], *args: Any) -> Any:
    return made_on(place, lambda xp: make(xp, *args))


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor with a copy of ``data``: numbers, nested sequences, an array or a tensor.

    Arrays and tensors are copied where they are unless ``device`` says otherwise.
    """
    data, place = data.array if isinstance(data, TensorBase) else data, _place(data, device)
    return leaf(run("tensor", _copied, data, dtype, place), requires_grad)


def _copied(data: Any, dtype: Any, place: Device) -> Any:
    array = _array(data, dtype)
    moved = to_device(array, place)
    return moved.copy() if moved is array else moved


def _place(data: Any, device: Any) -> Device:
    """Where a tensor made of ``data`` is to lie."""
    if device is not None or not (isinstance(data, TensorBase) or device_of(data) != CPU):
        return device_or_default(device)
    return device_of(data.array if isinstance(data, TensorBase) else data)


def _array(data: Any, dtype: Any) -> Any:
    """``data`` as an array; sequences of tensors or arrays keep their elements' dtype."""
    if isinstance(data, TensorBase):
        data = data.array
    if is_array(data) and device_of(data) != CPU:
        return data if dtype is None else data.astype(dtype, copy=False)
    if isinstance(data, list | tuple) and any(isinstance(x, _NESTED) for x in data):
        parts = [x if _is_number(x) else to_host(_array(x, None)) for x in data]
        return asarray(parts, result_type(*(_lifted(x) for x in parts)) if dtype is None else dtype)
    return asarray(data, dtype)


_NESTED = (TensorBase, np.ndarray, np.generic, list, tuple)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, np.generic)


def _lifted(part: Any) -> Any:
    """A part whose dtype counts in full, even if it is a scalar's."""
    return part if _is_number(part) else np.atleast_1d(part)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """``data`` as a tensor, without a copy where it is one already or an array of that dtype."""
    if isinstance(data, TensorBase):
        return data.to(dtype=dtype, device=device)
    return _shared(to_device(_array(data, dtype), _place(data, device)))


def from_numpy(array: np.ndarray) -> Any:
    """A tensor that shares ``array``'s memory."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: wants a numpy.ndarray, got {type(array).__name__}")
    if not array.dtype.isnative:
        raise ValueError("from_numpy: the bytes of the array are in foreign order: use tensor()")
    return _shared(asarray(array))


def _shared(array: Any) -> Any:
    """A tensor in whose memory others than tensors may write."""
    tensor = wrap(array)
    tensor.version[2] = 1
    return tensor


# --------------------------------------------------------------------------- arrays


def _full(xp: ModuleType, shape: tuple[int, ...], value: Any, dtype: Any) -> Any:
    return xp.full(shape, value, dtype)


def _zeros(xp: ModuleType, shape: tuple[int, ...], dtype: Any) -> Any:
    return xp.zeros(shape, dtype)


def _ones(xp: ModuleType, shape: tuple[int, ...], dtype: Any) -> Any:
    return xp.ones(shape, dtype)


def _empty(xp: ModuleType, shape: tuple[int, ...], dtype: Any) -> Any:
    return xp.empty(shape, dtype)


def _arange(xp: ModuleType, start: float, step: float, count: int, dtype: Any) -> Any:
    return (start + step * xp.arange(count)).astype(dtype)


def _linspace(xp: ModuleType, start: float, end: float, steps: int, dtype: Any) -> Any:
    return xp.linspace(start, end, steps).astype(dtype)


def _eye(xp: ModuleType, rows: int, columns: int | None, dtype: Any) -> Any:
    return xp.eye(rows, columns, dtype=dtype)


# --------------------------------------------------------------------------- constants


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """A tensor of shape ``size`` with every element ``fill_value``: ``full((2, 3), 1.5)``."""
    if isinstance(fill_value, TensorBase):
        reading(fill_value, "full() of it")
    value, shape = to_host(_array(fill_value, dtype)), shape_of((size,))
    return _new(_full, device, requires_grad, shape, value[()], value.dtype)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of shape ``size`` with every element 0."""
    shape, dtype = shape_of(size), dtype or get_default_dtype()
    return _new(_zeros, device, requires_grad, shape, dtype)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of shape ``size`` with every element 1."""
    shape, dtype = shape_of(size), dtype or get_default_dtype()
    return _new(_ones, device, requires_grad, shape, dtype)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A tensor of shape ``size`` whose elements are whatever was in memory."""
    shape, dtype = shape_of(size), dtype or get_default_dtype()
    return _new(_empty, device, requires_grad, shape, dtype)


def zeros_like(
    input: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Zeros of ``input``'s shape and dtype, on its device."""
    return zeros(input.shape, requires_grad=requires_grad, **_alike(input, dtype, device))


def ones_like(
    input: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """Ones of ``input``'s shape and dtype, on its device."""
    return ones(input.shape, requires_grad=requires_grad, **_alike(input, dtype, device))


def empty_like(
    input: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """An uninitialised tensor of ``input``'s shape and dtype, on its device."""
    return empty(input.shape, requires_grad=requires_grad, **_alike(input, dtype, device))


def full_like(
    input: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """A tensor of ``input``'s shape, dtype and device with every element ``fill_value``."""
    options = _alike(input, dtype, device)
    return full(input.shape, fill_value, requires_grad=requires_grad, **options)


def _alike(input: Any, dtype: Any, device: Any) -> dict[str, Any]:
    """The dtype and the device of ``input``, where none is given."""
    place = device_of(input.array) if device is None else device
    return {"dtype": dtype or input.dtype, "device": place}


# --------------------------------------------------------------------------- sequences


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """``arange(end)``, ``arange(start, end)`` or ``arange(start, end, step)``: end excluded."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0 or (end - start) * step < 0:
        raise ValueError(f"arange: {step=} does not lead from {start} to {end}")
    if dtype is None:
        floats = any(isinstance(bound, float) for bound in (start, end, step))
        dtype = get_default_dtype() if floats else int64
    count = math.ceil((end - start) / step)
    return _new(_arange, device, requires_grad, start, step, count, dtype)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """``steps`` evenly spaced values from ``start`` to ``end``, both included."""
    if steps < 0:
        raise ValueError(f"linspace: steps must not be negative, got {steps}")
    dtype = dtype or get_default_dtype()
    return _new(_linspace, device, requires_grad, start, end, steps, dtype)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The identity matrix of ``n`` rows and ``m`` (default ``n``) columns."""
    dtype = dtype or get_default_dtype()
    return _new(_eye, device, requires_grad, n, m, dtype)
