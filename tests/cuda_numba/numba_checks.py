"""What the Numba CUDA kernels must do, in the simulator as on a GPU.

A check takes ``run(kernel, args, host)``, which computes with copies of ``args`` on the device
and with ``host`` as it is, and returns the result and what has become of the copies.
"""

import math

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from on_device import assert_close, moved

from minidl import kernels
from minidl.backend import is_array
from minidl.kernels.conv.reference import output_size

DTYPES = st.sampled_from([np.float32, np.float64])
SEEDS = st.integers(0, 999)


_FEW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def drawn(*strategies):
    """As hypothesis's ``given``, with few examples: the simulator is slow."""
    return lambda check: _FEW(given(*strategies)(check))


def all_checks():
    """Every check by its name."""
    return {name: check for name, check in globals().items() if name.startswith("check_")}


WITH_FULL_BLOCKS = [
    "check_relu_of_special_values",
    "check_cross_entropy_of_special_values",
    "check_convolution_of_full_tiles",
]
"""What the simulator runs with blocks of as many threads as on a GPU, not with small ones."""


def agrees(run, kernel, *args, host=(), tolerance=4.0):
    """The kernel returns what its reference returns, and changes what its reference changes."""
    found = run(kernel, args, host)
    copies = moved(args, np.copy)
    same(found, (kernel.reference(*copies, *host), copies), tolerance)


def same(found, expected, tolerance):
    """Arrays are close, tuples and lists agree part by part, the rest is equal."""
    if is_array(expected):
        assert_close(found, expected, tolerance)
    elif isinstance(expected, tuple | list):
        for ours, theirs in zip(found, expected, strict=True):
            same(ours, theirs, tolerance)
    else:
        assert found == expected


def normal(seed, shape, dtype):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def strided(array):
    """The same numbers, with others in between."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


LAYOUTS = st.sampled_from([np.ascontiguousarray, strided])

# --------------------------------------------------------------------------- ReLU


@drawn(DTYPES, st.sampled_from([(0,), (1,), (3, 7), (2, 3, 5)]), LAYOUTS, SEEDS)
def check_relu(run, dtype, shape, layout, seed):
    x, g = (layout(normal(seed + i, shape, dtype)) for i in range(2))
    agrees(run, kernels.relu, x)
    agrees(run, kernels.relu_grad, g, x)


def check_relu_of_special_values(run):
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45], np.float32)
    agrees(run, kernels.relu, x)
    agrees(run, kernels.relu_grad, np.ones_like(x), x)


# --------------------------------------------------------------------------- SGD


@drawn(
    DTYPES,
    st.lists(st.integers(0, 20), min_size=1, max_size=3),
    st.sampled_from([None, (0.9, 0.0, True), (0.9, 0.0, False), (0.5, 0.3, False)]),
    st.sampled_from([0.0, 0.1]),
    SEEDS,
)
def check_sgd(run, dtype, sizes, momentum, decay, seed):
    params, grads, velocities = (
        [normal([seed, i], size, dtype) for size in sizes] for i in range(3)
    )
    momentum, dampening, nesterov = momentum or (0.0, 0.0, False)
    lists = params, grads, velocities if momentum else None
    agrees(run, kernels.sgd, *lists, 0.1, momentum, dampening, decay, nesterov)


def check_sgd_on_a_view(run):
    param, grad = normal(0, (2, 6, 5), np.float32)
    agrees(run, kernels.sgd, [param.T], [grad.T], None, 0.1, 0.0, 0.0, 0.1, False)


# --------------------------------------------------------------------------- cross-entropy


@drawn(
    DTYPES,
    st.tuples(st.integers(0, 5), st.sampled_from([1, 2, 3, 9])),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.booleans(),
    LAYOUTS,
    SEEDS,
)
def check_cross_entropy(run, dtype, shape, smoothing, weighted, layout, seed):
    rng = np.random.default_rng(seed)
    x, g = layout(normal(seed, shape, dtype)), normal(seed + 1, shape[0], dtype)
    labels = rng.integers(0, shape[1], shape[0])
    labels[rng.random(shape[0]) < 0.2] = -100
    weight = rng.uniform(0, 2, shape[1]).astype(dtype) if weighted else None
    how = labels, weight, smoothing, -100
    agrees(run, kernels.cross_entropy, x, *how)
    logsumexp = kernels.cross_entropy.reference(x, *how)[1]
    agrees(run, kernels.cross_entropy_grad, g, x, *how, logsumexp)


def check_cross_entropy_of_special_values(run):
    x = np.array([[1e30, -1e30, 0], [np.nan, 0, 0], [0, 0, np.nan], [-np.inf, 0, 1]], np.float32)
    how = np.array([0, 1, 1, 1]), np.ones(3, np.float32), 0.0, -100
    agrees(run, kernels.cross_entropy, x, *how)
    logsumexp = kernels.cross_entropy.reference(x, *how)[1]
    agrees(run, kernels.cross_entropy_grad, np.ones(4, np.float32), x, *how, logsumexp)


# --------------------------------------------------------------------------- pooling


@st.composite
def windows_along_an_axis(draw):
    """The input's size, kernel size, stride, padding, dilation, the output's size."""
    kernel, stride, dilation = (draw(st.integers(1, most)) for most in (3, 4, 2))
    padding = draw(st.integers(0, kernel // 2))
    reach = dilation * (kernel - 1) + 1
    size = max(1, reach - 2 * padding) + draw(st.integers(0, 4))
    out = (size + 2 * padding - reach) // stride + 1 + draw(st.integers(0, 1))  # 1: ceil_mode
    for first in range(-padding, out * stride - padding, stride):
        assume(any(0 <= first + tap * dilation < size for tap in range(kernel)))
    return size, kernel, stride, padding, dilation, out


PLANES = st.sampled_from([(1, 1), (2, 3)])


@drawn(DTYPES, PLANES, windows_along_an_axis(), windows_along_an_axis(), LAYOUTS, SEEDS)
def check_max_pool2d(run, dtype, planes, rows, columns, layout, seed):
    size, *windows, out = zip(rows, columns)
    x = layout(np.round(normal(seed, (*planes, *size), dtype)))  # with ties
    x[..., seed % size[0], :1] = np.nan
    agrees(run, kernels.max_pool2d, x, *windows, out)
    y, indices = kernels.max_pool2d.reference(x, *windows, out)
    g = layout(normal(seed, y.shape, dtype))
    agrees(run, kernels.max_pool2d_scatter, g, layout(indices), size, tuple(windows))


@st.composite
def means_along_an_axis(draw):
    """The input's size, and where each window starts and stops."""
    size, kernel = draw(st.integers(1, 7)), draw(st.integers(1, 3))
    if draw(st.booleans()):  # adaptive
        places = np.arange(draw(st.integers(1, 8)))
        return size, np.stack((places, places + 1), 1) * size // len(places)
    starts = np.arange(-draw(st.integers(0, kernel // 2)), size, draw(st.integers(1, 4)))
    return size, np.stack((np.maximum(starts, 0), np.minimum(starts + kernel, size)), 1)


@drawn(DTYPES, PLANES, means_along_an_axis(), means_along_an_axis(), LAYOUTS, SEEDS)
def check_avg_pool2d(run, dtype, planes, rows, columns, layout, seed):
    (height, rows), (width, columns) = rows, columns
    scale = np.random.default_rng(seed).uniform(0.1, 1, (len(rows), len(columns)))
    x = layout(normal(seed, (*planes, height, width), dtype))
    g = layout(normal(seed, (*planes, *scale.shape), dtype))
    compare_means(run, x, g, rows, columns, scale)


def compare_means(run, x, g, *tables):
    agrees(run, kernels.avg_pool2d, x, host=tables)
    agrees(run, kernels.avg_pool2d_grad, g, host=(*tables, x.shape[2:]))


def check_avg_pool2d_of_windows_side_by_side(run):
    windows = np.array([[0, 2], [2, 4], [4, 5]])
    x, g = normal(0, (1, 2, 5, 5), np.float32), normal(1, (1, 2, 3, 3), np.float32)
    compare_means(run, x, g, windows, windows, np.full((3, 3), 0.25))


# --------------------------------------------------------------------------- convolution


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def configurations(draw):
    """Shapes of x and w, and what `conv2d` takes beside the arrays."""
    groups, channels, filters = (draw(st.integers(1, most)) for most in (3, 4, 4))
    kernel, stride, dilation = draw(pairs(1, 3)), draw(pairs(1, 3)), draw(pairs(1, 2))
    padding = draw(st.tuples(*[st.integers(-1, 2)] * 4))
    x_shape = draw(st.integers(1, 2)), groups * channels, *draw(pairs(1, 6))
    size = output_size(x_shape[2:], kernel, stride, padding, dilation)
    assume(min(size) > 0)
    for length, before, after in zip(x_shape[2:], padding[::2], padding[1::2]):
        assume(length + min(before, 0) + min(after, 0) > 0)
    w_shape = groups * filters, channels, *kernel
    assume(math.prod(x_shape) * math.prod(w_shape) < 3000)  # the simulator is slow
    return x_shape, w_shape, (stride, padding, dilation, groups)


@drawn(configurations(), DTYPES, st.booleans(), st.booleans(), LAYOUTS, SEEDS)
def check_convolution(run, configuration, dtype, biased, relu, layout, seed):
    compare_convolutions(run, *configuration, dtype, biased, relu, layout, seed)


def compare_convolutions(
    run, x_shape, w_shape, how, dtype, biased, relu, layout=np.ascontiguousarray, seed=0
):
    """The convolution and both its gradients."""
    x, w = layout(normal(seed, x_shape, dtype)), layout(normal(seed + 1, w_shape, dtype))
    bias = normal(seed, w_shape[0], dtype) if biased else None
    agrees(run, kernels.conv2d, x, w, bias, *how, relu)
    size = output_size(x_shape[2:], w_shape[2:], *how[:3])
    g = layout(normal(seed, (x_shape[0], w_shape[0], *size), dtype))
    agrees(run, kernels.conv2d_input_grad, g, w, x_shape, *how)
    agrees(run, kernels.conv2d_weight_grad, g, x, w_shape, *how)


PLAIN = (1, 1), (1, 1, 1, 1), (1, 1), 1  # stride, padding, dilation, groups


def check_convolution_of_several_tiles_in_every_direction(run):
    compare_convolutions(run, (2, 4, 3, 3), (5, 4, 2, 2), PLAIN, np.float32, True, True)


def check_convolution_of_full_tiles(run):
    compare_convolutions(run, (1, 16, 4, 4), (16, 16, 1, 1), PLAIN, np.float32, True, False)


def check_depthwise_convolution(run):
    how = (2, 1), (1, 0, 1, 2), (1, 2), 4
    compare_convolutions(run, (2, 4, 5, 4), (8, 1, 3, 2), how, np.float64, True, True)


# --------------------------------------------------------------------------- the reference


def check_what_the_kernels_leave_to_the_reference(run):
    """float16 and empty batches."""
    for dtype, batch in ((np.float16, 1), (np.float32, 0)):
        x, windows = normal(0, (batch, 2, 4, 4), dtype), ((2, 2), (2, 2), (0, 0), (1, 1))
        agrees(run, kernels.relu, x)
        agrees(run, kernels.relu_grad, x, x)
        agrees(run, kernels.sgd, [x], [x + 1], None, 0.1, 0.0, 0.0, 0.0, False)
        compare_convolutions(run, x.shape, (2, 2, 3, 3), PLAIN, dtype, True, False)
        g, indices = kernels.max_pool2d.reference(x, *windows, (2, 2))
        agrees(run, kernels.max_pool2d, x, *windows, (2, 2))
        agrees(run, kernels.max_pool2d_scatter, g, indices, (4, 4), windows)
        halves = np.array([[0, 2], [2, 4]])
        compare_means(run, x, g, halves, halves, np.full((2, 2), 0.25))
        rows, labels = x.reshape(-1, 2), np.zeros(x.size // 2, np.int64)
        agrees(run, kernels.cross_entropy, rows, labels, None, 0.0, -100)
        args = rows[:, 0], rows, labels, None, 0.0, -100, rows[:, 1]
        agrees(run, kernels.cross_entropy_grad, *args)
