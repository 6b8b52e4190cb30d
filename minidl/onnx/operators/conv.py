"""Convolutions and transposed ones, of one and two dimensions."""

from __future__ import annotations

from minidl import ops
from minidl.onnx.registry import reads, writes


def _attributes(weight_shape, stride, dilation, groups):
    return {
        "kernel_shape": weight_shape[2:],
        "strides": stride,
        "dilations": dilation,
        "group": groups,
    }


@writes("conv2d")
def _(graph, y, x, weight, bias, stride, padding, dilation, groups):
    _write_conv(graph, y, x, weight, bias, stride, padding, dilation, groups)


@writes("rectified_conv2d")
def _(graph, y, *args):
    graph.add("Relu", [_write_conv(graph, None, *args)], y)


def _write_conv(graph, y, x, weight, bias, stride, padding, dilation, groups):
    top, bottom, left, right = padding
    if min(padding) < 0:
        raise graph.refused("a negative padding is one that Conv has not")
    how = _attributes(graph.shape(weight), stride, dilation, groups)
    return graph.add("Conv", [x, weight, bias], y, pads=[top, left, bottom, right], **how)


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


def sides(node, dims):
    """What is added before and after each dimension; OnnxError for what depends on the input."""
    auto = node.attribute("auto_pad", "NOTSET")
    pads = node.attribute("pads", [0] * 2 * dims)
    if auto == "VALID":
        pads = [0] * 2 * dims
    elif auto != "NOTSET":
        raise node.refused(f"auto_pad {auto} is not supported")
    if len(pads) != 2 * dims or min(pads) < 0:
        raise node.refused(f"its pads are {pads}")
    return pads[:dims], pads[dims:]


def around(before, after):
    """The widths that `ops.pad` takes."""
    return [width for pair in reversed(list(zip(before, after))) for width in pair]


def _geometry(node):
    """The number of dimensions, and strides, dilations and groups."""
    kernel = node.attribute("kernel_shape", None)
    strides = node.attribute("strides", None)
    dims = len(kernel or strides or node.constants[node.inputs[1]].shape[2:])
    if dims not in (1, 2):
        raise node.refused(f"of {dims} dimensions; 1 and 2 are supported")
    strides = tuple(strides or [1] * dims)
    return dims, strides, tuple(node.attribute("dilations", [1] * dims)), node.attribute("group", 1)


def _single(sizes):
    """Sizes as `ops.conv1d` and `ops.conv2d` take them."""
    return sizes[0] if len(sizes) == 1 else tuple(sizes)


@reads("Conv")
def _(node):
    dims, strides, dilations, groups = _geometry(node)
    before, after = sides(node, dims)
    function = ops.conv1d if dims == 1 else ops.conv2d
    padding = _single(before) if before == after else 0

    def conv(x, weight, bias=None):
        if before != after:
            x = ops.pad(x, around(before, after))
        return function(x, weight, bias, _single(strides), padding, _single(dilations), groups)

    return conv


@reads("ConvTranspose")
def _(node):
    dims, strides, dilations, groups = _geometry(node)
    before, after = sides(node, dims)
    extra = node.attribute("output_padding", [0] * dims)
    if before != after:
        raise node.refused("pads that differ at both ends are not supported")
    function = ops.conv_transpose1d if dims == 1 else ops.conv_transpose2d
    how = map(_single, (strides, before, extra))
    args = (*how, groups, _single(dilations))
    return lambda x, weight, bias=None: function(x, weight, bias, *args)
