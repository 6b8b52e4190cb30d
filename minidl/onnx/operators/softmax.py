"""Softmax and its logarithm."""

from __future__ import annotations

from minidl import ops
from minidl.onnx.registry import reads, writes


@writes("softmax")
def _(graph, y, x, dim):
    graph.add("Softmax", [x], y, axis=dim)


@writes("log_softmax")
def _(graph, y, x, dim):
    graph.add("LogSoftmax", [x], y, axis=dim)


@reads("Softmax")
def _(node):
    axis = node.attribute("axis", -1)
    return lambda x: ops.softmax(x, axis)


@reads("LogSoftmax")
def _(node):
    axis = node.attribute("axis", -1)
    return lambda x: ops.log_softmax(x, axis)
