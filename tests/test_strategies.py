"""The strategies draw what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl.testing import strategies

VALUES = np.arange(6.0).reshape(2, 3)


@given(data=st.data())
def test_arrays_keep_apart_and_away(data):
    shape = data.draw(strategies.shapes(max_dims=2, max_side=8))
    a, b = data.draw(
        strategies.arrays_together(
            (shape, shape), min_value=-2, max_value=5, away_from=(0.0, 1.0), margin=0.1
        )
    )
    values = np.sort(np.concatenate([a.ravel(), b.ravel()]))
    assert a.shape == b.shape == shape and a.dtype == np.float64
    assert ((values >= -2) & (values <= 5)).all()
    assert (np.abs(values) >= 0.1).all() and (np.abs(values - 1) >= 0.1).all()
    if values.size:
        assert (np.diff(values) >= (7 - 0.4) / values.size / 2 * 0.999).all()


def test_arrays_need_room():
    strategy = strategies.arrays((2,), min_value=0, max_value=1, away_from=[0.5], margin=0.6)
    with pytest.raises(ValueError, match="leaves nothing"):
        check_draw(strategy)


def check_draw(strategy):
    @given(strategy)
    def draw(value):
        pass

    draw()


@given(data=st.data())
def test_shapes_broadcast(data):
    a, b, c = data.draw(strategies.broadcastable_shapes(3))
    assert len(np.broadcast_shapes(a, b, c)) <= 3


@given(data=st.data())
def test_dims_and_indices_fit(data):
    shape = data.draw(strategies.shapes(min_dims=1))
    x = np.zeros(shape)
    x.sum(axis=data.draw(strategies.dims(x.ndim)))
    assert data.draw(strategies.dims(x.ndim, none=False)) is not None
    np.flip(x, data.draw(strategies.axes(x.ndim)))
    x[data.draw(strategies.indices(shape))]
    x[data.draw(strategies.basic_indices(shape, negative_steps=True))]
    assert data.draw(strategies.dims(0)) is None
    assert data.draw(strategies.dims(0, none=False)) == ()
    data.draw(strategies.indices(()))


def test_axes_need_a_dimension():
    with pytest.raises(ValueError, match="0-d"):
        strategies.axes(0)


@pytest.mark.parametrize("name", strategies.LAYOUTS)
def test_layouts(name):
    array = np.arange(12.0).reshape(3, 4)
    laid = strategies.LAYOUTS[name](array)
    assert laid.shape == array.shape and not np.shares_memory(laid, array)
    if name == "broadcast":
        assert laid.strides[0] == 0 and (laid == array[0]).all()
    else:
        assert (laid == array).all()
        assert not laid.flags.c_contiguous or laid.ctypes.data % 16 != array.ctypes.data % 16
    assert strategies.LAYOUTS[name](np.zeros((2, 0))).shape == (2, 0)


@given(data=st.data())
def test_layouts_are_drawn(data):
    assert data.draw(strategies.layouts(VALUES)).shape == VALUES.shape
    assert data.draw(strategies.layouts(np.array(3.0))) == 3.0
    assert data.draw(strategies.boolean_arrays((2,))).dtype == bool


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("ndim", [1, 2])
@given(data=st.data())
def test_windows_fit(ndim, data):
    torch = pytest.importorskip("torch", reason="PyTorch, which says what fits, is not installed")
    for kind, draw in [
        (f"conv{ndim}d", strategies.conv_configurations),
        (f"conv_transpose{ndim}d", strategies.conv_transpose_configurations),
    ]:
        case = data.draw(draw(ndim))
        shapes = case.input_shape, case.weight_shape, case.bias_shape
        result = getattr(torch, kind)(*map(torch.zeros, shapes), **case.options)
        assert result.numel()
    case = data.draw(strategies.pool_configurations(ndim))
    pool = getattr(torch.nn.functional, f"max_pool{ndim}d")
    assert pool(torch.zeros(case.input_shape), **case.options).numel()
    assert "dilation" not in data.draw(strategies.pool_configurations(dilated=False)).options
