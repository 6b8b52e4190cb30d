"""Losses beyond the samples: ends of the ranges, labels, threads, bad input."""

import numpy as np
import pytest

import minidl
from minidl.kernels import use_kernels
from minidl.kernels.launch import noting
from minidl.kernels.softmax import cpu, reference

INF, NAN = float("inf"), float("nan")
KERNELS = pytest.mark.parametrize("kernel_set", ["numpy", "numba"])


def _logits(*shape, dtype=np.float64):
    return np.random.default_rng(0).normal(0, 3, shape).astype(dtype)


# --------------------------------------------------------------------------- cross-entropy


def test_formula():
    x = _logits(3, 4)
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    found = minidl.cross_entropy(minidl.tensor(x), minidl.tensor([1, 0, 3]))
    assert found.item() == pytest.approx(-np.log(p[[0, 1, 2], [1, 0, 3]]).mean())


def test_probabilities_and_labels_agree():
    x, labels = minidl.tensor(_logits(5, 3, 2)), minidl.randint(3, (5, 2))
    one_hot = minidl.eye(3, dtype=minidl.float64)[labels].permute(0, 2, 1)
    for options in ({}, {"reduction": "none"}, {"label_smoothing": 0.3}):
        by_label = minidl.cross_entropy(x, labels, **options)
        by_probability = minidl.cross_entropy(x, one_hot, **options)
        np.testing.assert_allclose(by_label.numpy(), by_probability.numpy())


@KERNELS
def test_large_logits(kernel_set):
    rows = [[1e4, 0.0, 1.0], [-INF, 0.0, 1.0], [-INF, 0.0, 1.0], [INF, 0.0, 1.0]]
    x = minidl.tensor(rows, requires_grad=True)
    with use_kernels(kernel_set):
        loss = minidl.cross_entropy(x, minidl.tensor([1, 1, 0, 0]), reduction="none")
        loss[:2].sum().backward()
    expected = [1e4, np.log1p(np.e), INF, NAN]
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=1e-6)
    p = np.e / (1 + np.e)
    np.testing.assert_allclose(x.grad.numpy()[:2], [[1, -1, 0], [0, -p, p]], atol=1e-6)


@KERNELS
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_nothing_to_average(kernel_set, dtype):
    x = minidl.tensor(np.zeros((2, 3), dtype), requires_grad=True)
    empty, none = minidl.zeros(0, 3, dtype=dtype), minidl.zeros(0, dtype=minidl.int64)
    with use_kernels(kernel_set):
        loss = minidl.cross_entropy(x, minidl.tensor([-100, -100]))
        loss.backward()
        assert np.isnan(loss.item())
        assert not x.grad.numpy().any()
        assert np.isnan(minidl.cross_entropy(empty, none).item())
        assert minidl.cross_entropy(empty, none, reduction="sum").item() == 0
        assert minidl.cross_entropy(empty, none, reduction="none").shape == (0,)
    assert np.isnan(minidl.nll_loss(empty, none).item())
    assert np.isnan(minidl.mse_loss(empty, empty).item())


def test_small_integer_labels():
    x = minidl.tensor(_logits(3, 4))
    expected = minidl.cross_entropy(x, minidl.tensor([3, 0, 1]), ignore_index=0).item()
    for dtype in (np.uint8, np.int32):
        labels = minidl.tensor([3, 0, 1], dtype=dtype)
        assert minidl.cross_entropy(x, labels, ignore_index=0).item() == expected


def test_labels_are_not_copied_into_the_weights_dtype():
    x, weight = minidl.tensor(_logits(3, 4, dtype=np.float32)), minidl.tensor(_logits(4) ** 2)
    loss = minidl.cross_entropy(x, minidl.tensor([0, 1, 2]), weight)
    assert loss.dtype == minidl.float32


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_threaded_kernels(smoothing):
    """Large enough for threads."""
    x, g = _logits(2, 512, 100, dtype=np.float32)
    labels = np.random.default_rng(1).integers(0, 100, 512)
    labels[::7] = -1
    weight = np.linspace(0.5, 2, 100, dtype=np.float32)
    results = []
    for module in (cpu, reference):
        loss, logsumexp = module.cross_entropy(x, labels, weight, smoothing, -1)
        g_x = module.cross_entropy_grad(g[:, 0], x, labels, weight, smoothing, -1, logsumexp)
        results.append((loss, logsumexp, g_x))
    for own, expected in zip(*results):
        assert own.dtype == np.float32
        np.testing.assert_allclose(own, expected, rtol=1e-4, atol=1e-5)


def test_exponentials_are_right_to_about_the_last_digit():
    x = np.concatenate(
        [-(np.float32(10) ** np.linspace(-8, 1.95, 20_001)), np.linspace(0, 5, 1001)]
    ).astype(np.float32)
    x = x[x > -87.3]
    exact = np.exp(x.astype(np.float64))
    found = np.array([cpu._exp32(value) for value in x])
    assert (abs(found - exact) <= 1.2 * np.spacing(exact.astype(np.float32))).all()
    special = [cpu._exp32(np.float32(value)) for value in (0, -88, -1e30, -INF, NAN)]
    np.testing.assert_array_equal(special, [1, 0, 0, 0, NAN])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_thousand_classes(dtype):
    x = _logits(8, 1000, dtype=dtype) * 20
    labels = np.arange(8) * 111
    tolerance = 3e-6 if dtype == np.float32 else 1e-13
    how = labels, None, 0.1, -1
    expected = reference.cross_entropy(x.astype(np.float64), *how)
    for own, exact in zip(cpu.cross_entropy(x, *how), expected):
        np.testing.assert_allclose(own, exact, rtol=tolerance)
    g = np.ones(8, dtype)
    g_x = cpu.cross_entropy_grad(g, x, *how, expected[1].astype(dtype))
    exact = reference.cross_entropy_grad(
        g.astype(np.float64), x.astype(np.float64), *how, expected[1]
    )
    np.testing.assert_allclose(g_x, exact, rtol=10 * tolerance, atol=tolerance)


def test_kernels_do_not_read_at_labels_that_are_no_classes():
    x, labels = _logits(3, 4, dtype=np.float32), np.array([1, 2**40, -(2**40)])
    loss, logsumexp = cpu.cross_entropy(x, labels, None, 0.0, -100)
    g_x = cpu.cross_entropy_grad(np.ones(3, np.float32), x, labels, None, 0.0, -100, logsumexp)
    assert np.isnan(loss).tolist() == [False, True, True]
    assert np.isnan(g_x).all(1).tolist() == [False, True, True]


def test_launches_alone_repeat_the_computation():
    x, labels, weight = _logits(6, 5, dtype=np.float32), np.arange(6) % 5, np.ones(5, np.float32)
    with noting(np.empty) as notes:
        loss, logsumexp = cpu.cross_entropy(x, labels, weight, 0.1, 2)
        mean, share = cpu.weighted_mean(loss, labels, weight, 2)
        g = np.ones((), np.float32)
        g_x = cpu.cross_entropy_grad(g, x, labels, weight, 0.1, 2, logsumexp, share)
    results = loss, logsumexp, mean, share, g_x
    before = [result.copy() for result in results]
    for result in results:
        result.fill(NAN)
    for function, args in notes.launches:
        function(*args)
    assert notes.complete
    for result, expected in zip(results, before):
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("loss", [minidl.cross_entropy, minidl.nll_loss])
@KERNELS
def test_bad_labels(loss, kernel_set):
    x = minidl.zeros(2, 3)
    with use_kernels(kernel_set):
        for labels in ([0, 3], [0, -1], [0, 2**40]):
            with pytest.raises(
                IndexError, match=rf"label {labels[1]} is outside 0\.\.2.*3 classes"
            ):
                loss(x, minidl.tensor(labels))
        with pytest.raises(TypeError, match="labels must be integers, got float32"):
            loss(x, minidl.tensor([0.0, NAN]))
        with pytest.raises(TypeError, match="labels must be integers, got bool"):
            loss(x, minidl.tensor([True, False]))
        with pytest.raises(ValueError, match=r"labels must have shape \[2\]"):
            loss(x, minidl.tensor([0, 1, 2]))
        with pytest.raises(ValueError, match=r"weight must have shape \[3\], got \[2\]"):
            loss(x, minidl.tensor([0, 1]), minidl.ones(2))
        with pytest.raises(TypeError, match="input must be floating point"):
            loss(x.long(), minidl.tensor([0, 1]))
        with pytest.raises(ValueError, match="reduction is"):
            loss(x, minidl.tensor([0, 1]), reduction="average")


def test_bad_smoothing():
    with pytest.raises(ValueError, match="label_smoothing must be in"):
        minidl.cross_entropy(minidl.zeros(2, 3), minidl.tensor([0, 1]), label_smoothing=2)


# --------------------------------------------------------------------------- other losses


def test_probabilities_at_their_ends():
    x = minidl.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    t = minidl.tensor([1.0, 0.0, 0.0, 1.0])
    loss = minidl.binary_cross_entropy(x, t, reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [100, 100, 0, 0]
    np.testing.assert_allclose(x.grad.numpy(), [-1e12, 1e12, 0, 0])


def test_large_binary_logits():
    x = minidl.tensor([-1e4, 1e4, -1e4, 1e4], requires_grad=True)
    t = minidl.tensor([1.0, 0.0, 0.0, 1.0])
    loss = minidl.binary_cross_entropy_with_logits(x, t, reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [1e4, 1e4, 0, 0]
    assert x.grad.tolist() == [-1, 1, 0, 0]


def test_divergence():
    x, t = minidl.tensor([[0.0, 1.0]], requires_grad=True), minidl.tensor([[0.0, 1.0]])
    loss = minidl.kl_div(x, t, reduction="none")
    loss.sum().backward()
    assert loss.tolist() == [[0, -1]]
    assert x.grad.tolist() == [[0, -1]]
    assert minidl.kl_div(x, t).item() == -0.5
    assert minidl.kl_div(x[0, 0], t[0, 1], reduction="batchmean").item() == 0


@pytest.mark.parametrize(
    "loss", [minidl.mse_loss, minidl.l1_loss, minidl.smooth_l1_loss, minidl.kl_div]
)
def test_shapes_that_differ_warn(loss):
    with pytest.warns(UserWarning, match="will be broadcast"):
        loss(minidl.ones(3, 1), minidl.ones(3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: minidl.smooth_l1_loss(x, x, beta=-1.0), ValueError, "beta must not be negative"),
        (lambda x: minidl.mse_loss(x, x, "batchmean"), ValueError, "reduction is"),
        (lambda x: minidl.mse_loss(x.long(), x.long()), TypeError, "floating"),
        (lambda x: minidl.binary_cross_entropy(x + 1, x), ValueError, r"lie in \[0, 1\]"),
        (lambda x: minidl.binary_cross_entropy(x * NAN, x), ValueError, r"lie in \[0, 1\]"),
        (lambda x: minidl.binary_cross_entropy(x, x[0]), ValueError, "must be the same"),
        (lambda x: minidl.binary_cross_entropy(x, x.long()), TypeError, "floating point"),
        (
            lambda x: minidl.binary_cross_entropy_with_logits(x, x[0]),
            ValueError,
            "must be the same",
        ),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call(minidl.ones(2, 3))
