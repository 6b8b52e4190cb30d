"""ReLU's kernels against their definition, and activations with a bias."""

import numpy as np
import pytest

import minidl
from minidl.kernels import kernels

NAN = float("nan")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("variant", ["numpy", "numba"])
def test_relu_of_special_values(variant, dtype):
    x = np.array([-1.0, -0.0, 0.0, 2.0, NAN, np.inf, -np.inf], dtype)
    y = kernels["relu"].variants[variant](x)
    np.testing.assert_array_equal(y, np.array([0, 0, 0, 2, NAN, np.inf, 0], dtype))
    g = np.arange(1, 8).astype(dtype)
    found = kernels["relu_grad"].variants[variant](g, y)
    np.testing.assert_array_equal(found, np.array([0, 0, 0, 4, 5, 6, 0], dtype))
    assert y.dtype == found.dtype == dtype


@pytest.mark.parametrize("size", [0, 1, 8191, 8193, 500_000])
def test_relu_of_any_size_and_layout(size):
    x = np.random.default_rng(0).normal(size=(2, size)).astype(np.float32)
    for view in (x, x[:, ::-1], x.T):
        y = kernels["relu"].variants["numba"](view)
        np.testing.assert_array_equal(y, np.maximum(view, 0))
        found = kernels["relu_grad"].variants["numba"](view, y)
        np.testing.assert_array_equal(found, np.where(y > 0, view, 0))


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 4, 4)])
def test_bias_activation_is_the_activation_of_the_sum(shape):
    x, bias = np.random.default_rng(0).normal(size=shape), np.linspace(-1, 1, shape[1])
    columns = bias.reshape((-1,) + (1,) * (len(shape) - 2))
    found = minidl.bias_activation(minidl.tensor(x), minidl.tensor(bias), "silu")
    np.testing.assert_allclose(found.numpy(), minidl.silu(minidl.tensor(x + columns)).numpy())
    last = minidl.bias_activation(minidl.tensor(x.T), minidl.tensor(bias), dim=-2)
    np.testing.assert_allclose(last.numpy(), np.maximum(x + columns, 0).T)


@pytest.mark.parametrize("activation", ["relu6", ""])
def test_unknown_activation(activation):
    with pytest.raises(ValueError, match="there are relu, leaky_relu"):
        minidl.bias_activation(minidl.ones(2, 3), minidl.ones(3), activation)


def test_bias_of_another_size():
    with pytest.raises(ValueError, match="size of dimension 1"):
        minidl.bias_activation(minidl.ones(2, 3), minidl.ones(2))


@pytest.mark.parametrize(
    "function", [minidl.silu, minidl.gelu, minidl.elu, minidl.leaky_relu, minidl.sigmoid]
)
def test_activations_of_integers_are_floating(function):
    found = function(minidl.tensor([-1, 0, 2]))
    expected = function(minidl.tensor([-1.0, 0.0, 2.0]))
    assert found.dtype == minidl.float32
    np.testing.assert_array_equal(found.numpy(), expected.numpy())
