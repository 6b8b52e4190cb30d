"""Samples of reductions."""

import math

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.ops import reduce
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import (
    arrays,
    arrays_together,
    axes,
    boolean_arrays,
    broadcastable_shapes,
    dims,
    integer_arrays,
    shapes,
)


def _reduction(draw, none=True, **sides):
    """A shape and what to do with it: ``dim`` and ``keepdim``, where they are not left out."""
    shape = draw(shapes(**sides))
    dim = draw(dims(len(shape), none))
    if dim is None:
        return shape, {}
    return shape, {"dim": dim, "keepdim": draw(st.booleans())}


# --------------------------------------------------------------------------- sums


@samples(minidl.sum)
def _(draw):
    shape, options = _reduction(draw)
    return Sample(draw(arrays(shape)), **options)


@samples(minidl.mean)
def _(draw):
    shape, options = _reduction(draw, min_side=1)
    return Sample(draw(arrays(shape)), **options)


@samples(minidl.sum, differentiable=False)
@samples(minidl.mean, differentiable=False)
def _(draw):
    shape, options = _reduction(draw, none=False, min_dims=1, min_side=1)
    dtype = draw(st.sampled_from([minidl.float32, minidl.float64]))
    return Sample(draw(integer_arrays(shape)), **options, dtype=dtype)


@samples(minidl.sum, differentiable=False)
@samples(minidl.any, differentiable=False)
@samples(minidl.all, differentiable=False)
def _(draw):
    shape, options = _reduction(draw)
    return Sample(draw(boolean_arrays(shape)), **options)


@samples(reduce.sum_to_size, torch="Tensor.sum_to_size")
def _(draw):
    size, other = draw(broadcastable_shapes(min_side=1))
    return Sample(draw(arrays(np.broadcast_shapes(size, other))), size)


@samples(minidl.var)
@samples(minidl.std)
def _(draw):
    shape, options = _reduction(draw, min_side=2, min_dims=1)
    if draw(st.booleans()) and options:
        options["unbiased"] = draw(st.booleans())
    else:
        options["correction"] = draw(st.sampled_from([0, 1, 0.5]))
    return Sample(draw(arrays(shape)), **options)


@samples(minidl.cumsum)
def _(draw):
    shape = draw(shapes(min_dims=1))
    return Sample(draw(arrays(shape)), draw(axes(len(shape))))


@samples(minidl.logsumexp)
def _(draw):
    shape, options = _reduction(draw, none=False, min_dims=1, min_side=1)
    return Sample(draw(arrays(shape)), **options)


@samples(minidl.norm)
def _(draw):
    shape, options = _reduction(draw, min_side=1)
    p = draw(st.sampled_from([0, 0.5, 1, 1.5, 2, 3, -1, math.inf, -math.inf]))
    return Sample(draw(arrays(shape, margin=0.3)), p, **options)


@samples(minidl.norm)
def _(draw):
    """By name, which PyTorch takes along at most two dimensions, or along all."""
    return Sample(draw(arrays(draw(shapes(min_side=1)), margin=0.3)), "fro")


# --------------------------------------------------------------------------- products


@samples(minidl.prod)
def _(draw):
    shape = draw(shapes())
    return Sample(draw(arrays(shape)), *_single_dim(draw, shape))


@samples(minidl.prod)
def _(draw):
    """With zeros among the factors."""
    shape = draw(shapes())
    factors = draw(integer_arrays(shape, 0, 1)) * draw(arrays(shape))
    return Sample(np.asarray(factors), *_single_dim(draw, shape))


@samples(minidl.prod, torch=None)
def _(draw):
    """Over several dimensions, as PyTorch cannot."""
    shape, options = _reduction(draw)
    return Sample(draw(arrays(shape)), **options)


def _single_dim(draw, shape):
    """Nothing, or a dimension and whether to keep it."""
    if not shape or draw(st.booleans()):
        return ()
    return draw(axes(len(shape))), draw(st.booleans())


# --------------------------------------------------------------------------- extremes


@samples(minidl.amax)
@samples(minidl.amin)
def _(draw):
    shape, options = _reduction(draw, min_side=1)
    return Sample(draw(arrays(shape)), **options)


@samples(minidl.max)
@samples(minidl.min)
@samples(minidl.argmax, differentiable=False)
@samples(minidl.argmin, differentiable=False)
def _(draw):
    shape = draw(shapes(min_side=1))
    return Sample(draw(arrays(shape)), *_single_dim(draw, shape))


@samples(minidl.argmax, differentiable=False)
@samples(minidl.argmin, differentiable=False)
def _(draw):
    """With ties: the first one counts."""
    shape = draw(shapes(min_side=1, min_dims=1))
    return Sample(draw(integer_arrays(shape, 0, 1)), draw(axes(len(shape))))


@samples(minidl.max)
@samples(minidl.min)
def _(draw):
    """Of two tensors."""
    shape = draw(shapes())
    return Sample(*draw(arrays_together([shape, shape])))
