"""Samples of operators that make tensors out of nothing."""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Case, Sample, registered, samples
from minidl.testing.strategies import integer_arrays, shapes

DTYPES = st.sampled_from([minidl.float32, minidl.float64, minidl.int64, minidl.bool_])


def _dtype_option(draw):
    return draw(st.sampled_from([{}, {"dtype": draw(DTYPES)}]))


@samples(minidl.zeros, differentiable=False)
@samples(minidl.ones, differentiable=False)
def _(draw):
    return Sample(draw(shapes()), **_dtype_option(draw))


@samples(minidl.full, differentiable=False)
def _(draw):
    value = draw(st.sampled_from([1.5, 2, True]))
    return Sample(draw(shapes()), value, **_dtype_option(draw))


@samples(minidl.zeros_like, differentiable=False)
@samples(minidl.ones_like, differentiable=False)
def _(draw):
    return Sample(draw(integer_arrays(shapes())), **_dtype_option(draw))


@samples(minidl.full_like, differentiable=False)
def _(draw):
    return Sample(draw(integer_arrays(shapes())), draw(st.integers(-3, 3)), **_dtype_option(draw))


@samples(minidl.empty, differentiable=False, torch=None)
def _(draw):
    return Sample(0, *draw(shapes()))


@samples(minidl.empty_like, differentiable=False)
def _(draw):
    return Sample(draw(integer_arrays((0, 2))), **_dtype_option(draw))


@samples(minidl.arange, differentiable=False)
def _(draw):
    start, count = draw(st.sampled_from([0, -2, 1.5])), draw(st.integers(0, 5))
    step = draw(st.sampled_from([1, 2, -1, 0.25, -0.5]))
    bounds = (start, start + count * step, step)
    return Sample(*draw(st.sampled_from([bounds, (count,), (start, start + count)])))


@samples(minidl.linspace, differentiable=False)
def _(draw):
    start, end = draw(st.sampled_from([(0, 1), (-2.5, 2.5), (3, 3)]))
    return Sample(start, end, draw(st.integers(0, 9)), dtype=minidl.float64)


@samples(minidl.eye, differentiable=False)
def _(draw):
    return Sample(draw(st.integers(0, 3)), draw(st.integers(0, 4)), **_dtype_option(draw))


@samples(minidl.tensor, differentiable=False)
@samples(minidl.as_tensor, differentiable=False)
def _(draw):
    data = draw(st.sampled_from([3, 2.5, True, [1, 2.5], [[1, 2], [3, 4]], [True, 2]]))
    return Sample(data, **_dtype_option(draw))


def _shared(numbers):
    return minidl.from_numpy(np.array(numbers, dtype=np.int64))


# The suite turns arrays into tensors before the call, so this array is made inside it.
registered[minidl.from_numpy] = [
    Case(
        _shared, st.builds(Sample, st.lists(st.integers(-9, 9), min_size=1)), False, torch="tensor"
    )
]
