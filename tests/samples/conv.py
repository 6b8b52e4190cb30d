"""Samples of convolutions: every combination of stride, padding, dilation and groups."""

import numpy as np
from hypothesis import strategies as st

import minidl
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, conv_configurations, conv_transpose_configurations


def _sample(draw, configuration):
    """The configuration with values, with or without a bias and a batch dimension."""
    shape = configuration.input_shape[draw(st.integers(0, 1)) if _single(configuration) else 0 :]
    bias = draw(st.none() | arrays(configuration.bias_shape))
    return Sample(
        draw(arrays(shape)),
        draw(arrays(configuration.weight_shape)),
        bias,
        **configuration.options,
    )


def _single(configuration):
    return configuration.input_shape[0] == 1


@samples(minidl.conv2d)
def _(draw):
    return _sample(draw, draw(conv_configurations()))


@samples(minidl.conv2d)
def _(draw):
    """More filters and positions than one register tile takes."""
    x, w, bias = draw(arrays((3, 2, 9, 8))), draw(arrays((5, 2, 3, 2))), draw(arrays((5,)))
    return Sample(x, w, bias, draw(st.integers(1, 2)), draw(st.integers(0, 1)))


@samples(minidl.conv2d_relu, torch=None)
def _(draw):
    """With biases that keep what relu gets away from 0."""
    configuration = draw(conv_configurations())
    x, w = draw(arrays(configuration.input_shape)), draw(arrays(configuration.weight_shape))
    y = minidl.conv2d(minidl.from_numpy(x), minidl.from_numpy(w), **configuration.options).numpy()
    bias = np.array([-draw(_gaps(channel)) for channel in y.swapaxes(0, 1)])
    return Sample(x, w, bias, **configuration.options)


def _gaps(values):
    """A number well between two neighbouring values, or beyond them all."""
    places = np.sort([*values.ravel(), values.min() - 1, values.max() + 1])
    wide = np.diff(places) > 0.2
    return st.sampled_from(((places[:-1] + places[1:]) / 2)[wide])


@samples(minidl.conv1d)
def _(draw):
    return _sample(draw, draw(conv_configurations(ndim=1)))


@samples(minidl.conv_transpose2d)
def _(draw):
    return _sample(draw, draw(conv_transpose_configurations()))


@samples(minidl.conv_transpose1d)
def _(draw):
    return _sample(draw, draw(conv_transpose_configurations(ndim=1)))
