"""A network as a whole: every parameter's gradient against numerical ones."""

import copy

import numpy as np
import pytest

import minidl
from minidl import nn


def loss_of(model, pictures, labels):
    return nn.functional.cross_entropy(model(pictures), labels)


def directional_difference(model, parameter, direction, pictures, labels, step=1e-6):
    """The loss's slope along ``direction`` in one parameter, by a central difference."""
    at = parameter.array.copy()
    values = []
    for sign in (1, -1):
        parameter.copy_(at + sign * step * direction)
        values.append(loss_of(model, pictures, labels).item())
    parameter.copy_(at)
    return (values[0] - values[1]) / (2 * step)


def check_every_parameter(make, place="cpu"):
    """The loss and its gradients on ``place`` are those of numerical ones on the CPU.

    ``make()`` is a network of ten classes for pictures (N, 3, 32, 32).
    """
    minidl.manual_seed(3)
    rng = np.random.default_rng(3)
    model = make().double()
    pictures = minidl.tensor(rng.normal(size=(4, 3, 32, 32)))
    labels = minidl.tensor(rng.integers(0, 10, 4))
    there = copy.deepcopy(model).to(place)
    loss = loss_of(there, pictures.to(place), labels.to(place))
    assert loss.item() == pytest.approx(loss_of(model, pictures, labels).item(), rel=1e-12)
    loss.backward()
    gradients = {name: p.grad.numpy(force=True) for name, p in there.named_parameters()}
    for name, parameter in model.named_parameters():
        flat = np.zeros(parameter.numel())
        flat[rng.integers(parameter.numel())] = 1.0
        for direction in (rng.normal(size=parameter.shape), flat.reshape(parameter.shape)):
            with minidl.no_grad():
                expected = directional_difference(model, parameter, direction, pictures, labels)
            found = float((gradients[name] * direction).sum())
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-8), name
