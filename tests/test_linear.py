"""Linear layers: the kernels of both directions against their definition."""

import itertools

import numpy as np
import pytest

import minidl
from minidl.autograd import grad
from minidl.kernels import kernels, linear, linear_grad, single_threaded, use_kernels
from minidl.kernels.launch import noting

SIZES = [  # rows, inner, columns
    (1, 1, 1),
    (4, 400, 120),
    (4, 120, 84),
    (3, 84, 10),  # too few rows for a tile
    (5, 7, 3),  # and too few columns for a vector
    (6, 49, 2),
    (33, 17, 5),
    (64, 300, 200),  # large enough for threads
    (129, 20, 10),  # too many rows for our own loops
    (2, 3000, 2000),  # too many numbers
    (0, 4, 3),
    (4, 0, 3),
]
WANTED = list(itertools.product([True, False], repeat=3))


def operands(rows, inner, columns, dtype=np.float32):
    rng = np.random.default_rng(rows + inner + columns)
    shapes = (rows, inner), (columns, inner), (columns,), (rows, columns)
    return [rng.uniform(-1, 1, shape).astype(dtype) for shape in shapes]


def assert_same(found, expected, tolerance):
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.dtype == expected.dtype and found.shape == expected.shape
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(np.float32, 1e-4), (np.float64, 1e-12), (np.float16, 3e-2)]
)
def test_equals_the_reference(size, dtype, tolerance):
    x, w, bias, g = operands(*size, dtype)
    for relu, b in itertools.product([False, True], [bias, None]):
        expected = linear.reference(x, w, b, relu)
        assert_same(linear(x, w, b, relu), expected, tolerance)
    y = linear.reference(x, w, bias, True)
    for result in (None, y):
        for found, expected in zip(
            linear_grad(g, result, x, w, (True, True, True)),
            linear_grad.reference(g, result, x, w, (True, True, True)),
        ):
            assert_same(found, expected, tolerance)


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("size", [(4, 120, 84), (129, 20, 10)])
def test_only_wanted_gradients_are_computed(size, wanted):
    x, w, _, g = operands(*size)
    x, w = x if wanted[1] else None, w if wanted[0] else None
    found = linear_grad(g, None, x, w, wanted)
    for own, expected in zip(found, linear_grad.reference(g, None, x, w, wanted)):
        assert_same(own, expected, 1e-4)


@pytest.mark.parametrize("size", [(4, 120, 84), (5, 7, 3), (129, 20, 10)])
def test_any_layout(size):
    x, w, bias, g = (np.repeat(a, 2, axis=-1)[..., ::2] for a in operands(*size))
    dense = [np.ascontiguousarray(a) for a in (x, w, bias, g)]
    assert_same(linear(x, w, bias, False), linear(*dense[:3], False), 0)
    found = linear_grad(g, None, x, w, (True, True, True))
    for own, same in zip(found, linear_grad(dense[3], None, *dense[:2], (True, True, True))):
        assert_same(own, same, 0)


def test_nan_passes_relu():
    x, w, _, g = operands(4, 120, 84)
    x[1, 3] = np.nan
    y = linear(x, w, None, True)
    assert np.isnan(y[1]).all() and not np.isnan(y[0]).any()
    assert_same(
        linear_grad(g, y, x, w, (False, False, True))[2],
        linear_grad.reference(g, y, x, w, (False, False, True))[2],
        1e-4,
    )


def test_threads_do_not_change_the_result():
    x, w, bias, g = operands(64, 300, 200)
    y = linear(x, w, bias, True)
    threaded = [y, *linear_grad(g, y, x, w, (True, True, True))]
    with single_threaded():
        y = linear(x, w, bias, True)
        single = [y, *linear_grad(g, y, x, w, (True, True, True))]
    for a, b in zip(threaded, single):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("size", [(4, 120, 84), (129, 20, 10)])
def test_launches_alone_repeat_the_computation(size):
    x, w, bias, g = operands(*size)
    with noting(np.empty) as notes:
        y = linear(x, w, bias, True)
        results = [y, *linear_grad(g, y, x, w, (True, True, True))]
    before = [result.copy() for result in results]
    for result in results:
        result.fill(np.nan)
    for function, args in notes.launches:
        function(*args)
    assert notes.complete
    for result, expected in zip(results, before):
        assert result.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kernel_set", list(kernels["linear"].variants)[:2])
def test_layers_of_any_number_of_dimensions(kernel_set):
    rng = np.random.default_rng(0)
    w, b = (minidl.tensor(rng.normal(size=s), requires_grad=True) for s in ((4, 3), (4,)))
    for shape in ((3,), (5, 3), (2, 5, 3), (0, 3)):
        x = minidl.tensor(rng.normal(size=shape), requires_grad=True)
        with use_kernels(kernel_set):
            y = minidl.nn.functional.linear(x, w, b)
            found = grad((y * y).sum(), [x, w, b])
        expected = x @ w.T + b
        assert y.shape == (*shape[:-1], 4)
        np.testing.assert_allclose(y.detach(), expected.detach())
        for own, other in zip(found, grad((expected * expected).sum(), [x, w, b])):
            np.testing.assert_allclose(own, other, rtol=1e-12)


def test_a_bias_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"linear\(float32\[2, 3\].*a bias of shape \(out,\)"):
        minidl.nn.functional.linear(minidl.ones(2, 3), minidl.ones(4, 3), minidl.ones(1))
