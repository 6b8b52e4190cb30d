"""Samples of indexing, gathering, scattering and ordering."""

import math

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.ops import index as ops
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import (
    arrays,
    arrays_together,
    axes,
    boolean_arrays,
    broadcastable_shapes,
    indices,
    integer_arrays,
    shapes,
)

# --------------------------------------------------------------------------- x[index]


@st.composite
def _mixed_indices(draw, shape):
    """Integers, slices and arrays side by side, for three dimensions."""
    array = draw(integer_arrays((2,), 0, min(shape) - 1))
    mask = draw(boolean_arrays(shape[1:2]))
    return draw(
        st.sampled_from(
            [
                (0, slice(None), array),
                (array, slice(None), 0),
                (array, None, -1, array),
                (..., array, slice(1, None)),
                (slice(None), mask, 0),
                (array[0], mask),
                (array, ..., array),
            ]
        )
    )


@st.composite
def _shapes_and_indices(draw):
    if draw(st.booleans()):
        shape = draw(shapes(min_dims=3, min_side=1))
        return shape, draw(_mixed_indices(shape))
    shape = draw(shapes())
    return shape, draw(indices(shape))


@samples(ops.getitem, torch=lambda input, index: input[index])
def _(draw):
    shape, index = draw(_shapes_and_indices())
    return Sample(draw(arrays(shape)), index)


def _assigned(input, index, value):
    changed = input.clone()
    changed[index] = value
    return changed


@samples(_assigned, torch=_assigned)
def _(draw):
    """The second value broadcasts; an index that names a place twice has no one answer."""
    shape, index = draw(_shapes_and_indices())
    places = np.arange(math.prod(shape)).reshape(shape)[index]
    if len(np.unique(places)) < places.size:
        index, places = ..., np.empty(shape)
    value = places.shape if places.ndim < 2 else (1, *places.shape[1:])
    if isinstance(index, tuple) and any(isinstance(part, np.ndarray) for part in index):
        value = ()
    return Sample(*_reordered(draw(arrays_together([shape, value])), index))


def _reordered(pair, index):
    return pair[0], index, pair[1]


# --------------------------------------------------------------------------- along a dimension


def _index_along(draw, shape, dim, unique=False):
    """A dimension's indices, for as many places as the other dimensions have, or fewer."""
    sides = [draw(st.integers(0, side)) for side in shape]
    if unique:
        order = np.argsort(draw(arrays(tuple(shape))), axis=dim)
        return order[tuple(map(slice, sides))]
    sides[dim] = draw(st.integers(0, 4))
    return draw(integer_arrays(tuple(sides), 0, shape[dim] - 1))


@samples(minidl.gather)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(axes(len(shape)))
    return Sample(draw(arrays(shape)), dim, _index_along(draw, shape, dim))


@samples(minidl.scatter)
def _(draw):
    """Every place once: which of two values stays, nobody says."""
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(axes(len(shape)))
    index = _index_along(draw, shape, dim, unique=True)
    input, source = draw(arrays_together([shape, index.shape]))
    return Sample(input, dim, index, source)


@samples(minidl.scatter, torch=None)
@samples(minidl.scatter_add, torch=None)
def _(draw):
    """Only as much of the source is taken as there are indices; PyTorch then has no gradient."""
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(axes(len(shape)))
    input, source = draw(arrays_together([shape, shape]))
    return Sample(input, dim, _index_along(draw, shape, dim, unique=True), source)


@samples(minidl.scatter)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(axes(len(shape)))
    return Sample(draw(arrays(shape)), dim, _index_along(draw, shape, dim), value=1.5)


@samples(minidl.scatter_add)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(axes(len(shape)))
    index = _index_along(draw, shape, dim)
    input, source = draw(arrays_together([shape, index.shape]))
    return Sample(input, dim, index, source)


@samples(minidl.index_select)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    dim = draw(axes(len(shape)))
    index = draw(integer_arrays((draw(st.integers(0, 4)),), 0, shape[dim] - 1))
    return Sample(draw(arrays(shape)), dim, index)


@samples(minidl.masked_fill)
def _(draw):
    shape, mask = draw(broadcastable_shapes())
    return Sample(draw(arrays(shape)), draw(boolean_arrays(mask)), draw(st.sampled_from([0, -1.5])))


@samples(minidl.masked_fill)
def _(draw):
    shape, mask = draw(broadcastable_shapes())
    input, value = draw(arrays_together([shape, ()]))
    return Sample(input, draw(boolean_arrays(mask)), value)


# --------------------------------------------------------------------------- order


@samples(minidl.sort)
def _(draw):
    shape = draw(shapes(min_dims=1))
    descending = draw(st.booleans())
    return Sample(draw(arrays(shape)), dim=draw(axes(len(shape))), descending=descending)


@samples(minidl.argsort, differentiable=False)
def _(draw):
    """With ties, which keep their order."""
    shape = draw(shapes(min_dims=1))
    options = {"dim": draw(axes(len(shape))), "descending": draw(st.booleans())}
    return Sample(draw(integer_arrays(shape, 0, 2)), **options, stable=True)


@samples(minidl.topk)
def _(draw):
    shape = draw(shapes(min_dims=1))
    dim = draw(axes(len(shape)))
    k = draw(st.integers(0, shape[dim]))
    return Sample(draw(arrays(shape)), k, dim, largest=draw(st.booleans()))
