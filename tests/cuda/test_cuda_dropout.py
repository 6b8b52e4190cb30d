"""Dropout on a device: the same mask as everywhere, and the same numbers to the last bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import on_device

from minidl.backend import to_device, to_host
from minidl.kernels import dropout
from minidl.kernels.cuda import FLOATING
from minidl.random import Generator

U64 = st.integers(0, 2**64 - 1)
PROBABILITIES = st.sampled_from([0.0, 0.1, 0.5, 0.75, 1.0]) | st.floats(0, 1)


def assert_same(place, x, *args):
    found, expected = on_device(place, dropout, x, *args), dropout.reference(x, *args)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(found, expected)


@given(st.sampled_from(FLOATING), st.integers(0, 3000), PROBABILITIES, U64, U64)
def test_same_numbers(place, dtype, size, p, key, counter):
    assert_same(place, np.linspace(-3, 3, size).astype(dtype), p, key, counter)


def test_element_whose_number_is_p_is_kept(place):
    p = float(Generator(3).uniform(8)[5])
    assert_same(place, np.ones(8, np.float32), p, 3, 0)


@pytest.mark.parametrize("dtype", FLOATING)
def test_slices_that_begin_anywhere(place, dtype):
    x = np.linspace(-3, 3, 700).astype(dtype)
    moved = to_device(x, place)
    for start in range(1, 5):
        found = to_host(dropout(moved[start:], 0.3, 5, 6))
        np.testing.assert_array_equal(found, dropout.reference(x[start:], 0.3, 5, 6))


@pytest.mark.parametrize("dtype", FLOATING)
def test_layouts(place, dtype):
    x = np.linspace(-3, 3, 24 * 35).astype(dtype).reshape(24, 35)
    for view in (x.T, x[:, ::-2], x.reshape(-1)[1:], x[:0], x[0, :1].reshape(())):
        assert_same(place, view, 0.3, 5, 2**64 - 2)  # the counter wraps around


def test_dropped_elements_are_0_whatever_they_were(place):
    x = np.array([np.nan, np.inf, -np.inf] * 20, np.float32)
    assert_same(place, x, 0.5, 1, 2)
    assert_same(place, x, 1.0, 1, 2)
