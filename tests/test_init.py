"""Initial values: the layers' own, and the functions of nn.init."""

import math

import numpy as np
import pytest

import minidl
from minidl import nn

# --------------------------------------------------------------------------- initial values


def uniform_within(values, bound):
    values = values.detach().array.ravel()
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    assert values.mean() == pytest.approx(0, abs=4 * bound / math.sqrt(3 * values.size))
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def normal_with(values, std):
    values = values.detach().array.ravel()
    assert values.mean() == pytest.approx(0, abs=4 * std / math.sqrt(values.size))
    assert values.std() == pytest.approx(std, rel=0.05)
    assert np.abs(values).max() > 2.5 * std


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Linear(50, 400), 50),
        (lambda: nn.Conv2d(6, 400, 5), 6 * 25),
        (lambda: nn.Conv2d(8, 400, 3, groups=2), 4 * 9),
        (lambda: nn.Conv1d(8, 400, 3), 8 * 3),
        (lambda: nn.ConvTranspose2d(40, 400, 3), 400 * 9),
    ],
)
def test_layers_start_as_in_torch(layer, fan_in):
    minidl.manual_seed(0)
    made = layer()
    uniform_within(made.weight, 1 / math.sqrt(fan_in))
    uniform_within(made.bias, 1 / math.sqrt(fan_in))
    assert (layer().weight != made.weight).any()
    minidl.manual_seed(0)
    assert (layer().weight == made.weight).all()


def test_init_distributions():
    weight = nn.Parameter(minidl.empty(100, 60, 2))  # fan in 120, fan out 200
    fan_in, fan_out = 120, 200
    uniform_within(nn.init.uniform_(weight, -2, 2), 2)
    normal_with(nn.init.normal_(weight, 0, 3), 3)
    xavier = math.sqrt(2 / (fan_in + fan_out))
    uniform_within(nn.init.xavier_uniform_(weight, 2.0), 2 * math.sqrt(3) * xavier)
    normal_with(nn.init.xavier_normal_(weight), xavier)
    uniform_within(nn.init.kaiming_uniform_(weight, 1.0), math.sqrt(3 / fan_in))
    normal_with(nn.init.kaiming_normal_(weight, nonlinearity="relu"), math.sqrt(2 / fan_in))
    normal_with(
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="linear"),
        math.sqrt(1 / fan_out),
    )
    assert (nn.init.constant_(weight, 2.5) == 2.5).all()
    assert (nn.init.ones_(weight) == 1).all() and (nn.init.zeros_(weight) == 0).all()
    assert weight.is_leaf and weight.requires_grad


def test_init_generator_and_dtype():
    draws = [
        nn.init.normal_(minidl.zeros(9, dtype=minidl.float64), generator=minidl.Generator(seed))
        for seed in (1, 1, 2)
    ]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()
    assert (draws[0].float().double() != draws[0]).any()  # float64 numbers have all their digits


def test_init_errors():
    with pytest.raises(ValueError, match=r"2 or more dimensions, got shape \(3,\)"):
        nn.init.xavier_normal_(minidl.zeros(3))
    with pytest.raises(ValueError, match="fan_in"):
        nn.init.kaiming_normal_(minidl.zeros(3, 3), mode="fan")
    with pytest.raises(ValueError, match="no nonlinearity 'swish'"):
        nn.init.calculate_gain("swish")


def test_gains_equal_torch(torch):
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    theirs = torch.nn.init.calculate_gain("leaky_relu", 0.3)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == pytest.approx(theirs)
