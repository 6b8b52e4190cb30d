"""Operators that move elements and compute nothing.

Where NumPy can, the result is a view: it shares memory with the input, and with it the
counter by which autograd notices changes in place.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.autograd import op
from minidl.backend import result_type, xp


def axes(dim: Any, ndim: int) -> tuple[int, ...]:
    """``dim`` (None for all, an integer or several) as non-negative axes; IndexError if outside."""
    if dim is None:
        return tuple(range(ndim))
    dims = (dim,) if isinstance(dim, int | np.integer) else tuple(dim)
    limit = max(ndim, 1)  # a scalar answers to dim 0 and -1
    for d in dims:
        if not -limit <= d < limit:
            raise IndexError(f"dim {d} is out of range for {ndim} dimensions")
    resolved = tuple(d % limit for d in dims)
    if len(set(resolved)) != len(resolved):
        raise ValueError(f"a dimension appears twice in dim={dim}")
    return resolved if ndim else ()


def axis_of(dim: Any, ndim: int) -> int:
    """``dim``, a single one, as a non-negative axis; 0 for a scalar, which has none."""
    if not isinstance(dim, int | np.integer):
        raise TypeError(f"dim must be an integer, got {dim!r}")
    resolved = axes(dim, ndim)
    return resolved[0] if resolved else 0


def shape_of(size: Sequence) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike: the sizes as a tuple."""
    if len(size) == 1 and isinstance(size[0], Sequence):
        size = size[0]
    return tuple(operator.index(s) for s in size)


# --------------------------------------------------------------------------- shape alone


@op(view=True)
def reshape(input, shape):
    """The same elements in row-major order under another shape; one size may be -1."""
    return input.reshape(shape)


reshape.vjp(
    lambda g, _y, _x, _shape: reshape(g, _x.shape),
    arrays=[lambda g, _y, _x, _shape: g.reshape(_x.shape)],
)


@op(view=True)
def view(input, shape):
    """`reshape` that never copies: ValueError where the memory layout does not allow it."""
    result = input.reshape(shape)
    if result.size and not xp(input).may_share_memory(result, input):
        raise ValueError(f"no view of shape {tuple(shape)} without a copy: use reshape()")
    return result


view.vjp(
    lambda g, _y, _x, _shape: reshape(g, _x.shape),
    arrays=[lambda g, _y, _x, _shape: g.reshape(_x.shape)],
)


def view_as(input: Any, other: Any) -> Any:
    """``input`` as a view of ``other``'s shape."""
    return view(input, other.shape)


def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """Dimensions ``start_dim`` to ``end_dim`` (inclusive) as one."""
    if input.ndim == 0:
        return reshape(input, (1,))
    first, last = axis_of(start_dim, input.ndim), axis_of(end_dim, input.ndim)
    if first > last:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    merged = math.prod(input.shape[first : last + 1])
    return reshape(input, (*input.shape[:first], merged, *input.shape[last + 1 :]))


def squeeze(input: Any, dim: Any = None) -> Any:
    """Without the dimensions of size 1: all of them, or those of ``dim`` that have size 1."""
    chosen = axes(dim, input.ndim)
    return reshape(input, tuple(s for i, s in enumerate(input.shape) if s != 1 or i not in chosen))


def unsqueeze(input: Any, dim: int) -> Any:
    """With a dimension of size 1 inserted before ``dim``."""
    axis = axis_of(dim, input.ndim + 1)
    return reshape(input, (*input.shape[:axis], 1, *input.shape[axis:]))


# --------------------------------------------------------------------------- order


@op(view=True)
def permute(input, dims):
    """Dimensions in the order ``dims``."""
    return input.transpose(axes(dims, input.ndim))


permute.vjp(lambda g, _y, _x, dims: permute(g, _inverse(axes(dims, _x.ndim))))


def _inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argsort(order))


def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Dimensions ``dim0`` and ``dim1`` exchanged."""
    a, b = axis_of(dim0, input.ndim), axis_of(dim1, input.ndim)
    exchanged = {a: b, b: a}
    return permute(input, tuple(exchanged.get(i, i) for i in range(input.ndim)))


def t(input: Any) -> Any:
    """The transpose of a matrix; vectors and scalars stay as they are."""
    if input.ndim > 2:
        raise ValueError(f"t: wants at most 2 dimensions, got shape {input.shape}")
    return transpose(input, 0, 1) if input.ndim == 2 else input


@op(view=True)
def flip(input, dims):
    """The order of elements reversed along ``dims``."""
    return xp(input).flip(input, axes(dims, input.ndim))


flip.vjp(lambda g, _y, _x, dims: flip(g, dims))


@op
def _roll(input, shifts, dims):
    return xp(input).roll(input, shifts, dims)


_roll.vjp(lambda g, _y, _x, shifts, dims: _roll(g, tuple(-s for s in shifts), dims))


def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Elements shifted along ``dims``, coming back at the start; flattened if ``dims`` is None."""
    shifts = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None:
        return reshape(roll(reshape(input, (-1,)), shifts, 0), input.shape)
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(shifts) != len(dims):
        raise ValueError(f"roll: {shifts=} and {dims=} must be equally many")
    return _roll(input, shifts, tuple(axis_of(dim, input.ndim) for dim in dims))


# --------------------------------------------------------------------------- repetition


@op(view=True)
def expand(input, size):
    """Dimensions of size 1 repeated to ``size`` without copying; -1 keeps a size."""
    lead = len(size) - input.ndim
    full = [input.shape[i - lead] if s == -1 and i >= lead else s for i, s in enumerate(size)]
    return xp(input).broadcast_to(input, tuple(full))


expand.vjp(lambda g, _y, _x, _size: g)  # the engine sums over what was broadcast


def expand_as(input: Any, other: Any) -> Any:
    """``input`` expanded to ``other``'s shape."""
    return expand(input, other.shape)


def repeat(input: Any, repeats: Sequence[int]) -> Any:
    """The whole tensor tiled ``repeats`` times along each dimension."""
    repeats = tuple(repeats)
    lead = len(repeats) - input.ndim
    if lead < 0:
        raise ValueError(f"repeat: {repeats} has fewer entries than the shape {input.shape}")
    shape = (1,) * lead + tuple(input.shape)
    spread = reshape(input, [size for s in shape for size in (1, s)])
    tiled = expand(spread, [size for n, s in zip(repeats, shape) for size in (n, s)])
    return reshape(tiled, [n * s for n, s in zip(repeats, shape)])


# --------------------------------------------------------------------------- joining


@op
def _cat(*arrays, dim):
    dtype = result_type(*arrays)
    return xp(*arrays).concatenate([a.astype(dtype, copy=False) for a in arrays], axis=dim)


@_cat.vjp_each
def _cat_rule(g, _y, *_arrays, i, dim):
    start = sum(array.shape[dim] for array in _arrays[:i])
    return narrow(g, dim, start, _arrays[i].shape[dim])


def cat(tensors: Sequence, dim: int = 0) -> Any:
    """Tensors joined along a dimension they have; other sizes must agree.

    Tensors of shape (0,) are passed over, so that a loop may start with an empty one.
    """
    if not tensors:
        raise ValueError("cat: wants at least one tensor, got none")
    filled = [tensor for tensor in tensors if tensor.shape != (0,)] or tensors[:1]
    if filled[0].ndim == 0:
        raise ValueError("cat: 0-d tensors have no dimension to be joined along: use stack()")
    return _cat(*filled, dim=axis_of(dim, filled[0].ndim))


def stack(tensors: Sequence, dim: int = 0) -> Any:
    """Tensors of one shape joined along a new dimension."""
    if not tensors:
        raise ValueError("stack: wants at least one tensor, got none")
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"stack: wants tensors of one shape, got {sorted(shapes)}")
    axis = axis_of(dim, tensors[0].ndim + 1)
    return _cat(*(unsqueeze(tensor, axis) for tensor in tensors), dim=axis)


# --------------------------------------------------------------------------- splitting


@op(view=True)
def narrow(input, dim, start, length):
    """Elements ``start`` to ``start + length`` along ``dim``; ``start`` may count from the end."""
    axis = axis_of(dim, input.ndim)
    size = input.shape[axis] if input.ndim else 0
    first = start + size if start < 0 else start
    if not 0 <= first <= first + length <= size:
        raise IndexError(f"{length} elements from {start} on, of {size}")
    return input[(slice(None),) * axis + (slice(first, first + length),)]


narrow.vjp(lambda g, _y, _x, dim, start, _length: _widen(g, _x.shape, dim, start))


@op
def _widen(input, shape, dim, start):
    """Zeros of ``shape`` with ``input`` in the place that `narrow` took it from."""
    axis = axis_of(dim, len(shape))
    first = start + shape[axis] if start < 0 else start
    result = xp(input).zeros(shape, input.dtype)
    result[(slice(None),) * axis + (slice(first, first + input.shape[axis]),)] = input
    return result


_widen.vjp(lambda g, _y, _x, _shape, dim, start: narrow(g, dim, start, _x.shape[dim]))


def split(tensor: Any, split_size_or_sections: Any, dim: int = 0) -> tuple:
    """Pieces along ``dim``: of a given size (the last may be smaller), or of given sizes."""
    axis = axis_of(dim, tensor.ndim)
    total = tensor.shape[axis]
    if isinstance(split_size_or_sections, int):
        step = split_size_or_sections
        if step < 0 or step == 0 != total:
            raise ValueError(f"split: the size of a piece must be positive, got {step}")
        sizes = [min(step, total - start) for start in range(0, total, step or 1)] or [0]
    else:
        sizes = list(split_size_or_sections)
        if sum(sizes) != total:
            raise ValueError(f"split: sizes {sizes} do not add up to {total}, the size of {dim=}")
    starts = itertools.accumulate(sizes, initial=0)
    return tuple(narrow(tensor, axis, start, size) for start, size in zip(starts, sizes))


def chunk(input: Any, chunks: int, dim: int = 0) -> tuple:
    """At most ``chunks`` pieces of equal size along ``dim``; the last may be smaller."""
    if chunks <= 0:
        raise ValueError(f"chunk: wants a positive number of chunks, got {chunks}")
    axis = axis_of(dim, input.ndim)
    total = input.shape[axis]
    return split(input, -(-total // chunks), axis) if total else split(input, [0] * chunks, axis)


def unbind(input: Any, dim: int = 0) -> tuple:
    """The slices along ``dim``, without that dimension."""
    if input.ndim == 0:
        raise ValueError("unbind: a 0-d tensor has no dimension to take slices along")
    axis = axis_of(dim, input.ndim)
    slices = (narrow(input, axis, i, 1) for i in range(input.shape[axis]))
    return tuple(squeeze(piece, axis) for piece in slices)
