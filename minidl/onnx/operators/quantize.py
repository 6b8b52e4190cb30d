"""8-bit integers: QuantizeLinear and DequantizeLinear, around layers that compute in floats.

A layer of integers is written as the layer of floats between the two, which is how ONNX has it,
and recognised again by `minidl.onnx.integers`.
"""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.compiler.trace import Value
from minidl.onnx.operators.conv import geometry, single, write_conv
from minidl.onnx.registry import reads, writes


@writes("quantize")
def _(graph, y, x, scale, zero_point, axis):
    graph.add("QuantizeLinear", [x, *_parameters(graph, x, scale, zero_point)], y, axis=axis)


@writes("dequantize")
def _(graph, y, q, scale, zero_point, axis):
    graph.add("DequantizeLinear", [q, *_parameters(graph, y, scale, zero_point)], y, axis=axis)


@writes("there_and_back")
def _(graph, y, x, scale, zero_point, axis):
    _rounded(graph, y, x, scale, zero_point, axis)


@writes("with_values")
def _(graph, y, _source, values):
    graph.add("Identity", [values], y)


@writes("quantized_conv2d")
def _(graph, y, x, scale, zero_point, weight, weight_scale, bias, *how_and_after):
    x = _rounded(graph, None, x, scale, zero_point, None)
    weights = _weight(graph, weight, weight_scale), graph.shape(weight)
    write_conv(graph, y, x, *weights, bias, *how_and_after[:-1])


@writes("quantized_linear")
def _(graph, y, x, scale, zero_point, weight, weight_scale, bias, _after):
    x = _rounded(graph, None, x, scale, zero_point, None)
    graph.add("Gemm", [x, _weight(graph, weight, weight_scale), bias], y, transB=1)


def _rounded(graph, y, x, scale, zero_point, axis):
    """Through integers and back."""
    numbers = _parameters(graph, x, scale, zero_point)
    q = graph.add("QuantizeLinear", [x, *numbers], axis=axis)
    return graph.add("DequantizeLinear", [q, *numbers], y, axis=axis)


def _parameters(graph, like, scale, zero_point):
    """Scale and zero point as operands."""
    if not isinstance(zero_point, Value):
        zero_point = np.asarray(zero_point, np.int8)
    return graph.number(scale, like), zero_point


def _weight(graph, weight, scale):
    axis = 0 if isinstance(scale, Value) and graph.shape(scale) else None
    if not isinstance(scale, Value):
        scale = np.asarray(scale, np.float32)
    return graph.add("DequantizeLinear", [weight, scale], axis=axis)


# --------------------------------------------------------------------------- reading


@reads("QuantizeLinear")
def _(node):
    axis = node.attribute("axis", 1)
    if not node.attribute("saturate", 1) or not node.has(2):
        raise node.refused("it must saturate, and have a zero point of int8")

    def quantize(x, scale, zero_point):
        return ops.quantize(x, *_of(x, scale, zero_point, axis))

    return quantize


@reads("DequantizeLinear")
def _(node):
    axis = node.attribute("axis", 1)

    def dequantize(q, scale, zero_point=None):
        zero_point = (0.0 * scale).to(q.dtype) if zero_point is None else zero_point
        return ops.dequantize(q, *_of(q, scale, zero_point, axis))

    return dequantize


def _of(x, scale, zero_point, axis):
    """Scale, zero point and axis; one number may have a dimension in ONNX."""
    if scale.numel() == 1:
        return ops.reshape(scale, ()), ops.reshape(zero_point, ()), None
    return scale, zero_point, axis % x.ndim


@reads("minidl.QuantizedConv")
def _(node):
    dims, strides, dilations, groups = geometry(node)
    (top, left), (bottom, right) = node.sides(dims)
    if (top, left) != (bottom, right):
        raise node.refused("pads that differ at both ends are not supported")
    how = single(strides), (top, left), single(dilations), groups

    def quantized_conv(x, scale, zero_point, weight, weight_scale, bias=None):
        return ops.quantized_conv2d(
            x, *_numbers(scale, zero_point), weight, weight_scale, bias, *how
        )

    return quantized_conv


@reads("minidl.QuantizedGemm")
def _(node):
    def quantized_gemm(x, scale, zero_point, weight, weight_scale, bias=None):
        return ops.quantized_linear(x, *_numbers(scale, zero_point), weight, weight_scale, bias)

    return quantized_gemm


def _numbers(scale, zero_point):
    return ops.reshape(scale, ()), ops.reshape(zero_point, ())
