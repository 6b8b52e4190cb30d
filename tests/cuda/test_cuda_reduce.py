"""Reductions on a device."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from on_device import assert_agrees, assert_close, on_device

from minidl.backend import xp
from minidl.kernels import reduce_max, reduce_mean, reduce_min, reduce_sum
from minidl.kernels.cuda import FLOATING
from minidl.kernels.reduce import cuda
from minidl.testing.strategies import layouts

SUMS, EXTREMES = (reduce_sum, reduce_mean), (reduce_max, reduce_min)


def numbers(shape, dtype):
    return np.random.default_rng(shape).uniform(-1, 2, shape).astype(dtype)


def check(place, x, axes, keepdims=False):
    for kernel in SUMS:
        assert_agrees(place, kernel, x, axes, keepdims, x.dtype)
    for kernel in EXTREMES:
        if x.size:
            assert_agrees(place, kernel, x, axes, keepdims)


@given(
    st.sampled_from(FLOATING),
    st.lists(st.sampled_from([1, 1, 2, 3, 4, 8, 17]), max_size=5).filter(
        lambda shape: np.prod(shape) < 3000
    ),
    st.booleans(),
    st.data(),
)
def test_any_axes(place, dtype, shape, keepdims, data):
    axes = data.draw(st.sets(st.sampled_from(range(len(shape)))) if shape else st.just(()))
    x = data.draw(layouts(numbers(tuple(shape), dtype)))
    check(place, x, tuple(axes), keepdims)


@pytest.mark.parametrize("dtype", FLOATING)
@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((9001,), (0,)),  # two launches
        ((9008,), (0,)),  # in packs
        ((2, 4104), (1,)),
        ((2, 4101), (1,)),
        ((1100, 3), (0,)),
        ((700, 70), (0,)),
        ((4, 3, 40, 36), (0, 2, 3)),
        ((4, 3, 40, 36), (1,)),
        ((90, 50), (1,)),
        ((3, 4, 5, 6, 7, 2), (0, 2, 4)),  # too mixed: copied
        ((2, 3, 40, 3, 5), (1, 2, 4)),
    ],
)
def test_several_blocks(place, dtype, shape, axes):
    check(place, numbers(shape, dtype), axes)


VIEWS = {
    "transposed": lambda x: x.T,
    "reversed": lambda x: x[::-1, ::-1],
    "every third": lambda x: x[::3, 1::3],
    "repeated": lambda x: xp(x).broadcast_to(x[:, None], (24, 5, 37)),
    "shifted": lambda x: x.reshape(-1)[1:],
}


@pytest.mark.parametrize("view", VIEWS)
def test_no_copy_is_needed(place, view):
    x, view = numbers((24, 37), np.float32), VIEWS[view]
    ndim = view(x).ndim
    for axes in (*((axis,) for axis in range(ndim)), tuple(range(ndim))):
        found = on_device(place, lambda x, axes=axes: reduce_max(view(x), axes, False), x)
        assert_close(found, view(x).max(axes))
        found = on_device(place, lambda x, axes=axes: reduce_mean(view(x), axes, True, x.dtype), x)
        assert_close(found, view(x).mean(axes, keepdims=True))


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_nothing_to_reduce(place, shape):
    with np.errstate(all="ignore"):
        check(place, np.empty(shape, np.float32), (0,))
    if shape[0] == 0:
        with pytest.raises(ValueError, match="zero-size"):
            on_device(place, reduce_max, np.empty(shape, np.float32), (0,), False)


@pytest.mark.parametrize("dtype", FLOATING)
def test_nan_and_infinities(place, dtype):
    x = numbers((6, 5000), dtype)
    x[0, 4321], x[1, 7], x[2, 8], x[3, :] = np.nan, np.inf, -np.inf, -np.inf
    x[4, 0], x[4, 4999], x[5, :] = np.inf, np.nan, np.inf
    check(place, x, (1,))
    check(place, np.ascontiguousarray(x.T), (0,))


def test_float16_is_added_up_in_float32(place):
    x = np.full((300, 300), 2.0, np.float16)
    assert np.isinf(on_device(place, reduce_sum, x, (0, 1), False, x.dtype))
    assert on_device(place, reduce_mean, x, (0, 1), False, x.dtype) == 2
    assert on_device(place, reduce_sum, np.full(4096, 1, np.float16), (0,), False, x.dtype) == 4096


def test_other_dtypes_run_the_reference(place):
    x = np.arange(12).reshape(3, 4)
    assert_agrees(place, reduce_sum, x, (0,), False, np.dtype(np.int64))
    assert_agrees(place, reduce_max, x, (1,), True)
    assert_agrees(place, reduce_sum, x > 4, (0, 1), False, np.dtype(np.int64))
    assert_agrees(place, reduce_mean, x.astype(np.float16), (0,), False, np.dtype(np.float32))


def test_work_is_split_where_outputs_are_few():
    def parts(shape, axes):
        x = np.empty(shape, np.float32)
        return cuda._plan(x.shape, x.strides, axes, x.itemsize).parts

    assert parts((1 << 24,), (0,)) > 1000
    assert parts((1 << 16, 64), (0,)) > 100
    assert parts((4096, 4096), (1,)) == 1
    assert parts((100,), (0,)) == 1
