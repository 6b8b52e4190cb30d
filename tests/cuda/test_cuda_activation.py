"""Activations on a device."""

import numpy as np
from on_device import assert_agrees
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import relu, relu_grad
from minidl.kernels.cuda import FLOATING


@given(st.sampled_from(FLOATING), st.integers(0, 700), st.integers(0, 1000))
def test_relu_and_its_gradient(place, dtype, size, seed):
    x, g = np.random.default_rng(seed).standard_normal((2, size)).astype(dtype)
    assert_agrees(place, relu, x)
    assert_agrees(place, relu_grad, g, np.maximum(x, 0))


def test_special_values(place):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45], np.float32)
    assert_agrees(place, relu, x)
    assert_agrees(place, relu_grad, np.ones_like(x), x)
