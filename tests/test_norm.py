"""Normalisation beyond the samples: running statistics, precision, threads, bad input."""

import numpy as np
import pytest

import minidl
from minidl import kernels
from minidl.kernels.launch import noting
from minidl.kernels.norm import cpu, reference

SHAPES = [(4, 3, 5, 5), (7, 3), (2, 3, 4), (2, 5, 20, 30)]


def _values(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(2, 3, shape).astype(dtype)


def _numbers(tensor):
    return tensor.detach().numpy()


# --------------------------------------------------------------------------- running statistics


@pytest.mark.parametrize("shape", SHAPES)
def test_running_statistics_move(shape):
    x, others = _values(*shape), (0, *range(2, len(shape)))
    mean, var = _values(2, shape[1])
    running = minidl.tensor(mean), minidl.tensor(var)
    minidl.batch_norm(minidl.tensor(x), *running, training=True, momentum=0.2)
    np.testing.assert_allclose(running[0].numpy(), 0.8 * mean + 0.2 * x.mean(others))
    np.testing.assert_allclose(running[1].numpy(), 0.8 * var + 0.2 * x.var(others, ddof=1))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_like_pytorch(shape, dtype, training):
    torch = pytest.importorskip("torch", reason="PyTorch, the outside reference, is not installed")
    channels = shape[1]
    x, g = _values(2, *shape, dtype=dtype)
    weight, bias, mean = _values(3, channels, dtype=dtype, seed=1)
    var = np.abs(mean) + 1

    def run(tensor, batch_norm):
        leaves = [tensor(array.copy()).requires_grad_() for array in (x, weight, bias)]
        running = [tensor(mean.copy()), tensor(var.copy())]
        y = batch_norm(leaves[0], *running, *leaves[1:], training=training, momentum=0.3, eps=1e-3)
        y.backward(tensor(g))
        return [y.detach(), *running, *(leaf.grad for leaf in leaves)]

    found = run(minidl.from_numpy, minidl.batch_norm)
    expected = run(torch.from_numpy, torch.nn.functional.batch_norm)
    tolerance = 1e-4 if dtype == np.float32 else 1e-10
    for own, theirs in zip(found, expected):
        assert own.numpy().dtype == dtype
        np.testing.assert_allclose(own.numpy(), theirs.numpy(), rtol=tolerance, atol=tolerance)


def test_running_statistics_stay_out_of_the_graph():
    x = minidl.tensor(_values(4, 3), requires_grad=True)
    running = minidl.zeros(3, dtype=minidl.float64), minidl.ones(3, dtype=minidl.float64)
    saved = running[1] * minidl.ones(3, dtype=minidl.float64, requires_grad=True)
    minidl.batch_norm(x, *running, training=True)
    assert not any(buffer.requires_grad for buffer in running)
    with pytest.raises(RuntimeError, match="changed in place"):
        saved.sum().backward()


def test_bias_without_weight():
    x, bias = _values(3, 4, 5), _values(4)
    args = minidl.zeros(4), minidl.ones(4)
    for y in (
        minidl.batch_norm(minidl.tensor(x), None, None, bias=minidl.tensor(bias), training=True),
        minidl.group_norm(minidl.tensor(x), 4, bias=minidl.tensor(bias)),
    ):
        means = y.numpy().mean(axis=(0, 2))
        np.testing.assert_allclose(means, bias)
    y = minidl.batch_norm(minidl.tensor(x), *args, bias=minidl.tensor(bias), eps=0.0)
    np.testing.assert_allclose(y.numpy(), x + bias[:, None])


def test_empty_batch():
    x = minidl.zeros(0, 3, 4, 4, requires_grad=True)
    weight = minidl.ones(3, requires_grad=True)
    mean, var = minidl.zeros(3), minidl.ones(3)
    for kernel_set in ("numpy", "numba"):
        with kernels.use_kernels(kernel_set):
            minidl.batch_norm(x, mean, var, weight, training=True).sum().backward()
            assert minidl.layer_norm(minidl.zeros(2, 0), 0).shape == (2, 0)
            assert minidl.group_norm(minidl.zeros(0, 4, 2), 2).shape == (0, 4, 2)
    assert (mean.tolist(), var.tolist()) == ([0, 0, 0], [1, 1, 1])
    assert weight.grad.tolist() == [0, 0, 0]
    assert x.grad.shape == x.shape


# --------------------------------------------------------------------------- the kernels


@pytest.mark.parametrize("shape", [(16, 4, 64, 64), (2, 3, 100_000)])
def test_threaded_kernels_are_right_and_repeatable(shape):
    """Large enough for threads, and float32 sums of many values far from 0."""
    x = (_values(*shape) + 100).astype(np.float32)
    g = (_values(*shape, seed=1) - 2).astype(np.float32)
    weight, bias = _values(2, shape[1], dtype=np.float32, seed=2)

    def results(module, *arrays):
        x, g, weight, bias = arrays
        y, mean, var, rstd = module.normalize(x, weight, bias, 1e-5)
        by_group = module.group_normalize(x, weight, bias, 1, 1e-5)
        return [
            y,
            mean,
            var,
            rstd,
            *module.normalize_grad(g, x, mean, rstd, weight),
            module.scale_shift(x, weight, bias),
            module.channel_dot(g, x),
            *by_group,
            *module.group_normalize_grad(g, x, *by_group[1:], weight, 1),
        ]

    found = results(cpu, x, g, weight, bias)
    expected = results(reference, *(array.astype(np.float64) for array in (x, g, weight, bias)))
    for own, exact in zip(found, expected):
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, exact, rtol=1e-4, atol=1e-4 * np.abs(exact).max())
    before = minidl.get_num_threads()
    minidl.set_num_threads(1)
    try:
        alone = results(cpu, x, g, weight, bias)
    finally:
        minidl.set_num_threads(before)
    for own, other in zip(found, alone):
        assert np.array_equal(own, other)


def test_half_precision():
    x, g = _values(2, 4, 3, 5, 5)
    weight, bias, mean, var = _values(4, 3) ** 2

    def outcomes(dtype):
        a, w, b = (minidl.tensor(array, dtype=dtype) for array in (x, weight, bias))
        a.requires_grad = True
        y = minidl.batch_norm(a, None, None, w, b, training=True)
        y.backward(minidl.tensor(g, dtype=dtype))
        running = minidl.tensor(mean, dtype=dtype), minidl.tensor(var, dtype=dtype)
        return [_numbers(y), a.grad.numpy(), _numbers(minidl.batch_norm(a, *running, w, b))]

    for half, exact in zip(outcomes(np.float16), outcomes(np.float64)):
        assert half.dtype == np.float16
        np.testing.assert_allclose(half, exact, atol=0.02 * np.abs(exact).max())


# --------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: minidl.batch_norm(x[:1, :, 0], None, None, training=True), ValueError, "one v"),
        (lambda x: minidl.batch_norm(x, None, None), ValueError, "needs running_mean"),
        (
            lambda x: minidl.batch_norm(x, minidl.zeros(2), minidl.zeros(3)),
            ValueError,
            r"running_mean must have shape \[3\], got \[2\]",
        ),
        (
            lambda x: minidl.batch_norm(x, None, None, minidl.zeros(3, 1), training=True),
            ValueError,
            "weight must have shape",
        ),
        (lambda x: minidl.batch_norm(x[0, 0], None, None, training=True), ValueError, "2 dimens"),
        (lambda x: minidl.batch_norm(x.long(), None, None, training=True), TypeError, "floating"),
        (lambda x: minidl.layer_norm(x, (3, 5)), ValueError, r"must be \[3, 5\]"),
        (lambda x: minidl.layer_norm(x, ()), ValueError, "last dimensions"),
        (lambda x: minidl.layer_norm(x, 4, bias=minidl.zeros(3)), ValueError, "bias must have"),
        (lambda x: minidl.group_norm(x, 2), ValueError, "3 channels cannot be divided into 2"),
        (lambda x: minidl.group_norm(x, 0), ValueError, "equal groups"),
        (lambda x: minidl.group_norm(x, 3, minidl.zeros(4)), ValueError, "weight must have"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(minidl.zeros(2, 3, 4))


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 3), (5, 5)], ids=str)
@pytest.mark.parametrize("groups", [1, 4], ids=["one group", "groups"])
def test_launches_alone_repeat_a_kernel(size, groups):
    """Of many channels, in several blocks where rows are short."""
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((2, 7, 600, *size)).astype(np.float32)
    weight, bias = rng.standard_normal((2, 600)).astype(np.float32)
    moments = kernels.normalize(x, weight, bias, 1e-5)[1:]
    by_group = kernels.group_normalize(x, weight, bias, groups, 1e-5)[1:]
    for kernel, args in (
        (kernels.normalize, (x, weight, None, 1e-5)),
        (kernels.normalize_grad, (g, x, moments[0], moments[2], weight)),
        (kernels.scale_shift, (x, weight, bias)),
        (kernels.channel_dot, (g, x)),
        (kernels.group_normalize, (x, None, bias, groups, 1e-5)),
        (kernels.group_normalize_grad, (g, x, *by_group, weight, groups)),
    ):
        memory = []

        def allocate(shape, dtype, _like, memory=memory):
            memory.append(np.empty(shape, dtype))
            return memory[-1]

        expected = kernel.reference(*args)
        with noting(allocate) as notes:
            found = kernel(*args)
        assert notes.complete
        for array in memory:  # which others may have used since
            array.fill(np.nan)
        for function, arguments in notes.launches:
            function(*arguments)
        for one, other in zip(_several(found), _several(expected)):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def _several(results):
    return results if isinstance(results, tuple) else (results,)
