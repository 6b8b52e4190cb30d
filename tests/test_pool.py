"""Pooling: against PyTorch, and the CPU kernels against the reference."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minidl
from minidl.kernels.pool import cpu, reference
from minidl.kernels.pool.halves import max_pool2d_by_two
from minidl.testing.strategies import layouts, pool_configurations


def normal(*shape, dtype=np.float64, seed=0):
    """Numbers that depend on shape and seed alone, so that hypothesis can repeat a failure."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def assert_like_torch(name, x, **options):
    """Results and gradient of ``name`` are PyTorch's."""
    torch = pytest.importorskip("torch", reason="PyTorch, the outside reference, is not installed")
    own, theirs = minidl.tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_()
    result = getattr(minidl, name)(own, **options)
    expected = getattr(torch.nn.functional, name)(theirs, **options)
    if options.get("return_indices"):
        assert result[1].dtype == np.int64
        np.testing.assert_array_equal(result[1].numpy(), expected[1].numpy())
        result, expected = result[0], expected[0]
    np.testing.assert_allclose(result.detach().numpy(), expected.detach().numpy(), atol=1e-12)
    gradient = normal(*result.shape, seed=1)
    result.backward(minidl.tensor(gradient))
    expected.backward(torch.from_numpy(gradient))
    np.testing.assert_allclose(own.grad.numpy(), theirs.grad.numpy(), atol=1e-12)


def spoiled(x, kind):
    """x as it is, with ties, or with NaN and infinities in it."""
    if kind == "ties":
        return np.round(x)
    if kind == "nan":
        x.flat[:: max(1, x.size // 4)] = np.nan
        x.flat[1 :: max(2, x.size // 3)] = -np.inf
    return x


# --------------------------------------------------------------------------- against PyTorch


@given(pool_configurations(max_kernel=4), st.sampled_from(["distinct", "ties", "nan"]))
def test_max_pool2d_like_torch(c, kind):
    x = spoiled(normal(*c.input_shape), kind)
    try:
        minidl.max_pool2d(minidl.tensor(x), **c.options)
    except ValueError:
        assume(False)  # a window without a pixel: PyTorch writes beyond the picture there
    assert_like_torch("max_pool2d", x, return_indices=True, **c.options)


@given(
    pool_configurations(dilated=False, max_kernel=4),
    st.booleans(),
    st.sampled_from([None, 2, -3]),
)
def test_avg_pool2d_like_torch(c, count_include_pad, divisor):
    options = {"count_include_pad": count_include_pad, "divisor_override": divisor}
    assert_like_torch("avg_pool2d", normal(*c.input_shape), **options, **c.options)


@pytest.mark.parametrize("output_size", [1, 3, (2, 5), (None, 2), (4, None), (9, 8)])
def test_adaptive_avg_pool2d_like_torch(output_size):
    assert_like_torch("adaptive_avg_pool2d", normal(2, 3, 7, 5), output_size=output_size)
    assert_like_torch("adaptive_avg_pool2d", normal(3, 7, 5), output_size=output_size)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        ((5, 5), {"kernel_size": 2}),  # the last window reaches over the end
        ((5, 5), {"kernel_size": 2, "padding": 1}),
        ((4, 4), {"kernel_size": 2, "stride": 3}),  # it would start beyond the end: dropped
        ((3, 3), {"kernel_size": 2, "stride": 2, "padding": 1}),
        ((1, 6), {"kernel_size": (1, 3), "stride": (2, 4), "padding": (0, 1)}),
    ],
)
@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_ceil_mode_like_torch(name, size, options):
    assert_like_torch(name, normal(2, 2, *size), ceil_mode=True, **options)


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_one_picture_without_batch(name):
    assert_like_torch(name, normal(3, 6, 6), kernel_size=3, stride=2, padding=1)


def test_large_planes_in_threads_like_torch():
    assert_like_torch("max_pool2d", normal(8, 16, 32, 32), kernel_size=2, return_indices=True)
    assert_like_torch("avg_pool2d", normal(8, 16, 32, 32), kernel_size=2)


# --------------------------------------------------------------------------- semantics


def test_nan_wins():
    x = np.zeros((1, 1, 2, 4))
    x[0, 0, 0, 1] = np.nan
    values, indices = minidl.max_pool2d(minidl.tensor(x), 2, return_indices=True)
    assert np.isnan(values.numpy()[0, 0, 0, 0]) and values.numpy()[0, 0, 0, 1] == 0
    assert indices.numpy().ravel().tolist() == [1, 2]


def test_first_of_equal_elements_gets_the_gradient():
    x = minidl.zeros(1, 1, 4, 4, requires_grad=True)
    minidl.max_pool2d(x, 2).sum().backward()
    assert x.grad.numpy()[0, 0].tolist() == [[1, 0, 1, 0], [0] * 4] * 2


def test_overlapping_windows_add_their_gradients():
    x = minidl.tensor(np.array([[[[0.0, 5.0, 1.0]]]]), requires_grad=True)
    minidl.max_pool2d(x, (1, 2), stride=1).sum().backward()
    assert x.grad.numpy().ravel().tolist() == [0, 2, 0]


def test_indices_have_no_gradient():
    x = minidl.tensor(normal(1, 1, 4, 4), requires_grad=True)
    values, indices = minidl.max_pool2d(x, 2, return_indices=True)
    assert values.requires_grad and not indices.requires_grad


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_empty_batch(name):
    x = minidl.zeros(0, 2, 4, 4, requires_grad=True)
    y = getattr(minidl, name)(x, 2)
    assert y.shape == (0, 2, 2, 2)
    y.sum().backward()
    assert x.grad.shape == (0, 2, 4, 4)


# --------------------------------------------------------------------------- kernels


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "size"),
    [
        ((2, 2), (2, 2), (0, 0), (1, 1), (4, 3)),
        ((2, 2), (1, 2), (1, 1), (1, 1), (9, 4)),
        ((3, 2), (2, 1), (1, 0), (2, 3), (3, 4)),
    ],
)
def test_max_kernels_agree_with_reference(dtype, kernel, stride, padding, dilation, size):
    x = np.round(normal(2, 3, 8, 7), 1).astype(dtype)
    how = (kernel, stride, padding, dilation, size)
    (y, places), (expected, expected_places) = (m.max_pool2d(x, *how) for m in (cpu, reference))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(places, expected_places)
    np.testing.assert_array_equal(reference.max_pool2d_gather(x, places), y)
    fast, slow = (m.max_pool2d_scatter(y, places, (8, 7), how[:4]) for m in (cpu, reference))
    assert fast.dtype == slow.dtype == dtype
    np.testing.assert_allclose(fast, slow, rtol=1e-3 if dtype == np.float16 else 1e-6)


@given(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(*[st.integers(1, 4)] * 2, *[st.integers(2, 70)] * 2),
    st.floats(0, 1),
)
def test_halving_agrees_with_reference(dtype, shape, nans):
    """Lines shorter and longer than vectors, with odd ones left over; all ties, signs and NaN."""
    rng = np.random.default_rng(0)
    x = rng.choice(np.array([-1, -0.0, 0.0, 1, np.inf], dtype), shape)
    x[rng.random(shape) < nans] = np.nan
    how = (2, 2), (2, 2), (0, 0), (1, 1), (shape[2] // 2, shape[3] // 2)
    found, right = cpu.max_pool2d(x, *how), reference.max_pool2d(x, *how)
    for ours, theirs in zip(found, right):
        np.testing.assert_array_equal(ours, theirs, strict=True)
        np.testing.assert_array_equal(np.signbit(ours), np.signbit(theirs))


@pytest.mark.parametrize("wide", [1, 3, 7, 9, 17])
def test_halving_writes_nothing_behind_its_results(wide):
    shape = 2, 3, 5, wide
    size, x = np.prod(shape), np.ones((2, 3, 10, 2 * wide), np.float32)
    y, places = np.full(size + 64, -1, np.float32), np.full(size + 64, -1)
    max_pool2d_by_two(0, x, y[:size].reshape(shape), places[:size].reshape(shape))
    assert (y[:size] == 1).all() and (places[:size] >= 0).all()
    assert (y[size:] == -1).all() and (places[size:] == -1).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_mean_kernels_agree_with_reference(dtype):
    x = normal(2, 3, 6, 5).astype(dtype)
    rows, columns = np.array([[0, 2], [1, 6]]), np.array([[0, 1], [0, 5], [4, 5]])
    scale = np.linspace(0.5, 1, 6).reshape(2, 3)
    y, expected = (m.avg_pool2d(x, rows, columns, scale) for m in (cpu, reference))
    assert y.dtype == expected.dtype == dtype
    tolerance = 1e-3 if dtype == np.float16 else 1e-5
    np.testing.assert_allclose(y, expected, atol=tolerance)
    fast, slow = (m.avg_pool2d_grad(y, rows, columns, scale, (6, 5)) for m in (cpu, reference))
    assert fast.dtype == slow.dtype == dtype
    np.testing.assert_allclose(fast, slow, atol=5 * tolerance)


@given(st.data())
def test_memory_layout_does_not_matter(data):
    x = data.draw(layouts(normal(2, 2, 6, 5)))
    how = ((2, 2), (2, 2), (0, 0), (1, 1), (3, 2))
    for part, expected in zip(cpu.max_pool2d(x, *how), cpu.max_pool2d(x.copy(order="C"), *how)):
        np.testing.assert_array_equal(part, expected)


# --------------------------------------------------------------------------- errors

X = minidl.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minidl.max_pool2d(X, 2, padding=2), r"\(2, 3, 4, 4\).*more than half"),
        (lambda: minidl.avg_pool2d(X, 3, padding=(2, 0)), "more than half"),
        (lambda: minidl.max_pool2d(X, 5), r"\(2, 3, 4, 4\).*larger"),
        (lambda: minidl.avg_pool2d(X, (1, 7)), "larger"),
        (lambda: minidl.max_pool2d(X, 0), "kernel_size must be"),
        (lambda: minidl.max_pool2d(X, 2, stride=0), "stride must be"),
        (lambda: minidl.max_pool2d(X, 2, padding=-1), "padding must be"),
        (lambda: minidl.max_pool2d(X, 2, dilation=(1, 0)), "dilation must be"),
        (lambda: minidl.max_pool2d(minidl.zeros(4, 4), 2), r"got shape \(4, 4\)"),
        (lambda: minidl.max_pool2d(minidl.zeros(2, 0, 4, 4), 2), "only N may be 0"),
        (lambda: minidl.avg_pool2d(X, 2, divisor_override=0), "divisor_override"),
        (lambda: minidl.adaptive_avg_pool2d(X, (1, 2, 3)), "two sizes"),
        (lambda: minidl.adaptive_avg_pool2d(X, 0), "output_size must be"),
        (
            lambda: minidl.max_pool2d(minidl.zeros(1, 1, 1, 1), 2, padding=1, dilation=2),
            "no pixel",
        ),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"])
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match="floating-point"):
        getattr(minidl, name)(X.long(), 2)
