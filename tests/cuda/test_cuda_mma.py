"""Tensor cores: their wrapper `mma.cuh` lane by lane, and what is computed with them."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_agrees, assert_close

from minidl.backend import to_device, to_host
from minidl.kernels import conv2d, conv2d_input_grad, conv2d_weight_grad, matmul
from minidl.kernels.conv import geometry, parts
from minidl.kernels.conv.reference import output_size
from minidl.kernels.cuda import Source, sources
from minidl.kernels.cuda.tensor_cores import is_aligned
from minidl.kernels.matmul import cuda as matmul_cuda

_wrapper = Source(__file__, "mma.cu", [])
del sources["cuda/mma.cu"]  # it is no kernel of the package


def halves(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float16)


# --------------------------------------------------------------------------- the wrapper


def one_warp(place, kernel, out, *args):
    """What this kernel of `mma.cu` makes of the array ``out``, its last argument."""
    args = [to_device(a, place) if isinstance(a, np.ndarray) else a for a in (*args, out)]
    _wrapper.kernel(kernel, args[-1])((1,), (32,), tuple(args))
    return to_host(args[-1])


def test_mma_multiplies_what_the_fragments_hold(place):
    a, b = halves(16, 16), halves(16, 8)
    c = np.arange(128, dtype=np.float32).reshape(16, 8)
    exact = c + a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(one_warp(place, "product", c, a, b), exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("kernel", "turned"), [("plain", False), ("turned", True)])
def test_every_lane_gets_its_pair_of_each_matrix(place, kernel, turned):
    rows = np.arange(32 * 8, dtype=np.float16).reshape(4, 8, 8)  # matrix, row, column
    found = one_warp(place, kernel, np.zeros((32, 4), np.uint32), rows)
    matrices = rows.swapaxes(1, 2) if turned else rows
    by_lane = matrices.reshape(4, 8, 4, 2).transpose(1, 2, 0, 3)  # group, member, matrix, pair
    np.testing.assert_array_equal(found.view(np.float16).reshape(8, 4, 4, 2), by_lane)


def test_copies_arrive_group_by_group_and_without_a_source_as_zeros(place):
    chunks, zeros = halves(32, 8), 5
    found = one_warp(place, "copies", np.zeros((2, 32, 8), np.float16), chunks, zeros)
    partner = np.arange(32) ^ 1
    expected = np.where(np.arange(32)[:, None] < zeros, np.float16(0), chunks)
    np.testing.assert_array_equal(found[0], expected[(partner + 31) % 32])
    np.testing.assert_array_equal(found[1], chunks[partner])


# --------------------------------------------------------------------------- products


every_tile = pytest.mark.parametrize("tile", geometry.TENSOR_TILES, ids=lambda t: f"{t.m}x{t.n}")


@contextlib.contextmanager
def only(tile):
    """Products are computed by this tile; it is an error if the CUDA cores are chosen."""
    choices = geometry.forward, geometry.backward, geometry.weight_grad, matmul_cuda._launch
    with pytest.MonkeyPatch.context() as patch:
        for module in (geometry, matmul_cuda):
            patch.setattr(module, "TENSOR_TILES", (tile,))
            patch.setitem(module.TILES, "float16", ())
        for choice in choices:
            choice.cache_clear()
        yield
    for choice in choices:
        choice.cache_clear()


def stored(array, row_major):
    return array if row_major else np.ascontiguousarray(array.T).T


def assert_multiplies(place, tile, sizes, row_major):
    """``row_major`` says of both factors how they are stored; their rows must be chunks."""
    m, k, n = sizes
    k += -k % (8 if row_major[0] or not row_major[1] else 1)
    m += -m % (1 if row_major[0] else 8)
    n += -n % (8 if row_major[1] else 1)
    a, b = stored(halves(m, k), row_major[0]), stored(halves(k, n), row_major[1])
    with only(tile):
        assert_agrees(place, matmul, a, b, halves(n))


any_order = st.tuples(st.booleans(), st.booleans())


@every_tile
@given(st.tuples(*[st.integers(2, 140)] * 3), any_order)
def test_matrix_products(place, tile, sizes, row_major):
    assert_multiplies(place, tile, sizes, row_major)


@every_tile
@pytest.mark.parametrize("row_major", [(True, True), (True, False), (False, True), (False, False)])
def test_products_of_several_tiles(place, tile, row_major):
    assert_multiplies(place, tile, (tile.m + 3, 200, 2 * tile.n + 3), row_major)


@every_tile
def test_a_batch_of_products(place, tile):
    with only(tile):
        assert_agrees(place, matmul, halves(3, 24, 16), halves(3, 16, 40))


# --------------------------------------------------------------------------- convolutions


def channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def assert_convolves(place, tile, x_shape, w_shape, how, arranged):
    """``how``: stride, padding, dilation, groups; ``arranged`` brings arrays in their order."""
    x, w = arranged(halves(*x_shape)), arranged(halves(*w_shape))
    size = output_size(x_shape[2:], w_shape[2:], *how[:3])
    g = arranged(halves(x_shape[0], w_shape[0], *size))
    with only(tile):
        assert_agrees(place, conv2d, x, w, halves(w_shape[0]), *how, True)
        assert_agrees(place, conv2d_input_grad, g, w, x_shape, *how)
        assert_agrees(place, conv2d_weight_grad, g, x, w_shape, *how)


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw):
    """Shapes of x and w, and ``how``; with groups, channels and filters in eights."""
    groups = draw(st.integers(1, 3))
    channels, filters = draw(pairs(1, 20) if groups == 1 else st.sampled_from([(8, 16), (16, 8)]))
    kernel, stride, dilation = draw(pairs(1, 3)), draw(pairs(1, 3)), draw(pairs(1, 2))
    padding = draw(st.tuples(*[st.integers(-1, 2)] * 4))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel)]
    size = [max(r - padding[2 * i] - padding[2 * i + 1], 3) for i, r in enumerate(reach)]
    size = [least + more for least, more in zip(size, draw(pairs(0, 7)))]
    x_shape = draw(st.integers(1, 3)), groups * channels, *size
    return x_shape, (groups * filters, channels, *kernel), (stride, padding, dilation, groups)


orders = st.sampled_from([np.ascontiguousarray, channels_last])


@every_tile
@given(convolutions(), orders)
def test_convolutions(place, tile, convolution, arranged):
    assert_convolves(place, tile, *convolution, arranged)


SAME = (1, 1), (1, 1, 1, 1), (1, 1), 1


@every_tile
@pytest.mark.parametrize("arranged", [np.ascontiguousarray, channels_last])
def test_convolutions_of_several_tiles(place, tile, arranged, monkeypatch):
    """More than one tile of filters, positions and taps, and parts of the sum over positions."""
    monkeypatch.setattr(parts, "_LEAST", 64)
    assert_convolves(place, tile, (2, 16, 9, 10), (tile.m + 6, 16, 3, 3), SAME, arranged)


def test_memory_that_begins_at_an_odd_address(place):
    def shifted(array):
        longer = np.concatenate([[np.float16(0)], array.reshape(-1)])
        return to_device(longer, place)[1:].reshape(array.shape)

    x, w, b = halves(2, 5, 4, 8), halves(16, 8, 3, 3), halves(8, 16)
    assert not is_aligned(shifted(x))
    convolved = conv2d(shifted(x).transpose(0, 3, 1, 2), to_device(w, place), None, *SAME)
    expected = conv2d.reference(x.transpose(0, 3, 1, 2), w, None, *SAME)
    assert_close(to_host(convolved), expected)
    product = matmul(shifted(x), to_device(b, place))
    assert_close(to_host(product), matmul.reference(x, b))
