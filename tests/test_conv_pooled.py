"""Convolution with ReLU and pooling in one pass, and gradients that skip zeros."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl import kernels
from minidl.backend import EMULATOR, to_device, to_host
from minidl.kernels import launch
from minidl.kernels.activation import cpu as activation
from minidl.kernels.conv import cpu, reference, sparse
from minidl.kernels.pool import cpu as pool
from minidl.testing.strategies import layouts

LAYERS = [
    ((5, 3, 32, 32), (6, 3, 5, 5)),  # the article's two
    ((11, 6, 14, 14), (16, 6, 5, 5)),
    ((3, 16, 11, 12), (16, 16, 3, 3)),  # many channels, and rows of taps short enough for lists
    ((3, 48, 9, 8), (32, 48, 3, 3)),
]
PLAIN = (1, 1), (0, 0, 0, 0), (1, 1), 1
HALVES = (2, 2), (2, 2), (0, 0), (1, 1)
dtypes = st.sampled_from([np.float32, np.float64])


def normal(*shape, dtype=np.float64, seed=0):
    """Numbers that depend on shape and seed alone, so that hypothesis can repeat a failure."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


@st.composite
def cases(draw):
    """x, w, bias and how, of shapes that register tiles of every kind meet."""
    groups = draw(st.sampled_from([1, 1, 1, 2]))
    channels = groups * draw(st.integers(1, 5))
    filters = groups * draw(st.integers(1, 12) | st.sampled_from([8, 16, 32]))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 2)]))
    padding = draw(st.tuples(*[st.integers(-1, 2)] * 4))
    size = (
        d * (k - 1) + 1 - p + s * draw(st.integers(1, 17))
        for d, k, p, s in zip(
            dilation, kernel, (padding[0] + padding[1], padding[2] + padding[3]), stride
        )
    )
    height, width = (max(n, 3) for n in size)
    dtype = draw(dtypes)
    x = normal(draw(st.integers(1, 9)), channels, height, width, dtype=dtype)
    w = normal(filters, channels // groups, *kernel, dtype=dtype)
    bias = normal(filters, dtype=dtype) if draw(st.booleans()) else None
    return x, w, bias, (stride, padding, dilation, groups)


def unfused(x, w, bias, how):
    """The three kernels one after the other: the maxima, and what their gradient needs."""
    rectified = cpu.conv2d(x, w, bias, *how, True)
    height, width = rectified.shape[2:]
    return *pool.max_pool2d(rectified, *HALVES, (height // 2, width // 2)), rectified


def unfused_grad(g, indices, rectified, x, w, how, needs=(True, True, True)):
    scattered = pool.max_pool2d_scatter(g, indices, rectified.shape[2:], HALVES)
    return cpu.conv2d_grads(activation.relu_grad(scattered, rectified), x, w, *how, needs)


def assert_same(results, expected):
    """The same bits, and None in the same places."""
    assert len(results) == len(expected)
    for a, b in zip(results, expected):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, strict=True)


# --------------------------------------------------------------------------- the same bits


@given(cases())
def test_pooled_is_what_the_three_kernels_give(case):
    x, w, bias, how = case
    y, code = cpu.conv2d_relu_max_pool2d(x, w, bias, *how)
    expected, indices, rectified = unfused(x, w, bias, how)
    np.testing.assert_array_equal(y, expected, strict=True)
    assert code.dtype == np.uint8
    width = rectified.shape[3]
    place = indices // width % 2 * 2 + indices % width % 2
    np.testing.assert_array_equal(code, np.where(expected > 0, place, reference.NO_GRADIENT))


@given(cases(), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_gradients_are_those_of_the_three_kernels(case, needs):
    x, w, bias, how = case
    y, code = cpu.conv2d_relu_max_pool2d(x, w, bias, *how)
    g = normal(*y.shape, dtype=x.dtype, seed=1)
    g[g > 1] = 0
    fused = cpu.conv2d_relu_max_pool2d_grad(g, code, x, w, *how, needs)
    _, indices, rectified = unfused(x, w, bias, how)
    assert_same(fused, unfused_grad(g, indices, rectified, x, w, how, needs))


@pytest.mark.parametrize(("input_shape", "weight_shape"), LAYERS)
def test_whole_layers_fused_and_not(input_shape, weight_shape):
    x, w = normal(*input_shape, dtype=np.float32), normal(*weight_shape, dtype=np.float32)
    bias = normal(weight_shape[0], dtype=np.float32)
    y, code = cpu.conv2d_relu_max_pool2d(x, w, bias, *PLAIN)
    expected, indices, rectified = unfused(x, w, bias, PLAIN)
    np.testing.assert_array_equal(y, expected)
    g = normal(*y.shape, dtype=np.float32, seed=1)
    fused = cpu.conv2d_relu_max_pool2d_grad(g, code, x, w, *PLAIN)
    assert_same(fused, unfused_grad(g, indices, rectified, x, w, PLAIN))


@given(cases(), st.sampled_from([0.0, 0.1, 0.25, 1.0]))
def test_one_kernel_for_all_gradients_gives_what_each_gives(case, density):
    x, w, _, how = case
    g = normal(*cpu.conv2d(x, w, None, *how).shape, dtype=x.dtype, seed=1)
    g[np.random.default_rng(2).random(g.shape) >= density] = 0
    dx, dw, db = cpu.conv2d_grads(g, x, w, *how)
    np.testing.assert_array_equal(dx, cpu.conv2d_input_grad(g, w, x.shape, *how), strict=True)
    np.testing.assert_array_equal(dw, cpu.conv2d_weight_grad(g, x, w.shape, *how), strict=True)
    assert_same(cpu.conv2d_grads(g, x, w, *how, (False, False, True)), (None, None, db))


# --------------------------------------------------------------------------- the reference


@given(cases(), st.sampled_from([0.0, 0.2, 1.0]))
def test_gradients_agree_with_the_reference(case, density):
    x, w, _, how = case
    g = normal(*cpu.conv2d(x, w, None, *how).shape, dtype=x.dtype, seed=1)
    g[np.random.default_rng(2).random(g.shape) >= density] = 0
    tolerance = 3e-5 if x.dtype == np.float32 else 1e-12
    results, expected = (module.conv2d_grads(g, x, w, *how) for module in (cpu, reference))
    for a, b in zip(results, expected):
        assert a.dtype == b.dtype
        scale = max(1, np.abs(b).max())
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, strict=True)


@given(cases())
def test_pooled_agrees_with_the_reference(case):
    x, w, bias, how = case
    tolerance = 3e-5 if x.dtype == np.float32 else 1e-12
    y, code = cpu.conv2d_relu_max_pool2d(x, w, bias, *how)
    expected, places = reference.conv2d_relu_max_pool2d(x, w, bias, *how)
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=10 * tolerance, strict=True)
    if x.dtype == np.float64:  # rounding decides between near equals in float32
        np.testing.assert_array_equal(code, places, strict=True)
    g = normal(*y.shape, dtype=x.dtype, seed=1)
    results = cpu.conv2d_relu_max_pool2d_grad(g, code, x, w, *how)
    for a, b in zip(results, reference.conv2d_relu_max_pool2d_grad(g, code, x, w, *how)):
        scale = max(1, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale, strict=True)


@given(cases())
def test_reference_is_relu_and_pooling_of_the_convolution(case):
    x, w, bias, how = case
    y, code = reference.conv2d_relu_max_pool2d(x, w, bias, *how)
    rectified = np.maximum(reference.conv2d(x, w, bias, *how), 0)
    n, o, height, width = y.shape
    windows = rectified[:, :, : 2 * height, : 2 * width].reshape(n, o, height, 2, width, 2)
    windows = windows.swapaxes(3, 4).reshape(n, o, height, width, 4)
    np.testing.assert_array_equal(y, windows.max(-1))
    np.testing.assert_array_equal(code, np.where(y > 0, windows.argmax(-1), 4))


def test_all_kernel_sets_serve():
    x, w = normal(2, 3, 9, 8), normal(4, 3, 3, 3)
    expected = reference.conv2d_relu_max_pool2d(x, w, None, *PLAIN)
    g = normal(*expected[0].shape, seed=1)
    gradients = reference.conv2d_relu_max_pool2d_grad(g, expected[1], x, w, *PLAIN)
    there = [to_device(a, EMULATOR) for a in (x, w, g)]
    y, code = kernels.conv2d_relu_max_pool2d(*there[:2], None, *PLAIN)
    for a, b in zip((y, code), expected):
        np.testing.assert_array_equal(to_host(a), b)
    results = kernels.conv2d_relu_max_pool2d_grad(there[2], code, *there[:2], *PLAIN)
    for a, b in zip(results, gradients):
        np.testing.assert_allclose(to_host(a), b, atol=1e-12)


def test_lines_shorter_than_a_tile_leave_other_filters_alone():
    x, w = normal(5, 1, 3, 2), normal(32, 1, 1, 1)
    expected = reference.conv2d(x, w, None, *PLAIN)
    np.testing.assert_allclose(cpu.conv2d(x, w, None, *PLAIN), expected, atol=1e-12)


# --------------------------------------------------------------------------- special numbers


def test_ties_and_nan():
    """The first of equal numbers, the last NaN as the largest, no gradient at 0."""
    x = np.array([[1, 1, -1, 0, np.nan, 9, 2], [1, 1, 0, -2, np.nan, 3, 2]])
    w = np.ones((1, 1, 1, 1))
    for variant in (cpu, reference):
        y, code = variant.conv2d_relu_max_pool2d(x[None, None], w, None, *PLAIN)
        np.testing.assert_array_equal(y[0, 0], [[1, 0, np.nan]])
        np.testing.assert_array_equal(code[0, 0], [[0, 4, 2]])


@pytest.mark.parametrize("filters", [2, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinite_pixels_and_gradients_stay_in_their_windows(filters, dtype):
    x, w = normal(2, 3, 12, 12, dtype=dtype), normal(filters, 3, 3, 3, dtype=dtype)
    g = np.zeros((2, filters, 10, 10), dtype)
    g[0, 1, 4, 5], g[1, 0, 2, 2], g[1, 0, 7, 7] = np.inf, np.nan, 2
    dx, dw, db = cpu.conv2d_grads(g, x, w, *PLAIN)
    spoiled = ~np.isfinite(dx)
    assert spoiled[0, :, 4:7, 5:8].all() and spoiled[1, :, 2:5, 2:5].all()
    assert spoiled.sum() == 2 * 3 * 9
    np.testing.assert_allclose(dx[1, :, 7:10, 7:10], 2 * w[0], rtol=1e-6)
    assert (~np.isfinite(dw)).sum() == 2 * w[0].size
    np.testing.assert_array_equal(db[:2], [np.nan, np.inf])
    x[:] = np.inf
    g = np.zeros_like(g)
    assert not any(a.any() for a in cpu.conv2d_grads(g, x, w, *PLAIN))  # zeros are left out


# --------------------------------------------------------------------------- how they run


def test_results_do_not_depend_on_the_number_of_threads():
    x, w = normal(64, 6, 14, 14), normal(16, 6, 5, 5)

    def compute():
        y, code = cpu.conv2d_relu_max_pool2d(x, w, None, *PLAIN)
        return y, code, *cpu.conv2d_relu_max_pool2d_grad(y, code, x, w, *PLAIN)

    threaded = compute()
    with kernels.single_threaded():
        assert_same(compute(), threaded)


@given(st.data())
def test_memory_layout_does_not_matter(data):
    x, w = data.draw(layouts(normal(2, 2, 6, 5))), data.draw(layouts(normal(3, 2, 3, 3)))
    result = cpu.conv2d_relu_max_pool2d(x, w, None, *PLAIN)
    plain = [a.copy(order="C") for a in (x, w)]
    assert_same(cpu.conv2d_relu_max_pool2d(*plain, None, *PLAIN), result)
    spread = [data.draw(layouts(a)) for a in result]
    expected = cpu.conv2d_relu_max_pool2d_grad(*(a.copy() for a in spread), *plain, *PLAIN)
    assert_same(cpu.conv2d_relu_max_pool2d_grad(*spread, x, w, *PLAIN), expected)


@pytest.mark.parametrize("shape", [(0, 3, 6, 6), (2, 3, 3, 6)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_nothing_to_pool(shape, dtype):
    x, w = np.ones(shape, dtype), np.ones((4, 3, 3, 3), dtype)
    y, code = cpu.conv2d_relu_max_pool2d(x, w, None, *PLAIN)
    assert y.shape == code.shape == (shape[0], 4, (shape[2] - 2) // 2, 2)
    dx, dw, db = cpu.conv2d_relu_max_pool2d_grad(y, code, x, w, *PLAIN)
    assert dx.shape == shape and dw.shape == w.shape and db.shape == (4,)
    assert not dw.any() and not db.any()


def test_few_zeros_take_the_dense_road(monkeypatch):
    """A quarter takes the list; one number more does not. Both are right, so watch the flag."""
    decided = []
    decide = sparse.decide
    monkeypatch.setattr(sparse, "decide", lambda g: decided.append(decide(g)) or decided[-1])
    x, w = normal(1, 2, 6, 6), normal(3, 2, 3, 3)
    g = np.zeros((1, 3, 4, 4))
    g.flat[:12] = 1
    cpu.conv2d_grads(g, x, w, *PLAIN)
    g.flat[12] = 1
    cpu.conv2d_grads(g, x, w, *PLAIN)
    assert [bool(flag[0]) for flag in decided] == [True, False]


@given(cases(), st.sampled_from([0.2, 1.0]), st.booleans())
def test_launches_alone_repeat_the_kernels(case, density, before):
    """With new numbers in the same arrays, also where these take the other road."""
    x, w, bias, how = case
    g = normal(*cpu.conv2d(x, w, bias, *how).shape, dtype=x.dtype, seed=1)
    kept = np.random.default_rng(2).random(g.shape) < density
    inputs = [a for a in (x, w, bias) if a is not None]

    def compute():
        y, code = cpu.conv2d_relu_max_pool2d(x, w, bias, *how)
        fused = cpu.conv2d_relu_max_pool2d_grad(y, code, x, w, *how) if y.size else ()
        return y, code, cpu.conv2d(x, w, bias, *how), *fused, *cpu.conv2d_grads(g, x, w, *how)

    if before:
        g *= kept
    with launch.noting(lambda shape, dtype, _: np.empty(shape, dtype)) as notes:
        results = compute()
    g *= kept
    for a in inputs:
        a[...] = a[..., ::-1].copy() * 2
    for function, args in notes.launches:
        function(*args)
    assert_same(results, compute())


def test_float16_takes_the_reference_and_no_plan():
    x, w = normal(2, 3, 6, 6, dtype=np.float16), normal(4, 3, 3, 3, dtype=np.float16)
    launch.tape.complete = True
    results = cpu.conv2d_relu_max_pool2d(x, w, None, *PLAIN)
    assert not launch.tape.complete
    launch.tape.complete = True
    assert_same(results, reference.conv2d_relu_max_pool2d(x, w, None, *PLAIN))


def test_pooled_network_trains_as_its_parts():
    """Through the public functions: gradients behind pooling take the list."""
    x, w = minidl.tensor(normal(3, 3, 12, 12)), minidl.tensor(normal(6, 3, 5, 5))
    w.requires_grad = True
    y = minidl.max_pool2d(minidl.relu(minidl.conv2d(x, w)), 2)
    (y * y).sum().backward()
    pooled, code = cpu.conv2d_relu_max_pool2d(x.numpy(), w.detach().numpy(), None, *PLAIN)
    np.testing.assert_array_equal(y.detach().numpy(), pooled)
    needs = False, True, False
    args = 2 * pooled, code, x.numpy(), w.detach().numpy(), *PLAIN, needs
    np.testing.assert_array_equal(w.grad.numpy(), cpu.conv2d_relu_max_pool2d_grad(*args)[1])
