"""Indexing, gathering, scattering and ordering.

Indices are integer tensors (int64 by default); a boolean tensor selects where it is true.
"""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, op, update_inplace
from minidl.backend import int64, xp
from minidl.ops.elementwise import where
from minidl.ops.shape import axes

values_and_indices = namedtuple("values_and_indices", ["values", "indices"])
"""What `max`, `min`, `sort` and `topk` return along a dimension."""


def plain_index(index: Any) -> Any:
    """``index`` with arrays in the place of tensors and lists, as NumPy wants it."""
    if isinstance(index, tuple):
        return tuple(map(plain_index, index))
    if isinstance(index, TensorBase):
        index = index.array
    elif isinstance(index, list):
        index = np.asarray(index, dtype=None if index else int64)
    if isinstance(index, np.ndarray) and index.dtype.kind not in "biu":
        raise IndexError(f"tensors used as indices must be integer or boolean, got {index.dtype}")
    return index


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return not any(isinstance(part, np.ndarray) for part in parts)


# --------------------------------------------------------------------------- x[index]


@op(view=True)
def _getitem(input, index):
    return input[index]


@op
def _put(input, shape, index):
    """Zeros of ``shape`` with ``input`` added at ``index``."""
    result = xp(input).zeros(shape, input.dtype)
    if _is_basic(index):
        result[index] = input
    else:
        xp(input).add.at(result, index, input)
    return result


_getitem.vjp(lambda g, _y, _x, index: _put(g, _x.shape, index))
_put.vjp(lambda g, _y, _x, _shape, index: _getitem(g, index))


def getitem(input: Any, index: Any) -> Any:
    """``input[index]`` by NumPy's rules; a view where the index is made of slices and integers."""
    return _getitem(input, plain_index(index))


@op
def _with_item(input, value, index):
    """A copy of ``input`` with ``value`` at ``index``."""
    result = input.copy()
    result[index] = value
    return result


_with_item.vjp(
    lambda g, _y, _x, _value, index: _with_item(g, 0.0, index),
    lambda g, _y, _x, _value, index: _getitem(g, index),
)


def setitem(input: Any, index: Any, value: Any) -> None:
    """``input[index] = value``, in place and differentiable."""
    update_inplace(input, _with_item, value, plain_index(index))


# --------------------------------------------------------------------------- along a dimension


def _aligned(array: Any, dim: int, index: Any) -> Any:
    """``array`` cut to the sizes of ``index`` in all dimensions but ``dim``."""
    if array.ndim != index.ndim:
        raise IndexError(f"index has {index.ndim} dimensions, input has {array.ndim}")
    return array[tuple(slice(None) if i == dim else slice(n) for i, n in enumerate(index.shape))]


def _checked(index: Any, size: int) -> Any:
    if index.dtype.kind not in "iu":
        raise TypeError(f"index must be an integer tensor, got {index.dtype}")
    if index.size and (index.min() < 0 or index.max() >= size):
        raise IndexError(f"index runs from {index.min()} to {index.max()}, outside 0..{size - 1}")
    return index


@op
def gather(input, dim, index):
    """``out[i, j] = input[index[i, j], j]`` for ``dim=0``, and so on for other dimensions."""
    if input.ndim == 0:
        return input[np.zeros(index.shape, int64)]
    (axis,) = axes(dim, input.ndim)
    index = _checked(index, input.shape[axis])
    return xp(input).take_along_axis(_aligned(input, axis, index), index, axis)


gather.vjp(lambda g, _y, _x, dim, index: scatter_add(g.new_zeros(_x.shape), dim, index, g))


def _places(index: Any, axis: int) -> tuple:
    """The coordinates that ``index`` along ``axis`` stands for."""
    coordinates = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    coordinates[axis] = index
    return tuple(coordinates)


def _source(src: Any, index: Any) -> Any:
    if not hasattr(src, "shape"):
        return src
    return src[tuple(slice(n) for n in index.shape)]


@op
def scatter(input, dim, index, src):
    """``input`` with ``out[index[i, j], j] = src[i, j]`` for ``dim=0``; ``src`` may be a number."""
    (axis,) = axes(dim, input.ndim)
    result = input.copy()
    _aligned(input, axis, index)
    result[_places(_checked(index, input.shape[axis]), axis)] = _source(src, index)
    return result


@op
def scatter_add(input, dim, index, src):
    """As `scatter`, but adding to what is there."""
    result = input.copy()
    if input.ndim == 0:
        result += src.sum()
        return result
    (axis,) = axes(dim, input.ndim)
    _aligned(input, axis, index)
    places = _places(_checked(index, input.shape[axis]), axis)
    xp(input).add.at(result, places, _source(src, index))
    return result


def _gather_for(g: Any, dim: int, index: Any, src: Any) -> Any:
    """The gradient of ``src``: what landed at ``index``; 0 where ``src`` is larger than it."""
    gathered = gather(g, dim, index)
    if gathered.shape == tuple(src.shape):
        return gathered
    return _put(gathered, src.shape, tuple(slice(n) for n in gathered.shape))


scatter.vjp(
    lambda g, _y, _x, dim, index, _src: scatter(g, dim, index, 0.0),
    None,
    None,
    lambda g, _y, _x, dim, index, _src: _gather_for(g, dim, index, _src),
)
scatter_add.vjp(
    lambda g, _y, _x, _dim, _index, _src: g,
    None,
    None,
    lambda g, _y, _x, dim, index, _src: _gather_for(g, dim, index, _src),
)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of ``input`` along ``dim`` that the vector ``index`` names."""
    (axis,) = axes(dim, input.ndim)
    _checked(plain_index(index), input.shape[axis])
    return getitem(input, (slice(None),) * axis + (index,))


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``input`` with ``value`` where ``mask`` is true."""
    return where(mask, value, input)


# --------------------------------------------------------------------------- order


@op
def argsort(input, dim=-1, descending=False):
    """The indices that sort along ``dim``; equal elements keep their order."""
    if input.ndim == 0:
        return np.zeros((), int64)
    (axis,) = axes(dim, input.ndim)
    if descending:  # reverse twice, so that equal elements still keep their order
        last = input.shape[axis] - 1
        reverse = xp(input).flip(input, axis)
        order = last - xp(input).flip(reverse.argsort(axis=axis, kind="stable"), axis)
    else:
        order = input.argsort(axis=axis, kind="stable")
    return order.astype(int64, copy=False)


def sort(input: Any, dim: int = -1, descending: bool = False) -> values_and_indices:
    """The elements in order along ``dim``, and their indices; equal elements keep their order."""
    indices = argsort(input, dim, descending)
    return values_and_indices(gather(input, dim, indices), indices)


def topk(input: Any, k: int, dim: int = -1, largest: bool = True) -> values_and_indices:
    """The ``k`` largest (or smallest) elements along ``dim`` in order, and their indices."""
    (axis,) = axes(dim, input.ndim)
    if not 0 <= k <= input.shape[axis]:
        raise ValueError(f"topk: {k=} of {input.shape[axis]} elements")
    order = argsort(input, axis, largest)
    indices = getitem(order, (slice(None),) * axis + (slice(k),))
    return values_and_indices(gather(input, axis, indices), indices)
