"""Optimizers on a device: many parameters in one launch."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_close, moved

from minidl.backend import to_device, to_host
from minidl.kernels import adam, sgd
from minidl.kernels.cuda import FLOATING

SIZES = st.lists(st.sampled_from([0, 1, 3, 8, 33, 4095, 4096, 4097, 9000]), min_size=1, max_size=4)
DTYPES = st.sampled_from(FLOATING)
DECAYS = st.sampled_from([0.0, 0.1])


def arrays(sizes, dtype, seed, lowest=-1.0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(lowest, 1, size).astype(dtype) for size in sizes]


def assert_agrees(place, kernel, lists, *scalars):
    """What ``kernel`` changes on ``place`` is what its reference changes on the host."""
    on_host = moved(lists, np.copy)
    on_place = moved(lists, lambda array: to_device(array, place))
    kernel(*on_place, *scalars)
    kernel.reference(*on_host, *scalars)
    for found, expected in zip(on_place, on_host):
        for ours, theirs in zip(found or [], expected or [], strict=True):
            assert_close(to_host(ours), theirs)


def momentum_lists(sizes, dtype, seed, with_velocities=True):
    velocities = arrays(sizes, dtype, seed + 2) if with_velocities else None
    return [arrays(sizes, dtype, seed), arrays(sizes, dtype, seed + 1), velocities]


def adam_lists(sizes, dtype, seed, amsgrad=False):
    params, grads, means = (arrays(sizes, dtype, seed + i) for i in range(3))
    squares, largests = (arrays(sizes, dtype, seed + i, lowest=0.05) for i in (3, 4))
    return [params, grads, means, squares, largests if amsgrad else None]


@given(SIZES, DTYPES, DECAYS, st.integers(0, 99))
def test_sgd(place, sizes, dtype, decay, seed):
    lists = momentum_lists(sizes, dtype, seed, with_velocities=False)
    assert_agrees(place, sgd, lists, 0.1, 0.0, 0.0, decay, False)


@given(SIZES, DTYPES, DECAYS, st.sampled_from([0.0, 0.3]), st.booleans(), st.integers(0, 99))
def test_sgd_with_momentum(place, sizes, dtype, decay, dampening, nesterov, seed):
    lists = momentum_lists(sizes, dtype, seed)
    assert_agrees(place, sgd, lists, 0.1, 0.9, dampening, decay, nesterov)


@given(SIZES, DTYPES, DECAYS, st.booleans(), st.booleans(), st.data())
def test_adam(place, sizes, dtype, decay, amsgrad, decoupled, data):
    steps = [data.draw(st.integers(1, 3)) for _ in sizes]
    lists = adam_lists(sizes, dtype, data.draw(st.integers(0, 99)), amsgrad)
    assert_agrees(place, adam, lists, steps, 0.1, 0.9, 0.99, 1e-8, decay, decoupled)


@pytest.mark.parametrize("dtype", FLOATING)
def test_more_parameters_than_fit_into_a_launch(place, dtype):
    sizes = [i % 7 for i in range(160)]
    assert_agrees(place, sgd, momentum_lists(sizes, dtype, 1), 0.1, 0.9, 0.0, 0.1, False)
    steps = [1 + i % 2 for i in range(160)]
    lists = adam_lists(sizes, dtype, 2, amsgrad=True)
    assert_agrees(place, adam, lists, steps, 0.1, 0.9, 0.99, 1e-8, 0.1, True)


def test_nothing_to_update(place):
    assert_agrees(place, sgd, momentum_lists([0, 0], np.float32, 0), 0.1, 0.9, 0.0, 0.0, False)


@pytest.mark.parametrize("dtype", FLOATING)
def test_any_memory_layout(place, dtype):
    """Addresses that are no multiple of 16 bytes, gradients with strides, and parameters."""
    x = to_device(np.linspace(-1, 1, 500).astype(dtype), place)
    whole, expected = x.copy(), to_host(x).copy()
    for part in (slice(1, 100), slice(200, 400, 2)):
        sgd([whole[part]], [x[part][::-1]], None, 0.5, 0.0, 0.0, 0.0, False)
        expected[part] -= expected.dtype.type(0.5) * to_host(x)[part][::-1]
    np.testing.assert_allclose(to_host(whole), expected, rtol=1e-3)


def test_nan_stays_in_its_element_and_in_the_largest_square(place):
    ones = np.ones(9, np.float32)
    gradient = ones.copy()
    gradient[4] = np.nan
    state = [to_device(array.copy(), place) for array in (ones, gradient, ones, ones, ones)]
    adam(*([array] for array in state), [1], 0.1, 0.9, 0.99, 1e-8, 0.0, False)
    for changed in (state[0], *state[2:]):
        assert np.flatnonzero(np.isnan(to_host(changed))).tolist() == [4]


def test_gradients_that_do_not_fit_are_refused(place):
    params = [to_device(np.ones(3, np.float32), place)]
    for gradient, message in (
        (to_device(np.ones(4, np.float32), place), r"grad, float32\[4\]"),
        (to_device(np.ones(3, np.float64), place), "grad, float64"),
        (np.ones(3, np.float32), "on cpu, does not fit"),
    ):
        with pytest.raises(ValueError, match=message):
            sgd(params, [gradient], None, 0.1, 0.0, 0.0, 0.0, False)
    assert (to_host(params[0]) == 1).all()
