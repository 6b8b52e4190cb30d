"""Samples of 8-bit integers in the place of floats."""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, conv_configurations, shapes


def _parameters(draw, size=()):
    """A scale and a zero point."""
    count = int(np.prod(size))
    exponents = draw(st.lists(st.integers(-6, 1), min_size=count, max_size=count))
    zeros = draw(st.lists(st.integers(-128, 127), min_size=count, max_size=count))
    scale = 2.0 ** np.array(exponents, np.float64).reshape(size)
    return scale, np.array(zeros, np.int8).reshape(size)


def _weight(draw, *shape):
    numbers = draw(st.integers(0, 2**32 - 1))
    return np.random.default_rng(numbers).integers(-128, 128, shape).astype(np.int8)


@samples(minidl.quantize, differentiable=False, torch=None)
def _(draw):
    x = draw(arrays(draw(shapes(min_dims=1))))
    axis = draw(st.none() | st.integers(0, x.ndim - 1))
    return Sample(x, *_parameters(draw, () if axis is None else (x.shape[axis],)), axis)


@samples(minidl.dequantize, differentiable=False, torch=None)
def _(draw):
    q = _weight(draw, *draw(shapes(min_dims=1)))
    axis = draw(st.none() | st.integers(0, q.ndim - 1))
    return Sample(q, *_parameters(draw, () if axis is None else (q.shape[axis],)), axis)


@samples(minidl.fake_quantize, differentiable=False, torch=None)
def _(draw):
    x = draw(arrays(draw(shapes(min_dims=1))))
    axis = draw(st.none() | st.integers(0, x.ndim - 1))
    return Sample(x, *_parameters(draw, () if axis is None else (x.shape[axis],)), axis)


@samples(minidl.fake_quantize, torch=None)
def _(draw):
    """Beyond what the integers stand for, where the pretended gradient is the true one."""
    return Sample(np.sign(draw(arrays((3, 4)))) * 1000.0 + draw(arrays((3, 4))), 0.5, 3)


@samples(minidl.quantized_conv2d, differentiable=False, torch=None)
def _(draw):
    how = draw(conv_configurations())
    x, w = draw(arrays(how.input_shape)), _weight(draw, *how.weight_shape)
    w_scale, _ = _parameters(draw, draw(st.sampled_from([(), how.bias_shape])))
    bias = draw(st.none() | arrays(how.bias_shape))
    return Sample(x, *_parameters(draw), w, w_scale, bias, **how.options)


@samples(minidl.quantized_linear, differentiable=False, torch=None)
def _(draw):
    *lead, size = draw(shapes(min_dims=1))
    outputs = draw(st.integers(1, 40))
    w_scale, _ = _parameters(draw, draw(st.sampled_from([(), (outputs,)])))
    x, bias = draw(arrays((*lead, size))), draw(st.none() | arrays((outputs,)))
    return Sample(x, *_parameters(draw), _weight(draw, outputs, size), w_scale, bias)
