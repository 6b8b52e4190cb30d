"""Indexing, gathering, scattering and ordering.

Indices are integer tensors (int64 by default); a boolean tensor selects where it is true.
"""

from __future__ import annotations

from collections import namedtuple
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import TensorBase, is_grad_enabled, op, quiet, reading, update_inplace
from minidl.backend import device_of, int64, is_array, uint8, xp
from minidl.ops.comparison import where
from minidl.ops.shape import axis_of

values_and_indices = namedtuple("values_and_indices", ["values", "indices"])
"""What `max`, `min`, `sort` and `topk` return along a dimension."""


# --------------------------------------------------------------------------- what an index says


class Index(NamedTuple):
    """An index in two steps, as PyTorch takes it: ``x[basic][advanced]``.

    ``basic`` holds slices, integers, None and one Ellipsis and makes a view; ``advanced``
    holds the arrays (or is None). NumPy alone would count an integer beside an array as
    an array too, and order the dimensions of ``x[0, :, array]`` otherwise.
    """

    basic: tuple
    advanced: tuple | None

    def __repr__(self) -> str:
        arrays = [
            f"{part.dtype}{list(part.shape)}" for part in self.advanced or () if is_array(part)
        ]
        return f"[{', '.join([*map(repr, self.basic), *arrays])}]"

    @property
    def repeats(self) -> bool:
        """Whether the index may name an element more than once."""
        parts = self.advanced or ()
        return any(is_array(part) and part.dtype.kind != "b" for part in parts)


def resolved(index: Any, array: Any) -> Index:
    """What stands between the brackets of ``array[...]``, arrays where ``array`` is.

    IndexError for floats and their like.
    """
    module = xp(array)
    parts = tuple(_part(part, module) for part in (index if isinstance(index, tuple) else (index,)))
    basic: list = []
    advanced: list = []
    for part in parts:
        if is_array(part):
            covered = part.ndim if part.dtype.kind == "b" else 1
            basic += [slice(None)] * covered
            advanced.append(part)
        else:
            basic.append(part)
            if not isinstance(part, int):
                advanced.append(part if part is Ellipsis else slice(None))
    if Ellipsis not in basic:
        basic.append(Ellipsis)  # so that integers alone still give a view, of no dimensions
    return Index(tuple(basic), tuple(advanced) if any(map(is_array, parts)) else None)


def _part(part: Any, module: ModuleType) -> Any:
    if isinstance(part, TensorBase):
        if part.array.ndim == 0 or part.array.dtype.kind == "b":
            reading(part, "an index of it")  # how many there are, or which one, is in its values
        part = part.array
    elif isinstance(part, bool | np.bool_):
        part = np.asarray(part)
    elif isinstance(part, list | tuple | range):
        part = np.array(part, dtype=None if len(part) else int64)
        part.flags.writeable = False  # nobody changes it, and a compiled step may rely on it
    if isinstance(part, np.integer):
        return int(part)
    if is_array(part):
        if part.dtype.kind not in "biu":
            raise IndexError(f"an index must be of integers or booleans, got {part.dtype}")
        if part.dtype == uint8:
            raise IndexError("an index of uint8 could be a mask or not: use .long() or .bool()")
        if part.ndim == 0 and part.dtype.kind != "b":
            return int(part)
        return module.asarray(part) if type(part) is np.ndarray else part
    if part is None or part is Ellipsis or isinstance(part, int | slice):
        return part
    raise IndexError(f"an index is made of integers, slices and tensors, not of {part!r}")


# --------------------------------------------------------------------------- x[index]


@op(view=True)
def _getitem(input, index):
    view = input[index.basic]
    return view if index.advanced is None else view[index.advanced]


@op
def _put(input, shape, index):
    """Zeros of ``shape`` with ``input`` added at ``index``."""
    result = xp(input).zeros(shape, input.dtype)
    view = result[index.basic]
    if index.repeats:
        xp(input).add.at(view, index.advanced, input)
    else:
        view[index.advanced or ...] = input
    return result


_getitem.vjp(lambda g, _y, _x, index: _put(g, _x.shape, index))
_put.vjp(lambda g, _y, _x, _shape, index: _getitem(g, index))


def getitem(input: Any, index: Any) -> Any:
    """``input[index]`` by PyTorch's rules; a view where it is made of slices and integers."""
    return _getitem(input, resolved(index, input.array))


@op
@quiet
def _with_item(input, value, index):
    """A copy of ``input`` with ``value`` at ``index``."""
    result = input.copy()
    result[index.basic][index.advanced or ...] = value
    return result


_with_item.vjp(
    lambda g, _y, _x, _value, index: _with_item(g, 0.0, index),
    lambda g, _y, _x, _value, index: _getitem(g, index),
)


@op(changes=True)
@quiet
def _set_item(input, value, index):
    """``value`` put into ``input`` itself, without the copy that a recorded change needs."""
    input[index.basic][index.advanced or ...] = value
    return input


def setitem(input: Any, index: Any, value: Any) -> None:
    """``input[index] = value``, in place and differentiable."""
    place = resolved(index, input.array)
    tensors = [t for t in (input, value) if isinstance(t, TensorBase)]
    if is_grad_enabled() and any(t.requires_grad for t in tensors):
        update_inplace(input, _with_item, value, place)
    else:
        _set_item(input, value, place)
        input.version[0] += 1


# --------------------------------------------------------------------------- along a dimension


def _places(input: Any, dim: int, index: Any) -> tuple:
    """The coordinates in ``input`` that ``index`` along ``dim`` stands for.

    A scalar counts as a vector of one element, both as the array and as the index.
    """
    axis, shape = axis_of(dim, input.ndim), input.shape or (1,)
    if index.dtype.kind not in "iu":
        raise TypeError(f"the index must be an integer tensor, got {index.dtype}")
    if xp(index) is not xp(input):  # CuPy would take it
        raise TypeError(f"the index is on {device_of(index)}, the input on {device_of(input)}")
    index = xp(index).atleast_1d(index)
    _check_fits(index.shape, shape, "input", but=axis)
    if index.size and not 0 <= index.min() <= index.max() < shape[axis]:
        raise IndexError(
            f"the index runs from {index.min()} to {index.max()}, outside 0..{shape[axis] - 1}"
        )
    coordinates = [_along(i, index) for i in range(index.ndim)]
    coordinates[axis] = index
    return tuple(coordinates)


def _along(axis: int, index: Any) -> Any:
    """The coordinate along ``axis`` of each element, in a shape that broadcasts."""
    shape = [-1 if i == axis else 1 for i in range(index.ndim)]
    return xp(index).arange(index.shape[axis]).reshape(shape)


def _check_fits(index: tuple, shape: tuple, name: str, but: int | None = None) -> None:
    if len(index) != len(shape) or any(
        n > size for i, (n, size) in enumerate(zip(index, shape)) if i != but
    ):
        raise ValueError(f"an index of shape {index} does not fit {name} of shape {shape}")


def _source(src: Any, result: Any, index: Any) -> Any:
    """As much of ``src`` as ``index`` has places for."""
    if not is_array(src):
        return src
    if src.dtype != result.dtype:
        raise TypeError(f"src must have the dtype of input, {result.dtype}, got {src.dtype}")
    src, shape = xp(src).atleast_1d(src), index.shape or (1,)
    _check_fits(shape, src.shape, "src")
    return src[tuple(map(slice, shape))]


@op
def gather(input, dim, index):
    """``out[i, j] = input[index[i, j], j]`` for ``dim=0``, and so on for other dimensions."""
    places = _places(input, dim, index)
    return xp(input).atleast_1d(input)[places].reshape(index.shape)


gather.vjp(lambda g, _y, _x, dim, index: scatter_add(g.new_zeros(_x.shape), dim, index, g))


@op
def _scatter(input, dim, index, src):
    result = input.copy()
    places = _places(input, dim, index)
    xp(result).atleast_1d(result)[places] = _source(src, result, index)
    return result


@op
def scatter_add(input, dim, index, src):
    """``input`` with ``src[i, j]`` added at ``[index[i, j], j]`` for ``dim=0``, and so on."""
    result = input.copy()
    places = _places(input, dim, index)
    xp(result).add.at(xp(result).atleast_1d(result), places, _source(src, result, index))
    return result


def _gather_for(g: Any, dim: int, index: Any, src: Any) -> Any:
    """The gradient of ``src``: what landed at ``index``; 0 where ``src`` is larger than it."""
    gathered = gather(g, dim, index)
    if gathered.shape == tuple(src.shape):
        return gathered
    return _put(gathered, src.shape, Index(tuple(map(slice, gathered.shape)), None))


_scatter.vjp(
    lambda g, _y, _x, dim, index, _src: _scatter(g, dim, index, 0.0),
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


def scatter(input: Any, dim: int, index: Any, src: Any = None, *, value: Any = None) -> Any:
    """``input`` with ``src[i, j]`` at ``[index[i, j], j]`` for ``dim=0``, and so on.

    In the place of the tensor ``src`` a number may be given, also as ``value``. Where
    ``index`` names a place twice, one of the two stays there, and both get its gradient.
    """
    if (src is None) == (value is None):
        raise TypeError("scatter: give either src or value")
    return _scatter(input, dim, index, value if src is None else src)


def index_select(input: Any, dim: int, index: Any) -> Any:
    """The slices of ``input`` along ``dim`` that the vector ``index`` names."""
    axis = axis_of(dim, input.ndim)
    if index.ndim > 1:
        raise ValueError(f"index_select: the index must be a vector, got shape {index.shape}")
    return getitem(input, (slice(None),) * axis + (index.reshape(-1),))


def masked_fill(input: Any, mask: Any, value: Any) -> Any:
    """``input`` with ``value`` (a number or a 0-d tensor) where ``mask`` is true."""
    if isinstance(value, TensorBase):
        if value.ndim:
            raise ValueError(f"masked_fill: the value must be one number, got {value.shape}")
        value = value.to(input.dtype)
    return where(mask, value, input)


# --------------------------------------------------------------------------- order


@op
def argsort(input, dim=-1, descending=False, stable=False):
    """The indices that sort along ``dim``; NaN counts as the largest.

    Equal elements keep their order, with ``stable`` or without.
    """
    axis = axis_of(dim, input.ndim)
    x = xp(input).atleast_1d(input)
    if descending:  # reverse twice, so that equal elements still keep their order
        order = xp(x).flip(x, axis).argsort(axis=axis, kind="stable")
        order = x.shape[axis] - 1 - xp(x).flip(order, axis)
    else:
        order = x.argsort(axis=axis, kind="stable")
    return order.astype(int64, copy=False).reshape(input.shape)


def sort(
    input: Any, dim: int = -1, descending: bool = False, stable: bool = False
) -> values_and_indices:
    """The elements in order along ``dim``, and their indices: see `argsort`."""
    indices = argsort(input, dim, descending, stable)
    return values_and_indices(gather(input, dim, indices), indices)


def topk(
    input: Any, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> values_and_indices:
    """The ``k`` largest (or smallest) elements along ``dim``, and their indices.

    They come in order, with ``sorted`` or without.
    """
    axis = axis_of(dim, input.ndim)
    available = input.shape[axis] if input.ndim else 1
    if not 0 <= k <= available:
        raise ValueError(f"topk: {k=} of {available} elements")
    indices = argsort(input, axis, largest)
    if input.ndim:
        indices = indices.narrow(axis, 0, k)
    return values_and_indices(gather(input, axis, indices), indices)
