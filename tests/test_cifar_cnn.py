"""The article's network as a whole: every parameter's gradient against numerical ones."""

import numpy as np
import pytest
from cifar_cnn import ArticleNet, fast_net

import minidl
from minidl import nn


def loss_of(model, pictures, labels):
    return nn.functional.cross_entropy(model(pictures), labels)


def directional_difference(model, parameter, direction, pictures, labels, step=1e-6):
    """The loss's slope along ``direction`` in one parameter, by a central difference."""
    at = parameter.array.copy()
    values = []
    for sign in (1, -1):
        parameter.array[...] = at + sign * step * direction
        values.append(loss_of(model, pictures, labels).item())
    parameter.array[...] = at
    return (values[0] - values[1]) / (2 * step)


@pytest.mark.parametrize("kernel_set", minidl.kernels.registry.SETS)
@pytest.mark.parametrize("make", [ArticleNet, fast_net])
def test_gradient_of_every_parameter(make, kernel_set):
    minidl.manual_seed(3)
    rng = np.random.default_rng(3)
    model = make().double()
    pictures = minidl.tensor(rng.normal(size=(4, 3, 32, 32)))
    labels = minidl.tensor(rng.integers(0, 10, 4))
    with minidl.kernels.use_kernels(kernel_set):
        loss_of(model, pictures, labels).backward()
        for name, parameter in model.named_parameters():
            flat = np.zeros(parameter.numel())
            flat[rng.integers(parameter.numel())] = 1.0
            for direction in (rng.normal(size=parameter.shape), flat.reshape(parameter.shape)):
                with minidl.no_grad():
                    expected = directional_difference(model, parameter, direction, pictures, labels)
                found = float((parameter.grad.array * direction).sum())
                assert found == pytest.approx(expected, rel=1e-5, abs=1e-8), name
