"""Samples of softmax."""

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, axes, integer_arrays, shapes


@samples(minidl.softmax)
@samples(minidl.log_softmax)
def _(draw):
    shape = draw(shapes(min_dims=1))
    return Sample(draw(arrays(shape)), dim=draw(axes(len(shape))))


@samples(minidl.softmax, differentiable=False)
@samples(minidl.log_softmax, differentiable=False)
def _(draw):
    return Sample(draw(integer_arrays(shapes(min_dims=1))), 0, dtype=minidl.float64)
