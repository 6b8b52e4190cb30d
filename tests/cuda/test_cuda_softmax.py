"""Softmax and cross-entropy on a device."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import TOLERANCE, assert_agrees, on_device

import minidl
from minidl.backend import CPU
from minidl.kernels import (
    cross_entropy,
    cross_entropy_grad,
    log_softmax,
    log_softmax_grad,
    softmax,
    softmax_grad,
    weighted_mean,
)
from minidl.kernels.cuda import FLOATING

DTYPES = st.sampled_from(FLOATING)
IGNORED = -100
# by the threads of a row: a part of a warp, a warp, a block; multiples of 8 are read in packs
CLASSES = st.integers(1, 40) | st.sampled_from([128, 257, 1024, 1025, 1032, 2100, 2400])


def numbers(*shape, dtype=np.float32, scale=1.0):
    return (scale * np.random.default_rng(shape).standard_normal(shape)).astype(dtype)


def assert_gradient_agrees(place, kernel, g, *args):
    """Up to rounding of the terms that a gradient is the difference of; they are as large as g."""
    found, expected = on_device(place, kernel, g, *args), kernel.reference(g, *args)
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    allowed = TOLERANCE[g.dtype.name]
    scale = np.abs(g).max(initial=0)
    np.testing.assert_allclose(found, expected, rtol=allowed, atol=allowed * scale)


def check_softmax(place, x, axis):
    g = numbers(*x.shape, dtype=x.dtype)
    for forward, backward in ((softmax, softmax_grad), (log_softmax, log_softmax_grad)):
        assert_agrees(place, forward, x, axis)
        assert_gradient_agrees(place, backward, g, forward.reference(x, axis), axis)


@given(DTYPES, st.integers(0, 9), CLASSES, st.sampled_from([0, 1, -1]))
def test_softmax(place, dtype, rows, classes, axis):
    check_softmax(place, numbers(rows, classes, dtype=dtype, scale=3), axis)


@pytest.mark.parametrize("axis", range(3))
def test_softmax_along_any_axis(place, axis):
    check_softmax(place, numbers(5, 6, 7), axis)
    check_softmax(place, numbers(5, 6, 7).T, axis)


def check_cross_entropy(place, x, smoothing, weighted):
    rows, classes = x.shape
    labels = np.random.default_rng(rows).integers(0, classes, rows)
    labels[1::4] = IGNORED
    weight = np.random.default_rng(1).uniform(0.5, 2, classes).astype(x.dtype) if weighted else None
    how = labels, weight, smoothing, IGNORED
    assert_agrees(place, cross_entropy, x, *how)
    loss, logsumexp = cross_entropy.reference(x, *how)
    g = numbers(rows, dtype=x.dtype)
    assert_gradient_agrees(place, cross_entropy_grad, g, x, *how, logsumexp)
    if rows:
        assert_agrees(place, weighted_mean, loss, labels, weight, IGNORED)


@given(DTYPES, st.integers(0, 9), CLASSES, st.sampled_from([0.0, 0.1, 1.0]), st.booleans())
def test_cross_entropy(place, dtype, rows, classes, smoothing, weighted):
    check_cross_entropy(place, numbers(rows, classes, dtype=dtype, scale=3), smoothing, weighted)


@pytest.mark.parametrize("shape", [(700, 10), (70, 104), (3, 16385), (2, 8192)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_several_blocks(place, shape, smoothing):
    check_cross_entropy(place, numbers(*shape, scale=3), smoothing, True)
    check_softmax(place, numbers(*shape, scale=3), 1)


def test_one_gradient_for_all_rows(place):
    x, labels = numbers(6, 5), np.arange(6) % 5
    _, logsumexp = cross_entropy.reference(x, labels, None, 0.0, IGNORED)
    how = x, labels, None, 0.0, IGNORED, logsumexp
    expected = cross_entropy_grad.reference(np.full(6, 0.7, np.float32), *how)

    def repeated(g, *how):
        module = minidl.backend.xp(g)
        return cross_entropy_grad(module.broadcast_to(g, (6,)), *how)

    found = on_device(place, repeated, np.array(0.7, np.float32), *how)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_mean_of_a_large_batch(place):
    loss = np.random.default_rng(0).uniform(0, 2, 20_000).astype(np.float32)
    labels = np.random.default_rng(1).integers(-1, 5, loss.size)
    assert_agrees(place, weighted_mean, loss, labels, numbers(5) ** 2, -1)
    assert_agrees(place, weighted_mean, loss, labels, None, -1)


@pytest.mark.parametrize("classes", [5, 40, 1100, 1104])
def test_infinities_and_nan(place, classes):
    x = numbers(7, classes)
    x[0, 1], x[1, 2], x[2, 3] = -np.inf, np.inf, np.nan
    x[3, :], x[4, :], x[5, 1:] = -np.inf, np.inf, -np.inf
    x[6, :] = 1e4
    labels = np.array([0, 0, 0, 0, 0, 0, IGNORED])
    with np.errstate(all="ignore"):
        assert_agrees(place, softmax, x, 1)
        assert_agrees(place, log_softmax, x, 1)
        assert_agrees(place, cross_entropy, x, labels, None, 0.0, IGNORED)
        assert_agrees(place, cross_entropy, x, labels, None, 0.2, IGNORED)


@pytest.mark.parametrize("label", [-1, 5, 2**40])
def test_a_label_that_is_no_class_gives_nan(place, label):
    x, labels = numbers(3, 5), np.array([1, label, 4])
    loss, logsumexp = on_device(place, cross_entropy, x, labels, None, 0.1, IGNORED)
    assert np.isnan(loss).tolist() == [False, True, False]
    how = x, labels, None, 0.1, IGNORED, logsumexp
    dx = on_device(place, cross_entropy_grad, np.ones(3, np.float32), *how)
    assert np.isnan(dx).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_of_tensors(place, reduction, weighted):
    weight = numbers(5) ** 2 if weighted else None

    def loss_and_gradient(device):
        x = minidl.tensor(numbers(9, 5)).to(device).requires_grad_()
        labels = minidl.tensor(np.arange(9) % 5).to(device)
        of_classes = None if weight is None else minidl.tensor(weight).to(device)
        options = {"weight": of_classes, "ignore_index": 3, "label_smoothing": 0.1}
        loss = minidl.nn.functional.cross_entropy(x, labels, reduction=reduction, **options)
        (loss * loss).sum().backward()
        return loss.detach().cpu().numpy(), x.grad.cpu().numpy()

    for found, expected in zip(loss_and_gradient(place), loss_and_gradient(CPU)):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
