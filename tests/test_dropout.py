"""Dropout: what it keeps, and that it can be repeated."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import random
from minidl.kernels import dropout
from minidl.kernels.dropout import cpu, reference


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


# --------------------------------------------------------------------------- the kernels


@given(p=st.floats(0, 1), size=st.integers(0, 40), seed=st.integers(0, 2**64 - 1))
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_element_is_kept_if_its_uniform_number_is_at_least_p(dtype, p, size, seed):
    x = np.arange(1, size + 1, dtype=dtype)
    generator = random.Generator(seed)
    kept = generator.uniform(size) >= p
    with np.errstate(over="ignore"):
        expected = np.where(kept, x * dtype(1 / (1 - p) if p < 1 else 0), dtype(0))
    for variant in (reference.dropout, cpu.dropout):
        found = variant(x, p, seed, 0)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


def test_element_whose_number_is_p_is_kept():
    p = float(random.Generator(3).uniform(8)[5])
    for variant in (reference.dropout, cpu.dropout):
        assert variant(np.ones(8, np.float32), p, 3, 0)[5]
        assert not variant(np.ones(8, np.float32), np.nextafter(np.float32(p), 1), 3, 0)[5]


def test_large_arrays_of_any_layout():
    x = np.random.default_rng(0).normal(size=(300, 401)).astype(np.float32)
    counter = 2**64 - 3  # it wraps around
    for view in (x, x.T, x[::2, ::-1]):
        found = cpu.dropout(view, 0.4, 7, counter)
        np.testing.assert_array_equal(found, reference.dropout(view, 0.4, 7, counter))


def test_dropped_elements_are_0_whatever_they_were():
    x = np.full(64, np.nan, np.float32)
    for variant in (reference.dropout, cpu.dropout):
        assert set(np.isnan(variant(x, 0.5, 1, 0))) == {True, False}
        assert not variant(x, 1.0, 1, 0).any()


def test_gradient_needs_the_result_s_mask_again():
    x = minidl.ones(40, requires_grad=True)
    y = minidl.dropout(x, 0.5)
    minidl.dropout(x, 0.5)  # draws from the same generator in between
    y.sum().backward()
    assert np.array_equal(x.grad.numpy(), y.detach().numpy())


def test_kernel_of_a_number():
    assert dropout(np.array(2, np.float32), 0.0, 1, 2).shape == ()
