"""Dropout: what it keeps, and that it can be repeated."""

import numpy as np
import pytest

import minidl
from minidl import random


@pytest.fixture(autouse=True)
def _generator():
    with random.using(random.Generator(0)):
        yield


def test_keeps_the_mean_and_scales_the_gradient():
    x = minidl.ones(100, 200, requires_grad=True)
    y = minidl.dropout(x, 0.25)
    values = y.detach().numpy()
    assert np.unique(values).tolist() == [0, np.float32(1 / 0.75)]
    assert (values == 0).mean() == pytest.approx(0.25, abs=0.02)
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), values)


def test_draws_anew_and_can_be_repeated():
    x = minidl.ones(50)
    first, second = minidl.dropout(x), minidl.dropout(x)
    assert not np.array_equal(first.numpy(), second.numpy())
    minidl.manual_seed(0)
    assert np.array_equal(minidl.dropout(x).numpy(), first.numpy())


def test_ends_of_the_range():
    x = minidl.ones(50, requires_grad=True)
    assert minidl.dropout(x, 0.0) is x
    assert minidl.dropout(x, 0.9, training=False) is x
    y = minidl.dropout(x, 1.0)
    y.sum().backward()
    assert not y.detach().numpy().any()
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_probability_out_of_range(p):
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        minidl.dropout(minidl.ones(3), p)


def test_integers():
    with pytest.raises(TypeError, match="floating point"):
        minidl.dropout(minidl.arange(3))
