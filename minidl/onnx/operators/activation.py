"""Activation functions."""

from __future__ import annotations

import functools

from minidl import ops
from minidl.onnx.operators.operands import along_channels, cast
from minidl.onnx.registry import reads, writes

_EXACT_FROM = 16  # where softplus(x) and x are one float32


def _plain(kind, **names):
    """Writes a function that is one node; ``names`` are its attributes, by position."""

    def write(graph, y, x, *parameters):
        graph.add(kind, [x], y, **dict(zip(names.values(), parameters)))

    return write


def _write_silu(graph, y, x):
    graph.add("Mul", [x, graph.add("Sigmoid", [x])], y)


def _write_gelu(graph, y, x):
    graph.add("Gelu", [x], y)


def _write_gelu_tanh(graph, y, x):
    graph.add("Gelu", [x], y, approximate="tanh")


def _write_softplus(graph, y, x, beta, threshold):
    if threshold < _EXACT_FROM:
        raise graph.refused(f"its threshold {threshold} is one that Softplus has not")
    if beta == 1:
        graph.add("Softplus", [x], y)
        return
    factor = graph.number(beta, y)
    graph.add("Div", [graph.add("Softplus", [graph.add("Mul", [x, factor])]), factor], y)


_WRITERS = {
    "relu": _plain("Relu"),
    "leaky_relu": _plain("LeakyRelu", slope="alpha"),
    "elu": _plain("Elu", alpha="alpha"),
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "silu": _write_silu,
    "gelu": _write_gelu,
    "gelu_tanh": _write_gelu_tanh,
    "softplus": _write_softplus,
}


@writes("activation")
def _(graph, results, x, bias, name, parameters):
    y, _ = results
    x = cast(graph, x, graph.dtype(y))
    if bias is not None:
        x = graph.add("Add", [x, along_channels(graph, bias, len(graph.shape(y)))])
    _WRITERS[name](graph, y, x, *parameters)


@writes("relu")
def _(graph, y, x):
    graph.add("Relu", [x], y)


@writes("sigmoid")
def _(graph, y, x):
    graph.add("Sigmoid", [cast(graph, x, graph.dtype(y))], y)


@writes("softplus")
def _(graph, y, x):
    graph.add("Softplus", [x], y)


@reads("Relu")
def _(node):
    return ops.relu


@reads("Sigmoid")
def _(node):
    return ops.sigmoid


@reads("LeakyRelu")
def _(node):
    return functools.partial(ops.leaky_relu, negative_slope=node.attribute("alpha", 0.01))


@reads("Elu")
def _(node):
    return functools.partial(ops.elu, alpha=node.attribute("alpha", 1.0))


@reads("Gelu")
def _(node):
    return functools.partial(ops.gelu, approximate=node.attribute("approximate", "none"))


@reads("Softplus")
def _(node):
    return ops.softplus
