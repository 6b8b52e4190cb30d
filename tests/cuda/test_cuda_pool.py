"""Pooling on a device."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from on_device import assert_agrees, assert_close, on_device

from minidl.kernels import (
    avg_pool2d,
    avg_pool2d_grad,
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_scatter,
)
from minidl.kernels.cuda import FLOATING
from minidl.kernels.pool import cuda
from minidl.testing.strategies import layouts

DTYPES = st.sampled_from(FLOATING)


def numbers(*shape, dtype=np.float32, kind="distinct"):
    x = np.random.default_rng(shape).standard_normal(shape)
    if kind == "ties":
        x = np.round(x)
    if kind == "nan":
        x.flat[::5], x.flat[1::7] = np.nan, -np.inf
    return x.astype(dtype)


@st.composite
def axes(draw):
    """Along one axis: the input's size, kernel size, stride, padding, dilation, the output's."""
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (4, 4, 3))
    padding = draw(st.integers(0, kernel // 2))
    reach = dilation * (kernel - 1) + 1
    size = max(1, reach - 2 * padding) + draw(st.integers(0, 6))
    out = (size + 2 * padding - reach) // stride + 1 + draw(st.integers(0, 1))  # 1: ceil_mode
    for first in range(-padding, out * stride - padding, stride):
        assume(any(0 <= first + tap * dilation < size for tap in range(kernel)))
    return size, kernel, stride, padding, dilation, out


def check_max(place, x, windows, out):
    assert_agrees(place, max_pool2d, x, *windows, out)
    y, indices = max_pool2d.reference(x, *windows, out)
    assert_agrees(place, max_pool2d_gather, x, indices)
    g = numbers(*y.shape, dtype=x.dtype)
    assert_agrees(place, max_pool2d_scatter, g, indices, x.shape[2:], windows)


@given(DTYPES, axes(), axes(), st.sampled_from(["distinct", "ties", "nan"]), st.data())
def test_max_pool2d(place, dtype, rows, columns, kind, data):
    size, *windows, out = zip(rows, columns)
    planes = data.draw(st.tuples(st.integers(0, 2), st.sampled_from([1, 3])))
    x = data.draw(layouts(numbers(*planes, *size, dtype=dtype, kind=kind)))
    check_max(place, x, tuple(windows), out)


@pytest.mark.parametrize(
    ("shape", "windows", "out"),
    [
        ((2, 3, 32, 32), ((2, 2), (2, 2), (0, 0), (1, 1)), (16, 16)),
        ((1, 2, 29, 35), ((3, 3), (2, 2), (1, 1), (1, 1)), (15, 18)),
        ((1, 2, 40, 21), ((5, 4), (1, 2), (2, 1), (2, 3)), (36, 7)),
    ],
)
def test_max_pool2d_in_several_blocks(place, shape, windows, out):
    check_max(place, numbers(*shape, kind="ties"), windows, out)


def test_large_arrays_take_several_launches(place, monkeypatch):
    monkeypatch.setattr(cuda, "_MOST", 200)
    check_max(place, numbers(3, 5, 9, 7), ((3, 3), (2, 2), (1, 1), (1, 1)), (5, 4))
    whole = np.array([[0, 9]]), np.array([[0, 7]])
    check_mean(place, numbers(3, 5, 9, 7), *whole)


@st.composite
def means(draw):
    """Along one axis: the input's size, and where each window starts and stops."""
    size, kernel = draw(st.integers(1, 9)), draw(st.integers(1, 4))
    if draw(st.booleans()):  # adaptive
        out = draw(st.integers(1, 12))
        places = np.arange(out)
        return size, np.stack((places * size // out, -(-(places + 1) * size // out)), 1)
    starts = np.arange(-draw(st.integers(0, kernel // 2)), size, draw(st.integers(1, 4)))
    return size, np.stack((np.maximum(starts, 0), np.minimum(starts + kernel, size)), 1)


def check_mean(place, x, rows, columns):
    scale = np.random.default_rng(0).uniform(0.1, 1, (len(rows), len(columns)))
    tables = rows, columns, scale
    y = avg_pool2d.reference(x, *tables)
    assert_close(on_device(place, lambda x: avg_pool2d(x, *tables), x), y)
    g, size = numbers(*y.shape, dtype=x.dtype), x.shape[2:]
    found = on_device(place, lambda g: avg_pool2d_grad(g, *tables, size), g)
    assert_close(found, avg_pool2d_grad.reference(g, *tables, size))


@given(DTYPES, means(), means(), st.data())
def test_avg_pool2d(place, dtype, rows, columns, data):
    (height, rows), (width, columns) = rows, columns
    planes = data.draw(st.tuples(st.integers(0, 2), st.sampled_from([1, 3])))
    x = data.draw(layouts(numbers(*planes, height, width, dtype=dtype)))
    check_mean(place, x, rows, columns)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize(("shape", "out"), [((2, 70, 8, 7), (1, 1)), ((1, 3, 40, 50), (3, 1))])
def test_large_windows_are_shared_by_lanes(place, dtype, shape, out):
    rows, columns = (
        np.array([[i * size // n, -(-(i + 1) * size // n)] for i in range(n)])
        for size, n in zip(shape[2:], out)
    )
    check_mean(place, numbers(*shape, dtype=dtype), rows, columns)


@settings(max_examples=5)
@given(st.sampled_from([np.int64, np.int32]))
def test_integers_run_the_reference(place, dtype):
    x = np.arange(32, dtype=dtype).reshape(1, 2, 4, 4)
    windows = (2, 2), (2, 2), (0, 0), (1, 1)
    y, indices = on_device(place, max_pool2d, x, *windows, (2, 2))
    np.testing.assert_array_equal(y, x[:, :, 1::2, 1::2])
    np.testing.assert_array_equal(on_device(place, max_pool2d_gather, x, indices), y)
