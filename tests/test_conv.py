"""Convolution: against PyTorch, and the CPU kernels against the reference."""

import gc
import warnings
import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minidl
from minidl.kernels import use_kernels
from minidl.kernels.conv import cpu, reference
from minidl.nn import functional
from minidl.testing.strategies import conv_configurations, conv_transpose_configurations, layouts


def normal(*shape, dtype=np.float64, seed=0):
    """Numbers that depend on shape and seed alone, so that hypothesis can repeat a failure."""
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def leaf(array):
    return minidl.tensor(array, requires_grad=True)


def torch_functional():
    torch = pytest.importorskip("torch", reason="PyTorch, the outside reference, is not installed")
    return torch, torch.nn.functional


def assert_like_torch(name, arrays, **options):
    """Result and gradients of ``name`` are PyTorch's."""
    torch, functional = torch_functional()
    own = [leaf(a) for a in arrays]
    theirs = [torch.from_numpy(a).requires_grad_() for a in arrays]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says when padding="same" is slow
        expected = getattr(functional, name)(*theirs, **options)
    result = getattr(minidl, name)(*own, **options)
    assert result.shape == tuple(expected.shape)
    np.testing.assert_allclose(result.detach().numpy(), expected.detach().numpy(), atol=1e-10)
    gradient = normal(*result.shape, seed=1)
    result.backward(minidl.tensor(gradient))
    expected.backward(torch.from_numpy(gradient))
    for a, b in zip(own, theirs):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)


@given(conv_configurations(), st.booleans())
def test_conv2d_relu_is_relu_of_conv2d(c, biased):
    arrays = [normal(*c.input_shape), normal(*c.weight_shape)] + [normal(*c.bias_shape)] * biased
    one, two = list(map(leaf, arrays)), list(map(leaf, arrays))
    fused, composed = functional.conv2d_relu(*one, **c.options), minidl.conv2d(*two, **c.options)
    composed = minidl.relu(composed)
    np.testing.assert_allclose(fused.detach().numpy(), composed.detach().numpy(), atol=1e-12)
    gradient = minidl.tensor(normal(*fused.shape, seed=1))
    fused.backward(gradient)
    composed.backward(gradient)
    for a, b in zip(one, two):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-12)


def test_conv2d_relu_notices_when_its_result_is_changed():
    y = functional.conv2d_relu(leaf(normal(1, 1, 3, 3)), minidl.ones(1, 1, 2, 2).double())
    y += 1
    with pytest.raises(RuntimeError, match="in place"):
        y.sum().backward()


# --------------------------------------------------------------------------- against PyTorch


@given(conv_configurations(max_batch=5, max_channels=6, max_kernel=4), st.booleans())
def test_conv2d_like_torch(c, biased):
    arrays = [normal(*c.input_shape), normal(*c.weight_shape)]
    assert_like_torch("conv2d", arrays + [normal(*c.bias_shape)] * biased, **c.options)


@given(conv_configurations(ndim=1, max_batch=5, max_channels=6, max_kernel=4))
def test_conv1d_like_torch(c):
    arrays = [normal(*shape) for shape in (c.input_shape, c.weight_shape, c.bias_shape)]
    assert_like_torch("conv1d", arrays, **c.options)


@given(conv_transpose_configurations(max_batch=5, max_channels=6, max_kernel=4))
def test_conv_transpose2d_like_torch(c):
    arrays = [normal(*shape) for shape in (c.input_shape, c.weight_shape, c.bias_shape)]
    assert_like_torch("conv_transpose2d", arrays, **c.options)


@given(conv_transpose_configurations(ndim=1, max_batch=5, max_channels=6, max_kernel=4))
def test_conv_transpose1d_like_torch(c):
    arrays = [normal(*shape) for shape in (c.input_shape, c.weight_shape, c.bias_shape)]
    assert_like_torch("conv_transpose1d", arrays, **c.options)


@pytest.mark.parametrize("kernel", [(2, 2), (4, 3), (1, 6)])
def test_padding_same_with_even_kernels(kernel):
    arrays = [normal(2, 3, 7, 8), normal(4, 3, *kernel)]
    assert_like_torch("conv2d", arrays, padding="same")
    assert_like_torch("conv2d", arrays, padding="same", dilation=(3, 2))


def test_output_padding_beyond_the_stride():
    arrays = [normal(2, 3, 4, 5), normal(3, 2, 3, 3)]
    assert_like_torch("conv_transpose2d", arrays, output_padding=2, dilation=3)
    assert_like_torch("conv_transpose2d", arrays, output_padding=1, dilation=2, padding=1)


def test_one_picture_without_batch():
    assert_like_torch("conv2d", [normal(3, 6, 6), normal(4, 3, 3, 3), normal(4)])
    assert_like_torch("conv_transpose2d", [normal(3, 6, 6), normal(3, 4, 3, 3)], stride=2)
    assert_like_torch("conv1d", [normal(3, 6), normal(4, 3, 3)])


def test_article_layers_like_torch():
    """Many pictures in several chunks, more channels than a block, a short last chunk."""
    assert_like_torch("conv2d", [normal(5, 3, 32, 32), normal(6, 3, 5, 5), normal(6)])
    assert_like_torch("conv2d", [normal(11, 6, 14, 14), normal(16, 6, 5, 5), normal(16)])


def test_empty_batch():
    x, w, bias = (leaf(a) for a in (normal(0, 3, 5, 5), normal(4, 3, 3, 3), normal(4)))
    y = minidl.conv2d(x, w, bias, padding=1)
    assert y.shape == (0, 4, 5, 5)
    y.sum().backward()
    assert x.grad.shape == (0, 3, 5, 5)
    assert not w.grad.numpy().any() and not bias.grad.numpy().any()
    assert minidl.conv_transpose2d(y, w).shape == (0, 3, 7, 7)


# --------------------------------------------------------------------------- kernels


def random_case(dtype):
    x, w, bias = normal(9, 6, 9, 8), normal(10, 3, 3, 2), normal(10)
    how = ((2, 1), (1, 0, 2, 1), (1, 2), 2)
    return [a.astype(dtype) for a in (x, w, bias)], how


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernels_agree_with_reference(dtype):
    (x, w, bias), how = random_case(dtype)
    g = normal(*reference.conv2d(x, w, bias, *how).shape, dtype=dtype, seed=1)
    for name, args in (
        ("conv2d", (x, w, bias)),
        ("conv2d_input_grad", (g, w, x.shape)),
        ("conv2d_weight_grad", (g, x, w.shape)),
    ):
        result, expected = (getattr(m, name)(*args, *how) for m in (cpu, reference))
        assert result.dtype == expected.dtype == dtype
        tolerance = 2e-5 if dtype == np.float32 else 1e-12
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("module", [cpu, reference])
def test_negative_padding_cuts_off(module):
    x, w = normal(2, 1, 7, 8), normal(3, 1, 2, 3)
    result = module.conv2d(x, w, None, (1, 1), (-1, 1, -2, -1), (1, 1), 1)
    cut = np.pad(x[:, :, 1:, 2:-1], [(0, 0), (0, 0), (0, 1), (0, 0)])
    plain = module.conv2d(cut, w, None, (1, 1), (0, 0, 0, 0), (1, 1), 1)
    np.testing.assert_allclose(result, plain, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("size", [(3, 3), (3, 8), (5, 6), (6, 7), (9, 12)])
def test_whole_vectors_of_filters(size, relu, dtype):
    """Less than a vector of results, one or more, and a part of one."""
    x, w = normal(5, 3, *size, dtype=dtype), normal(32, 3, 3, 3, dtype=dtype)
    bias, how = normal(32, dtype=dtype), ((1, 1), (0, 0, 0, 0), (1, 1), 1, relu)
    expected = reference.conv2d(x, w, bias, *how)
    np.testing.assert_allclose(cpu.conv2d(x, w, bias, *how), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stride, dilation", [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("size", [(5, 5), (9, 40), (33, 34)])
def test_lone_filters(size, stride, dilation):
    """One filter for each group, or in all: several pictures, lines that tiles reach beyond."""
    how = (stride, stride), (1, 1, 1, 1), (dilation, dilation)
    for channels, groups in ((5, 5), (3, 1)):
        x = normal(5, channels, *size, dtype=np.float32)
        w = normal(groups, channels // groups, 3, 3, dtype=np.float32)
        expected = reference.conv2d(x, w, None, *how, groups)
        y = cpu.conv2d(x, w, None, *how, groups)
        np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_float16_adds_up_in_float32():
    x, w = np.ones((1, 1, 64, 64), np.float16), np.ones((1, 1, 64, 64), np.float16)
    w[0, 0, 0, 0] = 0  # 4095 in float16 is reached only without rounding on the way
    y = minidl.conv2d(leaf(x), leaf(w))
    assert y.dtype == np.float16
    assert y.item() == np.float16(4095)


@given(st.data())
def test_memory_layout_does_not_matter(data):
    x, w = data.draw(layouts(normal(2, 2, 6, 5))), data.draw(layouts(normal(3, 2, 3, 3)))
    how = ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    expected = cpu.conv2d(x.copy(order="C"), w.copy(order="C"), None, *how)
    np.testing.assert_array_equal(cpu.conv2d(x, w, None, *how), expected)


def test_results_do_not_depend_on_the_number_of_threads():
    x, w, g = normal(32, 8, 16, 16), normal(8, 8, 3, 3), normal(32, 8, 16, 16, seed=1)
    how = ((1, 1), (1, 1, 1, 1), (1, 1), 1)

    def compute():
        return (
            cpu.conv2d(x, w, None, *how),
            cpu.conv2d_input_grad(g, w, x.shape, *how),
            cpu.conv2d_weight_grad(g, x, w.shape, *how),
        )

    threaded = compute()
    with minidl.kernels.single_threaded():
        alone = compute()
    for a, b in zip(threaded, alone):
        assert np.array_equal(a, b)


def test_infinite_pixel_stays_in_its_windows():
    x = normal(2, 2, 8, 8)
    x[0, 1, 4, 4] = np.inf
    y = minidl.conv2d(minidl.tensor(x), minidl.tensor(np.ones((1, 2, 3, 3)))).numpy()
    assert np.isinf(y[0, 0, 2:5, 2:5]).all()
    assert np.isfinite(y).sum() == y.size - 9


# --------------------------------------------------------------------------- the graph


def test_third_derivative_against_kernels_of_the_reference():
    def third():
        x, w = leaf(np.linspace(-1, 1, 50).reshape(1, 2, 5, 5)), leaf(np.ones((2, 2, 3, 3)))
        y = (minidl.conv2d(x, w, stride=2, padding=1) ** 3).sum()
        for _ in range(2):
            (gx,) = minidl.autograd.grad(y, [x], create_graph=True)
            y = (gx * gx).sum()
        return minidl.autograd.grad(y, [x, w])

    fast = third()
    with use_kernels("numpy"):
        for a, b in zip(fast, third()):
            scale = np.abs(b.numpy()).max()
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-9, atol=1e-12 * scale)


def test_input_without_gradient_is_not_differentiated(monkeypatch):
    def forbidden(*args):
        raise AssertionError("the gradient of the pictures was computed")

    monkeypatch.setattr(minidl.kernels, "conv2d_input_grad", forbidden)
    w = leaf(normal(2, 3, 3, 3))
    minidl.conv2d(minidl.tensor(normal(1, 3, 5, 5)), w).sum().backward()
    assert w.grad is not None


def test_frozen_weight_does_not_keep_the_input_alive():
    gc.disable()
    try:
        x = leaf(normal(1, 2, 5, 5))
        hidden = x * 2.0
        watched = weakref.ref(hidden.array)
        y = minidl.conv2d(hidden, minidl.tensor(normal(1, 2, 3, 3)))
        del hidden
        assert watched() is None
        assert y.requires_grad
    finally:
        gc.enable()


# --------------------------------------------------------------------------- errors

X, W = minidl.zeros(2, 4, 6, 6), minidl.zeros(6, 4, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, minidl.zeros(6, 3, 3, 3)), {}, r"\(6, 3, 3, 3\)|6, 3, 3, 3.*has 4"),
        ((X, W), {"groups": 4}, "groups=4 does not divide the 6 filters"),
        ((X, W), {"groups": 0}, "groups=0"),
        ((X, W), {"groups": 2}, "4 x 2 channels"),
        ((X, minidl.zeros(6, 4, 9, 3)), {"padding": 1}, r"\(9, 3\) is larger than .* \(8, 8\)"),
        ((X, W), {"padding": -1}, "padding must be"),
        ((X, W), {"stride": 0}, "stride must be"),
        ((X, W), {"dilation": (1, 2, 3)}, "dilation must be"),
        ((X, W), {"stride": 1.5}, "stride must be"),
        ((X, W), {"padding": "same", "stride": 2}, "'same' needs stride 1"),
        ((X, W), {"padding": "full"}, "'full'"),
        ((X, W, minidl.zeros(5)), {}, r"bias must have shape \(6,\), got \(5,\)"),
        ((minidl.zeros(4, 4), W), {}, r"got shapes \(4, 4\) and \(6, 4, 3, 3\)"),
        ((X, minidl.zeros(6, 4, 3)), {}, r"\(6, 4, 3\)"),
        ((X, minidl.zeros(6, 4, 0, 3)), {}, "empty"),
    ],
)
def test_conv2d_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        minidl.conv2d(*arguments, **options)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, W), {}, r"input \(2, 4, 6, 6\), weight \(6, 4, 3, 3\)"),
        ((X, minidl.zeros(4, 2, 3, 3)), {"groups": 3}, "groups=3"),
        ((X, minidl.zeros(4, 2, 3, 3)), {"output_padding": 1}, "must be smaller than stride"),
        ((X, minidl.zeros(4, 2, 1, 1)), {"padding": 3}, "nothing is left"),
        ((X, minidl.zeros(4, 2, 0, 1)), {}, "empty"),
        ((X, minidl.zeros(4, 2, 3, 3), minidl.zeros(3)), {}, "bias must have shape"),
    ],
)
def test_conv_transpose2d_refuses(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        minidl.conv_transpose2d(*arguments, **options)


def test_conv1d_refuses():
    with pytest.raises(ValueError, match="stride must be one integer"):
        minidl.conv1d(minidl.zeros(1, 2, 5), minidl.zeros(2, 2, 3), stride=(1, 2))
    with pytest.raises(ValueError, match="conv1d: wants"):
        minidl.conv1d(X, W)


def test_dtypes_must_agree():
    with pytest.raises(TypeError, match="float32 and float64"):
        minidl.conv2d(X, W.double())
    with pytest.raises(TypeError, match="floating-point"):
        minidl.conv2d(X.long(), W.long())
    with pytest.raises(TypeError, match="conv_transpose2d"):
        minidl.conv_transpose2d(X, minidl.zeros(4, 2, 3, 3).double())
