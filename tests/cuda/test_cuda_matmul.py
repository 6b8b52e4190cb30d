"""Matrix products on a device: every tile, every order of memory, batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_agrees

from minidl.kernels import matmul
from minidl.kernels.cuda import FLOATING
from minidl.kernels.matmul import cuda, few

LONG_SUMS = 4.0
"""Sums of many terms may differ that much more than single numbers."""

TILES = [(dtype, tile) for dtype, tiles in cuda.TILES.items() for tile in tiles]


def normal(shape, dtype, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(dtype)


def transposed(array):
    """The same numbers, column by column."""
    return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)


def every_other(array):
    """The same numbers, with others in between."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


layouts = st.sampled_from([np.ascontiguousarray, transposed, every_other])
batches = st.sampled_from(
    [((), ()), ((3,), ()), ((), (3,)), ((2,), (2,)), ((2, 1), (3,)), ((1, 2), (2, 2)), ((0,), ())]
)


@given(
    st.tuples(*[st.integers(0, 20)] * 3),
    batches,
    st.sampled_from(FLOATING),
    layouts,
    layouts,
    st.booleans(),
)
def test_any_product(place, sizes, batch, dtype, arrange_a, arrange_b, biased):
    rows, depth, columns = sizes
    a = arrange_a(normal((*batch[0], rows, depth), dtype))
    b = arrange_b(normal((*batch[1], depth, columns), dtype, seed=1))
    bias = normal((columns,), dtype) if biased else None
    assert_agrees(place, matmul, a, b, bias, tolerance=LONG_SUMS)


@pytest.mark.parametrize("arrange_a", [np.ascontiguousarray, transposed])
@pytest.mark.parametrize("arrange_b", [np.ascontiguousarray, transposed])
@pytest.mark.parametrize(("dtype", "tile"), TILES)
def test_several_tiles_of_each_kind(place, dtype, tile, arrange_a, arrange_b, monkeypatch):
    monkeypatch.setitem(cuda.TILES, dtype, (tile,))
    monkeypatch.setattr(few, "suits", lambda at: False)
    cuda._launch.cache_clear()
    a = arrange_a(normal((tile.m + 3, 3 * tile.k + 1), dtype))
    b = arrange_b(normal((3 * tile.k + 1, 2 * tile.n + 1), dtype, seed=1))
    assert_agrees(place, matmul, a, b, normal((2 * tile.n + 1,), dtype), tolerance=LONG_SUMS)
    cuda._launch.cache_clear()


@pytest.mark.parametrize("arrange_a", [np.ascontiguousarray, transposed])
@pytest.mark.parametrize("arrange_b", [np.ascontiguousarray, transposed])
@pytest.mark.parametrize("dtype", FLOATING)
def test_small_products(place, dtype, arrange_a, arrange_b, monkeypatch):
    """Several blocks, none of them full, and more terms than threads that share them."""
    monkeypatch.setattr(cuda, "_source", None)  # of the tiles
    monkeypatch.setattr(cuda, "_suits_tensor_cores", lambda *factors: False)
    a, b = arrange_a(normal((6, 150), dtype)), arrange_b(normal((150, 37), dtype, seed=1))
    for bias in (None, normal((37,), dtype)):
        assert_agrees(place, matmul, a, b, bias, tolerance=LONG_SUMS)


def test_more_products_than_a_grid_has_blocks_across(place, monkeypatch):
    monkeypatch.setattr(cuda, "_MOST_BLOCKS", 3)
    cuda._launch.cache_clear()
    a, b = normal((7, 2, 3), np.float32), normal((7, 3, 2), np.float32, seed=1)
    assert_agrees(place, matmul, a, b)
    cuda._launch.cache_clear()


def test_vectors_and_integers_run_the_reference(place):
    a, b = normal((3, 4), np.float32), normal((4,), np.float32)
    assert_agrees(place, matmul, a, b)
    assert_agrees(place, matmul, b, b)
    assert_agrees(place, matmul, np.arange(6).reshape(2, 3), np.arange(12).reshape(3, 4))


def test_shapes_without_a_product_are_an_error(place):
    with pytest.raises(ValueError):
        assert_agrees(place, matmul, normal((2, 3), np.float32), normal((4, 5), np.float32))
