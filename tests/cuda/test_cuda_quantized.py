"""Layers of 8-bit integers on a device: the reference's bits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import on_device

from minidl.kernels import quantized_conv2d, quantized_linear


def check(place, kernel, *args):
    found, expected = on_device(place, kernel, *args), kernel.reference(*args)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()


def _numbers(draw, filters):
    """Of a layer: the scale and the zero point of its input, the scales of its weights, biases."""
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    scales = random.random(filters).astype(np.float32) / 50 + np.float32(1e-3)
    w_scale = scales if draw(st.booleans()) else np.asarray(scales[0])
    bias = random.standard_normal(filters).astype(np.float32) if draw(st.booleans()) else None
    zero = np.asarray(draw(st.integers(-128, 127)), np.int8)
    return random, np.asarray(np.float32(0.03)), zero, w_scale, bias


@given(st.data())
def test_convolutions(place, data):
    draw = data.draw
    groups = draw(st.integers(1, 3))
    channels, filters = draw(st.integers(1, 6)) * groups, draw(st.integers(1, 5)) * groups
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = draw(st.tuples(st.integers(7, 12), st.integers(7, 12)))
    how = (
        draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
        draw(st.tuples(*[st.integers(-1, 2)] * 4)),
        draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        groups,
        draw(st.integers(0, 2)),  # what comes after
    )
    random, scale, zero, w_scale, bias = _numbers(draw, filters)
    x = random.standard_normal((draw(st.integers(0, 3)), channels, *size)).astype(np.float32)
    w = random.integers(-128, 128, (filters, channels // groups, *kernel)).astype(np.int8)
    check(place, quantized_conv2d, x, scale, zero, w, w_scale, bias, *how)


@given(st.integers(0, 9), st.integers(1, 40), st.integers(1, 40), st.data())
def test_linear_layers(place, rows, size, outputs, data):
    random, scale, zero, w_scale, bias = _numbers(data.draw, outputs)
    x = random.standard_normal((rows, size)).astype(np.float32)
    w = random.integers(-128, 128, (outputs, size)).astype(np.int8)
    after = data.draw(st.integers(0, 1))
    check(place, quantized_linear, x, scale, zero, w, w_scale, bias, after)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e38, 0.5, 1.5])
def test_numbers_at_the_limits(place, value):
    one, x = np.asarray(np.float32(1)), np.full((1, 5), value, np.float32)
    args = x, one, np.asarray(np.int8(3)), np.eye(5, dtype=np.int8), one, None
    check(place, quantized_linear, *args)
