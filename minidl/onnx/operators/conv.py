"""Convolutions and transposed ones, of one and two dimensions."""

from __future__ import annotations

from minidl import ops
from minidl.onnx.registry import reads, writes


def _attributes(weight_shape, stride, dilation, groups):
    """Those that are not ONNX's defaults."""
    plain = (1, 1)
    return {
        "kernel_shape": weight_shape[2:],
        "strides": None if tuple(stride) == plain else stride,
        "dilations": None if tuple(dilation) == plain else dilation,
        "group": None if groups == 1 else groups,
    }


@writes("conv2d")
def _(graph, y, x, weight, bias, stride, padding, dilation, groups):
    how = bias, stride, padding, dilation, groups
    write_conv(graph, y, x, weight, graph.shape(weight), *how)


@writes("rectified_conv2d")
def _(graph, y, x, weight, *how):
    graph.add("Relu", [write_conv(graph, None, x, weight, graph.shape(weight), *how)], y)


def write_conv(graph, y, x, weight, shape, bias, stride, padding, dilation, groups):
    """A Conv node with a weight of this shape; the name of its output."""
    top, bottom, left, right = padding
    if min(padding) < 0:
        raise graph.refused("a negative padding is one that Conv has not")
    pads = [top, left, bottom, right] if any(padding) else None
    how = _attributes(shape, stride, dilation, groups)
    return graph.add("Conv", [x, weight, bias], y, pads=pads, **how)


@writes("conv2d_input_grad")
def _(graph, y, x, weight, shape, stride, padding, dilation, groups):
    how = _attributes(graph.shape(weight), stride, dilation, groups)
    edges = padding[0], padding[2]  # the same on both sides; what is more or less is this:
    more = [
        size - (step * (have - 1) + (taps - 1) * reach + 1 - 2 * edge)
        for size, have, step, taps, reach, edge in zip(
            shape[2:], graph.shape(x)[2:], stride, how["kernel_shape"], dilation, edges
        )
    ]
    if min(edges) < 0 or not all(0 <= m < max(s, d) for m, s, d in zip(more, stride, dilation)):
        raise graph.refused("its padding is one that ConvTranspose has not")
    graph.add("ConvTranspose", [x, weight], y, pads=edges * 2, output_padding=more, **how)


def around(before, after):
    """The widths that `ops.pad` takes."""
    return [width for pair in reversed(list(zip(before, after))) for width in pair]


def geometry(node):
    """The number of dimensions, and strides, dilations and groups."""
    kernel = node.attribute("kernel_shape", None)
    if kernel is None and node.inputs[1] in node.constants:
        kernel = node.constants[node.inputs[1]].shape[2:]
    dims = len(kernel or ())
    if dims not in (1, 2):
        raise node.refused(f"of {dims} dimensions; 1 and 2 are supported, with kernel_shape given")
    strides, dilations = (node.attribute(name, [1] * dims) for name in ("strides", "dilations"))
    return dims, tuple(strides), tuple(dilations), node.attribute("group", 1)


def single(sizes):
    """Sizes as `ops.conv1d` and `ops.conv2d` take them."""
    return sizes[0] if len(sizes) == 1 else tuple(sizes)


@reads("Conv")
def _(node):
    dims, strides, dilations, groups = geometry(node)
    before, after = node.sides(dims)
    function = ops.conv1d if dims == 1 else ops.conv2d
    padding = single(before) if before == after else 0

    def conv(x, weight, bias=None):
        if before != after:
            x = ops.pad(x, around(before, after))
        return function(x, weight, bias, single(strides), padding, single(dilations), groups)

    return conv


@reads("ConvTranspose")
def _(node):
    dims, strides, dilations, groups = geometry(node)
    before, after = node.sides(dims)
    extra = node.attribute("output_padding", [0] * dims)
    if before != after:
        raise node.refused("pads that differ at both ends are not supported")
    function = ops.conv_transpose1d if dims == 1 else ops.conv_transpose2d
    how = map(single, (strides, before, extra))
    args = (*how, groups, single(dilations))
    return lambda x, weight, bias=None: function(x, weight, bias, *args)
