"""Samples of pooling. All values differ, so that no window has two largest elements."""

from hypothesis import assume
from hypothesis import strategies as st

import minidl
from minidl.autograd import operators
from minidl.testing.samples import Sample, samples
from minidl.testing.strategies import arrays, integer_arrays, pool_configurations


def _input(draw, shape):
    """Values of this shape; without the batch dimension at times, if there is one picture."""
    return draw(arrays(shape[1:] if shape[0] == 1 and draw(st.booleans()) else shape))


@samples(minidl.max_pool2d)
def _(draw):
    configuration = draw(pool_configurations())
    x = _input(draw, configuration.input_shape)
    try:
        minidl.max_pool2d(minidl.tensor(x), **configuration.options)
    except ValueError:
        assume(False)  # dilated windows can miss a small picture altogether
    return Sample(x, **configuration.options, return_indices=draw(st.booleans()))


@samples(operators["max_pool2d_gather"], torch=None)
def _(draw):
    """The second derivative's operator, whose own rule only a third derivative would run."""
    n, channels, height, width = draw(st.tuples(*[st.integers(1, 3)] * 4))
    places = integer_arrays((n, channels, 2, 2), 0, height * width - 1)
    windows = ((height + 1, width + 1), (1, 1), (1, 1), (1, 1))  # four that hold the whole plane
    return Sample(draw(arrays((n, channels, height, width))), draw(places), windows)


@samples(minidl.avg_pool2d)
def _(draw):
    configuration = draw(pool_configurations(dilated=False))
    return Sample(
        _input(draw, configuration.input_shape),
        **configuration.options,
        count_include_pad=draw(st.booleans()),
        divisor_override=draw(st.sampled_from([None, 1, 3])),
    )


@samples(minidl.adaptive_avg_pool2d)
def _(draw):
    shape = draw(st.tuples(*[st.integers(1, 5)] * 4))
    size = st.integers(1, 4)
    output_size = draw(size | st.tuples(st.none() | size, st.none() | size))
    return Sample(_input(draw, shape), output_size)
