"""Samples of normalisation. A large eps tames the second derivatives where values are few."""

import math

from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, shapes

EPS = 0.1


def _optional(draw, shape):
    return draw(st.none() | arrays(shape))


def _batches(draw, **sides):
    return draw(shapes(min_dims=2, max_dims=4, max_side=4, **sides))


@samples(minidl.batch_norm)
def _(draw):
    shape = _batches(draw, min_side=1)
    if shape[0] * math.prod(shape[2:]) == 1:
        shape = (2, *shape[1:])
    weight, bias = _optional(draw, shape[1:2]), _optional(draw, shape[1:2])
    return Sample(draw(arrays(shape)), None, None, weight, bias, training=True, eps=EPS)


@samples(minidl.batch_norm)
def _(draw):
    """Rows long enough for the kernels to take them as they lie, and in pieces."""
    shape = draw(st.sampled_from([(2, 2, 300), (3, 2, 4, 5)]))
    x, weight, bias = draw(arrays(shape)), draw(arrays((2,))), draw(arrays((2,)))
    return Sample(x, None, None, weight, bias, training=True, eps=EPS)


def _with_running_statistics(x, mean, var, weight, bias, eps):
    """In PyTorch: its own operator has no gradient for the statistics."""
    columns = (1, -1) + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(columns)) / (var.reshape(columns) + eps).sqrt()
    y = y if weight is None else y * weight.reshape(columns)
    return y if bias is None else y + bias.reshape(columns)


@samples(minidl.batch_norm, torch=_with_running_statistics)
def _(draw):
    shape = draw(st.just((2, 2, 4, 5)) | shapes(min_dims=2, max_dims=4))
    mean, var = draw(arrays(shape[1:2])), draw(arrays(shape[1:2], min_value=0.5))
    weight, bias = _optional(draw, shape[1:2]), _optional(draw, shape[1:2])
    return Sample(draw(arrays(shape)), mean, var, weight, bias, eps=EPS)


@samples(minidl.layer_norm)
def _(draw):
    shape = draw(shapes(min_dims=1, min_side=1))
    size = shape[draw(st.integers(0, len(shape) - 1)) :]
    weight, bias = _optional(draw, size), _optional(draw, size)
    return Sample(draw(arrays(shape)), size, weight, bias, EPS)


@samples(minidl.group_norm)
def _(draw):
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    n, *sides = _batches(draw, min_side=1)
    shape = (n, groups * size, *sides[1:])
    if math.prod(shape) == n * groups:  # PyTorch refuses to normalise a single value
        shape += (2,)
    weight, bias = draw(arrays(shape[1:2])), draw(arrays(shape[1:2]))
    if draw(st.booleans()):  # PyTorch 2.13 fails at a bias without a weight
        weight = bias = None
    return Sample(draw(arrays(shape)), groups, weight, bias, EPS)
