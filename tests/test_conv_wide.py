"""Convolution with many channels: patches and Winograd's way, against the reference."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.kernels import (
    conv2d,
    conv2d_input_grad,
    conv2d_weight_grad,
    get_num_threads,
    set_num_threads,
    use_kernels,
)
from minidl.kernels.conv import cpu, reference, wide
from minidl.kernels.launch import noting

ALLOWED = {np.float32: 3e-5, np.float64: 1e-12}
"""By dtype, how far a result may be off in relation to the largest number in it."""


@dataclass(frozen=True)
class Case:
    """The operands' shapes and how the filter moves."""

    x: tuple[int, ...]
    w: tuple[int, ...]
    how: tuple

    @property
    def y(self):
        stride, padding, dilation, _ = self.how
        size = reference.output_size(self.x[2:], self.w[2:], stride, padding, dilation)
        return (self.x[0], self.w[0], *size)


def square(pictures, channels, filters, size, kernel=3, stride=1, padding=1, dilation=1):
    return Case(
        (pictures, channels, size, size),
        (filters, channels, kernel, kernel),
        ((stride, stride), (padding,) * 4, (dilation, dilation), 1),
    )


@st.composite
def cases(draw, three=False):
    """Any geometry; ``three``: 3x3 filters, stride and dilation 1."""
    channels, filters = (draw(st.integers(1, 50)) for _ in range(2))
    kernel, stride, dilation = (
        (number,) * 2 if three else draw(st.tuples(*[st.integers(1, most)] * 2))
        for number, most in ((3, 4), (1, 3), (1, 3))
    )
    padding = draw(st.tuples(*[st.integers(-1, 3)] * 4))
    least = [
        max(1, d * (k - 1) + 1 - a - b, -min(a, 0) - min(b, 0) + 1)
        for k, d, a, b in zip(kernel, dilation, padding[::2], padding[1::2])
    ]
    size = [n + draw(st.integers(0, 9)) for n in least]
    pictures = draw(st.integers(1, 5))
    return Case(
        (pictures, channels, *size), (filters, channels, *kernel), (stride, padding, dilation, 1)
    )


def normal(shape, dtype, seed):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def operands(case, dtype):
    shapes = case.x, case.w, (case.w[0],), case.y
    return [normal(shape, dtype, seed) for seed, shape in enumerate(shapes)]


def assert_close(found, expected, dtype):
    assert found.shape == expected.shape and found.dtype == dtype
    scale = np.abs(expected).max() or 1.0
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=ALLOWED[dtype])


def assert_like_reference(case, dtype=np.float32):
    """The three kernels' results are those of the reference in double precision."""
    x, w, bias, g = operands(case, dtype)
    x8, w8, bias8, g8 = (a.astype(np.float64) for a in (x, w, bias, g))
    how, without_groups = case.how, case.how[:3]
    plain = reference.conv2d(x8, w8, None, *how)
    assert_close(wide.conv2d(x, w, None, *without_groups, False), plain, dtype)
    rectified = reference.conv2d(x8, w8, bias8, *how, True)
    assert_close(wide.conv2d(x, w, bias, *without_groups, True), rectified, dtype)
    dx = reference.conv2d_input_grad(g8, w8, x.shape, *how)
    assert_close(wide.conv2d_input_grad(g, w, x.shape, *without_groups), dx, dtype)
    dw = reference.conv2d_weight_grad(g8, x8, w.shape, *how)
    assert_close(wide.conv2d_weight_grad(g, x, w.shape, *without_groups), dw, dtype)


# --------------------------------------------------------------------------- the reference


@given(cases(), st.sampled_from([np.float32, np.float64]))
def test_any_geometry(case, dtype):
    assert_like_reference(case, dtype)


@given(cases(three=True), st.sampled_from([np.float32, np.float64]))
def test_three_by_three(case, dtype):
    assert_like_reference(case, dtype)


@pytest.mark.parametrize(
    "case",
    [
        square(3, 64, 64, 8),
        square(2, 32, 48, 33),  # a picture in several chunks, odd
        square(70, 16, 16, 2),  # many pictures in a chunk
        square(33, 40, 72, 1),  # the centre of the filter alone
        square(5, 32, 64, 8, stride=2),
        square(5, 32, 64, 8, kernel=1, stride=2, padding=0),
        square(2, 64, 32, 23, kernel=7, stride=2, padding=3),
        square(9, 33, 65, 4, dilation=2, padding=2),
        square(1, 16, 17, 3, kernel=2, padding=3, dilation=5),  # nothing but padding is met
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_layers_of_networks(case, dtype):
    assert_like_reference(case, dtype)


def test_operands_in_any_order_of_memory():
    case = square(3, 32, 32, 7)
    x, w, _, g = operands(case, np.float32)
    x, w, g = (
        np.ascontiguousarray(a.transpose(1, 3, 2, 0)).transpose(3, 0, 2, 1) for a in (x, w, g)
    )
    for kernel, args in (
        (conv2d, (x, w, None)),
        (conv2d_input_grad, (g, w, x.shape)),
        (conv2d_weight_grad, (g, x, w.shape)),
    ):
        expected = kernel.reference(*args, *case.how)
        assert_close(kernel(*args, *case.how), expected, np.float32)


# --------------------------------------------------------------------------- the chain


@pytest.mark.parametrize(
    ("case", "by_winograd"),
    [
        (square(2, 16, 16, 8), True),
        (square(2, 16, 16, 2), True),
        (square(2, 16, 16, 8, stride=2), False),
        (square(2, 16, 16, 8, dilation=2), False),
        (square(2, 16, 16, 8, kernel=5), False),
        (square(2, 16, 16, 1), False),
        (square(2, 16, 16, 3, padding=0), False),  # one result of a tile's four
    ],
    ids=str,
)
def test_who_is_served_by_winograds_way(case, by_winograd):
    stride, padding, dilation, _ = case.how
    axes = wide._forward_axes(case.x, case.w, case.y[2:], stride, padding, dilation)
    assert wide._by_winograd(axes) == by_winograd


def test_others_go_elsewhere(monkeypatch):
    for name in ("conv2d", "conv2d_input_grad", "conv2d_weight_grad"):
        monkeypatch.setattr(wide, name, lambda *_: "wide")
    how = (1, 1), (1, 1, 1, 1), (1, 1)
    many = np.ones((1, 32, 4, 4), np.float32)
    w, grouped = np.ones((32, 32, 3, 3), np.float32), np.ones((32, 16, 3, 3), np.float32)
    single = np.ones((16, 32, 1, 1), np.float32)
    assert cpu.conv2d(many, w, None, *how, 1) == "wide"
    assert cpu.conv2d(many, w[:16], None, *how, 1) == "wide"
    assert cpu.conv2d_input_grad(many, w, many.shape, *how, 1) == "wide"
    assert cpu.conv2d_weight_grad(many, many, w.shape, *how, 1) == "wide"
    assert cpu.conv2d_grads(many, many, w, *how, 1)[:2] == ("wide", "wide")
    assert cpu.conv2d(many[:, :3], w[:, :3], None, *how, 1).shape == (1, 32, 4, 4)
    assert cpu.conv2d(many, w[:15], None, *how, 1).shape == (1, 15, 4, 4)
    assert cpu.conv2d(many, grouped, None, *how, 2).shape == (1, 32, 4, 4)
    assert cpu.conv2d(many, single, None, *how, 1).shape == (1, 16, 6, 6)
    assert cpu.conv2d(many[:0], w, None, *how, 1).size == 0


# --------------------------------------------------------------------------- promises


@pytest.mark.parametrize("case", [square(9, 64, 64, 9), square(9, 64, 64, 9, stride=2)], ids=str)
def test_the_number_of_threads_changes_no_bit(case):
    if get_num_threads() == 1:
        pytest.skip("this process has one thread")
    x, w, bias, g = operands(case, np.float32)
    how = case.how[:3]

    def results():
        return (
            wide.conv2d(x, w, bias, *how, True),
            wide.conv2d_input_grad(g, w, x.shape, *how),
            wide.conv2d_weight_grad(g, x, w.shape, *how),
        )

    several = results()
    before = get_num_threads()
    set_num_threads(1)
    try:
        for one, other in zip(results(), several):
            assert np.array_equal(one, other)
    finally:
        set_num_threads(before)


@pytest.mark.parametrize(
    "case", [square(3, 32, 32, 6), square(3, 32, 32, 6, kernel=1, stride=2, padding=0)], ids=str
)
def test_launches_alone_repeat_a_kernel(case):
    x, w, bias, g = operands(case, np.float32)
    for kernel, args in (
        (cpu.conv2d, (x, w, bias, *case.how, True)),
        (cpu.conv2d, (x, w, None, *case.how)),
        (cpu.conv2d_grads, (g, x, w, *case.how)),
        (cpu.conv2d_relu_max_pool2d, (x, w, bias, *case.how)),
    ):
        assert kernel.planned
        memory = []

        def allocate(shape, dtype, _like, memory=memory):
            memory.append(np.empty(shape, dtype))
            return memory[-1]

        with noting(allocate) as notes:
            results = kernel(*args)
        assert notes.complete
        for array in (x, w, bias, g):
            array[...] = array[..., ::-1].copy()
        for array in memory:  # which others may have used since
            array.fill(np.nan if array.dtype.kind == "f" else 77)
        for function, arguments in notes.launches:
            function(*arguments)
        again = kernel(*args)
        for one, other in zip(results, again):
            assert np.array_equal(one, other)


def test_with_relu_and_pooling():
    """Odd sizes, whose last row and column are in no window."""
    case = square(3, 48, 32, 9)
    x, w, bias, _ = operands(case, np.float32)
    x[1, 2, 3, 4] = np.nan
    y, code = cpu.conv2d_relu_max_pool2d(x, w, bias, *case.how)
    expected, places = reference.conv2d_relu_max_pool2d(x, w, bias, *case.how)
    np.testing.assert_allclose(y, expected, atol=1e-4)
    assert np.mean(code == places) > 0.999  # but for numbers that are nearly equal
    g = normal(y.shape, np.float32, 4)
    x[np.isnan(x)] = 0
    found = cpu.conv2d_relu_max_pool2d_grad(g, code, x, w, *case.how)
    wanted = reference.conv2d_relu_max_pool2d_grad(g, code, x, w, *case.how)
    for one, other in zip(found, wanted):
        assert_close(one, other, np.float32)


def test_nan_reaches_what_sees_it_and_nothing_else():
    case = square(2, 32, 32, 7)
    x, w, bias, _ = operands(case, np.float32)
    x[1, 3, 2, 4] = np.nan
    y = wide.conv2d(x, w, bias, *case.how[:3], True)
    expected = reference.conv2d(x, w, bias, *case.how, True)
    assert np.array_equal(np.isnan(y), np.isnan(expected))


def test_the_public_operator_uses_the_same_numbers_on_the_reference():
    case = square(2, 32, 32, 5)
    x, w, bias, _ = operands(case, np.float64)
    with use_kernels("numpy"):
        expected = conv2d(x, w, bias, *case.how)
    np.testing.assert_allclose(conv2d(x, w, bias, *case.how), expected, atol=1e-11)
