"""Activations on a device."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_agrees, assert_close

from minidl.backend import to_device, to_host
from minidl.kernels import activation, activation_grad, relu, relu_grad
from minidl.kernels.activation.reference import FUNCTIONS
from minidl.kernels.cuda import FLOATING

DTYPES = st.sampled_from(FLOATING)
PARAMETERS = {"leaky_relu": (0.1,), "elu": (1.5,), "softplus": (2.0, 5.0)}


def values(dtype, *shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


@given(DTYPES, st.integers(0, 700), st.integers(0, 1000))
def test_relu_and_its_gradient(place, dtype, size, seed):
    g, x = values(dtype, 2, size, seed=seed)
    assert_agrees(place, relu, x)
    assert_agrees(place, relu_grad, g, np.maximum(x, 0))


def test_special_values(place):
    # CuPy has everything compiled to take subnormal numbers, below 1.2e-38, for zero
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-36], np.float32)
    assert_agrees(place, relu, x)
    assert_agrees(place, relu_grad, np.ones_like(x), x)
    for name in FUNCTIONS:
        arguments = None, name, PARAMETERS.get(name, ())
        assert_agrees(place, activation, x, *arguments)
        assert_agrees(place, activation_grad, np.ones_like(x), x, *arguments)


@pytest.mark.parametrize("name", FUNCTIONS)
@given(
    dtype=DTYPES,
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9))
    | st.tuples(st.integers(0, 3), st.integers(1, 6), st.integers(1, 3), st.integers(1, 5)),
    with_bias=st.booleans(),
)
def test_activation(place, name, dtype, shape, with_bias):
    g, x = values(dtype, 2, *shape)
    bias = values(dtype, shape[1]) if with_bias else None
    arguments = bias, name, PARAMETERS.get(name, ())
    assert_agrees(place, activation, x, *arguments)
    assert_agrees(place, activation_grad, g, x, *arguments, tolerance=2)


@pytest.mark.parametrize("dtype", FLOATING)
def test_several_blocks_and_layouts(place, dtype):
    x = values(dtype, 12, 20, 16)
    for view in (x, x.T, x[:, 1:, ::2], x.reshape(-1)[3:-17].reshape(5, 4, 191)):
        bias = values(dtype, 2 * view.shape[1])[::2]
        assert_agrees(place, relu, view)
        assert_agrees(place, relu_grad, view[::-1], view)
        assert_agrees(place, activation, view, bias, "silu", ())
        assert_agrees(place, activation_grad, view[::-1], view, bias, "silu", (), tolerance=2)


@pytest.mark.parametrize("dtype", FLOATING)
def test_slices_that_begin_anywhere(place, dtype):
    x = values(dtype, 700)
    moved = to_device(x, place)
    for start in range(1, 5):
        found = to_host(activation(moved[start:], None, "tanh", ()))
        assert_close(found, activation.reference(x[start:], None, "tanh", ()))
        found = to_host(relu_grad(moved[:-start], moved[start:]))
        assert_close(found, relu_grad.reference(x[:-start], x[start:]))


def test_integers_and_numbers(place):
    assert_agrees(place, relu, np.arange(-3, 4))
    assert_agrees(place, activation, np.array(2, np.float32), None, "gelu", ())
