"""Normalisation on a device."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_agrees, assert_close, moved

from minidl import kernels
from minidl.backend import to_device, to_host
from minidl.kernels.cuda import FLOATING

DTYPES = st.sampled_from(FLOATING)
EPS = 1.0  # so that gradients do not cancel where values are few


@st.composite
def shapes(draw):
    """(N, C, ...), on both sides of the length from which rows are read one by one."""
    n, channels = draw(st.integers(1, 5)), draw(st.sampled_from([1, 2, 3, 6, 40]))
    return (
        n,
        channels,
        *draw(st.sampled_from([(), (1,), (3,), (2, 2), (3, 3), (4, 4), (31,), (64,)])),
    )


def values(dtype, *shape, seed=0, mean=2.0):
    return np.random.default_rng(seed).normal(mean, 3, shape).astype(dtype)


def gradient_and_input(dtype, *shape):
    """Two arrays like each other: the sums of g and of g x stay clear of 0."""
    x = values(dtype, *shape, mean=10)
    return x + values(dtype, *shape, seed=1), x


def optional(draw, dtype, channels):
    return draw(st.none() | st.builds(values, st.just(dtype), st.just(channels)))


def statistics(x, groups=None):
    """Mean and rstd as the forward kernel leaves them for the gradient's."""
    if groups is None:
        _, mean, _, rstd = kernels.normalize.reference(x, None, None, EPS)
    else:
        _, mean, rstd = kernels.group_normalize.reference(x, None, None, groups, EPS)
    return mean, rstd


# --------------------------------------------------------------------------- drawn


@given(shapes(), DTYPES, st.data())
def test_normalize(place, shape, dtype, data):
    x, weight, bias = values(dtype, *shape), *(optional(data.draw, dtype, shape[1]) for _ in "wb")
    assert_agrees(place, kernels.normalize, x, weight, bias, EPS, tolerance=4)


@given(shapes(), DTYPES, st.data())
def test_normalize_grad(place, shape, dtype, data):
    g, x = gradient_and_input(dtype, *shape)
    weight = optional(data.draw, dtype, shape[1])
    assert_agrees(place, kernels.normalize_grad, g, x, *statistics(x), weight, tolerance=4)


@given(shapes(), DTYPES, st.data())
def test_scale_shift_and_its_gradient(place, shape, dtype, data):
    g, x = gradient_and_input(dtype, *shape)
    scale, shift = values(dtype, shape[1]), optional(data.draw, dtype, shape[1])
    assert_agrees(place, kernels.scale_shift, x, scale, shift)
    assert_agrees(place, kernels.channel_dot, g, x, tolerance=4)


@given(shapes(), DTYPES, st.data())
def test_group_normalize(place, shape, dtype, data):
    groups = data.draw(st.sampled_from([g for g in (1, 2, 3, shape[1]) if shape[1] % g == 0]))
    x, weight, bias = values(dtype, *shape), *(optional(data.draw, dtype, shape[1]) for _ in "wb")
    assert_agrees(place, kernels.group_normalize, x, weight, bias, groups, EPS, tolerance=4)


@given(shapes(), DTYPES, st.data())
def test_group_normalize_grad(place, shape, dtype, data):
    groups = data.draw(st.sampled_from([g for g in (1, 2, 3, shape[1]) if shape[1] % g == 0]))
    g, x = gradient_and_input(dtype, *shape)
    arguments = *statistics(x, groups), optional(data.draw, dtype, shape[1]), groups
    assert_agrees(place, kernels.group_normalize_grad, g, x, *arguments, tolerance=4)


@given(st.integers(1, 300), DTYPES, st.booleans(), st.booleans())
def test_running_statistics(place, channels, dtype, has_mean, has_var):
    batch = values(kernels.norm.reference.wide(dtype), 2, channels)
    before = values(dtype, 2, channels, seed=1)
    running = [a if has else None for a, has in zip(before, (has_mean, has_var))]
    ours = moved(running, lambda array: to_device(array, place))
    kernels.move_running(*(to_device(a, place) for a in batch), *ours, 0.1, 5)
    expected = moved(running, np.copy)
    kernels.move_running.reference(*batch, *expected, 0.1, 5)
    for found, wanted in zip(ours, expected):
        assert (found is None) == (wanted is None)
        if found is not None:
            assert_close(to_host(found), wanted)


# --------------------------------------------------------------------------- fixed

LARGE = [(2, 2, 66, 40), (2, 3, 72, 65), (4, 2, 64, 64), (700, 36), (150, 5, 2, 2)]
"""Several parts for each channel: of rows, by packs and not, and of columns."""


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("shape", LARGE)
def test_several_parts(place, shape, dtype):
    g, x = gradient_and_input(dtype, *shape)
    g /= 64  # float16's sums would be infinite
    weight, bias = values(dtype, 2, shape[1])
    assert_agrees(place, kernels.normalize, x, weight, bias, EPS, tolerance=4)
    assert_agrees(place, kernels.normalize_grad, g, x, *statistics(x), weight, tolerance=4)
    assert_agrees(place, kernels.group_normalize, x, weight, bias, 1, EPS, tolerance=4)
    arguments = *statistics(x, 1), weight, 1
    assert_agrees(place, kernels.group_normalize_grad, g, x, *arguments, tolerance=4)


@pytest.mark.parametrize("shape", [(2, 2, 4500), (300, 3), (3, 1, 513)])
def test_variance_beside_a_large_mean(place, shape):
    """Sums of squares in float32 would have no correct digit here."""
    x = values(np.float32, *shape, mean=1e4)
    mean, var, rstd = (
        to_host(a) for a in kernels.normalize(to_device(x, place), None, None, 0)[1:]
    )
    others = (0, *range(2, x.ndim))
    np.testing.assert_allclose(mean, x.mean(others, np.float64), rtol=1e-6)
    np.testing.assert_allclose(var, x.var(others, np.float64), rtol=1e-4)
    np.testing.assert_allclose(rstd, var**-0.5, rtol=1e-5)


@pytest.mark.parametrize("dtype", FLOATING)
def test_layouts_and_mixed_dtypes(place, dtype):
    x = values(dtype, 6, 35, 20)
    for view in (x.transpose(2, 1, 0), x[:, ::2, ::-1], x.reshape(-1)[5:-15].reshape(5, 4, 209)):
        weight, bias = values(np.float32, 2, view.shape[1])
        assert_agrees(place, kernels.normalize, view, weight, bias, EPS, tolerance=4)
        arguments = view[::-1], view, *statistics(view), weight
        assert_agrees(place, kernels.normalize_grad, *arguments, tolerance=4)
        assert_agrees(place, kernels.group_normalize, view, weight, bias, 1, EPS, tolerance=4)
        assert_agrees(place, kernels.scale_shift, view, weight.astype(dtype), None)


@pytest.mark.parametrize("dtype", FLOATING)
def test_slices_that_begin_anywhere(place, dtype):
    x = values(dtype, 4 * 3 * 64 + 5)
    on_place = to_device(x, place)
    for start in (1, 5):
        ours, theirs = (a[start : start + 768].reshape(4, 3, 64) for a in (on_place, x))
        for kernel, *arguments in (
            (kernels.normalize, None, None, EPS),
            (kernels.group_normalize, None, None, 1, EPS),
        ):
            found = moved(kernel(ours, *arguments), to_host)
            for own, exact in zip(found, kernel.reference(theirs, *arguments)):
                assert_close(own, exact, 4)
        assert_close(
            to_host(kernels.channel_dot(ours, ours)), kernels.channel_dot.reference(theirs, theirs)
        )


def test_nothing_and_nan(place):
    empty = np.zeros((0, 3, 4), np.float32)
    assert_agrees(place, kernels.normalize, empty, None, None, EPS)
    assert_agrees(place, kernels.group_normalize, empty, None, None, 3, EPS)
    assert_agrees(place, kernels.group_normalize, np.zeros((2, 0), np.float32), None, None, 1, EPS)
    x = values(np.float32, 4, 3, 20)
    x[1, 1, 2], x[2, 0, 0] = np.nan, np.inf
    assert_agrees(place, kernels.normalize, x, None, None, EPS, tolerance=4)
    assert_agrees(place, kernels.group_normalize, x, None, None, 3, EPS, tolerance=4)
