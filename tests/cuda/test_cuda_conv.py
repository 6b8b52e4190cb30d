"""Convolution and its gradients on a device: every tile, every path, every edge."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from on_device import assert_agrees

from minidl.kernels import conv2d, conv2d_input_grad, conv2d_weight_grad
from minidl.kernels.conv import cuda as conv_cuda
from minidl.kernels.conv import direct, geometry, parts, tensor_cores
from minidl.kernels.conv.reference import output_size
from minidl.kernels.cuda import FLOATING

LONG_SUMS = 8.0
"""Sums of many terms may differ that much more than single numbers."""

TILES = [(dtype.name, tile) for dtype in FLOATING for tile in geometry.TILES[dtype.name]]


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


def normal(rng, *shape):
    return rng.standard_normal(shape)


def check(
    place, x_shape, w_shape, how, dtype, biased=True, relu=False, layout=np.ascontiguousarray
):
    """All three kernels agree with the reference, for arrays laid out by ``layout``."""
    rng = np.random.default_rng(0)
    x, w = (layout(normal(rng, *shape).astype(dtype)) for shape in (x_shape, w_shape))
    bias = normal(rng, w_shape[0]).astype(dtype) if biased else None
    assert_agrees(place, conv2d, x, w, bias, *how, relu, tolerance=LONG_SUMS)
    size = output_size(x_shape[2:], w_shape[2:], *how[:3])
    g = layout(normal(rng, x_shape[0], w_shape[0], *size).astype(dtype))
    assert_agrees(place, conv2d_input_grad, g, w, x_shape, *how, tolerance=LONG_SUMS)
    assert_agrees(place, conv2d_weight_grad, g, x, w_shape, *how, tolerance=LONG_SUMS)


def channels_last(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)


def every_other(array):
    """The same numbers, with others in between."""
    return np.repeat(array, 2, axis=3)[..., ::2]


@st.composite
def configurations(draw, depthwise=False):
    """Shapes of x and w, and what `conv2d` takes beside the arrays."""
    groups = draw(st.integers(2, 5) if depthwise else st.integers(1, 3))
    channels = 1 if depthwise else draw(st.integers(1, 3))
    kernel, stride, dilation = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(1, 2))
    padding = draw(st.tuples(*[st.integers(-1, 2)] * 4))
    x_shape = draw(st.integers(1, 3)), groups * channels, *draw(pairs(1, 9))
    size = output_size(x_shape[2:], kernel, stride, padding, dilation)
    assume(min(size) > 0)
    assume(
        all(
            n + min(a, 0) + min(b, 0) > 0
            for n, a, b in zip(x_shape[2:], padding[::2], padding[1::2])
        )
    )
    w_shape = groups * draw(st.integers(1, 3)), channels, *kernel
    return x_shape, w_shape, (stride, padding, dilation, groups)


layouts = st.sampled_from([np.ascontiguousarray, channels_last, every_other])


@given(configurations(), st.sampled_from(FLOATING), st.booleans(), st.booleans(), layouts)
def test_any_convolution(place, configuration, dtype, biased, relu, layout):
    check(place, *configuration, dtype, biased, relu, layout)


@given(configurations(depthwise=True), st.sampled_from(FLOATING), st.booleans(), layouts)
def test_depthwise_convolution(place, configuration, dtype, relu, layout):
    check(place, *configuration, dtype, relu=relu, layout=layout)


ONE = (1, 1), (1, 1, 1, 1), (1, 1), 1  # stride, padding, dilation, groups


@pytest.fixture
def choices():
    """What a test changes of the choice of launches meets no choice made before, nor stays."""
    forget()
    yield
    forget()


@pytest.fixture
def tiled(monkeypatch):
    """No layer is taken for a small one."""
    monkeypatch.setattr(direct, "suits", lambda *args: False)


def forget():
    for function in (geometry.forward, geometry.backward, geometry.weight_grad):
        function.cache_clear()


@pytest.mark.parametrize(("dtype", "tile"), TILES)
@pytest.mark.usefixtures("choices", "tiled")
def test_several_tiles_of_each_kind(place, dtype, tile, monkeypatch):
    """More filters, positions and taps than a tile has, and more terms than one step."""
    monkeypatch.setitem(geometry.TILES, dtype, (tile,))
    monkeypatch.setattr(tensor_cores, "suit", lambda *args: False)  # they have tests of their own
    check(place, (2, 16, 9, 8), (tile.m + 2, 16, 3, 3), ONE, dtype, relu=True)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.usefixtures("choices", "tiled")
def test_parts_of_the_filters_gradient(place, groups, monkeypatch):
    """Ten parts or so, the last one shorter."""
    monkeypatch.setattr(parts, "_LEAST", 16)
    how = (1, 1), (1, 1, 1, 1), (1, 1), groups
    check(place, (3, 4, 8, 7), (6, 4 // groups, 3, 3), how, np.float32)
    check(place, (3, 4, 8, 7), (4, 1, 5, 3), ((1, 1), (2, 2, 1, 1), (1, 1), 4), np.float16)


@st.composite
def small_layers(draw):
    """Shapes of x and w, and a padding, of layers that need no tiles."""
    kernel = draw(st.integers(1, 7)), draw(st.integers(2, 7))
    padding = draw(st.tuples(*[st.integers(-1, 3)] * 4))
    x_shape = draw(st.integers(1, 3)), draw(st.integers(1, 3)), *draw(pairs(2, 12))
    rows, columns = output_size(x_shape[2:], kernel, (1, 1), padding, (1, 1))
    assume(rows > 0 and columns > 0)
    return x_shape, (draw(st.integers(1, 6)), x_shape[1], *kernel), padding


@given(small_layers(), st.sampled_from(FLOATING), st.booleans(), st.booleans())
def test_small_layers(place, layer, dtype, biased, relu):
    x_shape, w_shape, padding = layer
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_cores, "suit", lambda *args: False)
        check(place, x_shape, w_shape, ((1, 1), padding, (1, 1), 1), dtype, biased, relu)


ARTICLE = {"first": ((3, 32, 32), (6, 3, 5, 5)), "second": ((6, 14, 14), (16, 6, 5, 5))}


@pytest.mark.parametrize("layer", ARTICLE)
def test_the_articles_layers_are_small_ones(place, layer, monkeypatch):
    """In blocks of few filters and of many, and with several pictures a block."""
    (picture, w_shape), no_padding = ARTICLE[layer], ((1, 1), (0, 0, 0, 0), (1, 1), 1)
    monkeypatch.setattr(conv_cuda, "_source", None)  # of the tiles
    check(place, (2, *picture), w_shape, no_padding, np.float32)
    monkeypatch.setattr(direct, "MULTIPROCESSORS", 1)
    check(place, (5, *picture), w_shape, no_padding, np.float32, relu=True)


def test_what_does_not_fit_into_shared_memory_is_tiled():
    wide = np.zeros((1, 40, 3, 400), np.float32)
    how = geometry.How((1, 1), (1, 1, 1, 1), (1, 1), 1)
    assert direct.suits(wide[:, :2], (4, 2, 3, 3), (3, 400), how)
    assert not direct.suits(wide, (4, 40, 3, 3), (3, 400), how)
    assert not direct.suits(wide, (4, 40, 3, 3), (3, 400), how._replace(stride=(2, 1)))


def test_inputs_that_no_output_sees(place):
    check(place, (1, 2, 8, 7), (3, 2, 1, 1), ((3, 2), (0, 0, 0, 0), (1, 1), 1), np.float32)


def test_one_picture_of_one_pixel(place):
    for channels in (1, 3):
        check(place, (1, channels, 1, 1), (2, channels, 3, 3), ONE, np.float32)


def test_nan_goes_through_relu(place):
    x = np.full((1, 1, 3, 3), np.nan, np.float32)
    w = np.ones((1, 1, 1, 1), np.float32)
    assert_agrees(place, conv2d, x, w, None, (1, 1), (1, 1, 1, 1), (1, 1), 1, True)


def test_no_pictures(place):
    check(place, (0, 2, 4, 4), (3, 2, 3, 3), ONE, np.float32)


def test_integers_run_the_reference(place):
    x, w = np.arange(16).reshape(1, 1, 4, 4), np.arange(4).reshape(1, 1, 2, 2)
    assert_agrees(place, conv2d, x, w, None, (1, 1), (0, 0, 0, 0), (1, 1), 1)
