"""Samples of random tensors; the suite has them draw the same numbers at every call."""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import integer_arrays, shapes


@samples(minidl.rand, differentiable=False, torch=None)
@samples(minidl.randn, differentiable=False, torch=None)
def _(draw):
    return Sample(*draw(shapes()))


@samples(minidl.randint, differentiable=False, torch=None)
def _(draw):
    low = draw(st.integers(-(2**40), 2**40))
    return Sample(low, low + draw(st.integers(1, 2**40)), draw(shapes()))


@samples(minidl.randperm, differentiable=False, torch=None)
def _(draw):
    return Sample(draw(st.integers(0, 10)))


@samples(minidl.rand_like, differentiable=False, torch=None)
@samples(minidl.randn_like, differentiable=False, torch=None)
def _(draw):
    dtype = np.dtype(draw(st.sampled_from(["float32", "float64"])))
    return Sample(draw(integer_arrays(shapes())), dtype=dtype)
