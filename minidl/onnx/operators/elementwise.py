"""Functions of each element, and changes of dtype."""

from __future__ import annotations

import numpy as np

from minidl import ops
from minidl.onnx.operators.operands import cast
from minidl.onnx.package import helper
from minidl.onnx.registry import reads, writes

_KINDS = {
    "exp": ("Exp", ops.exp),
    "log": ("Log", ops.log),
    "sqrt": ("Sqrt", ops.sqrt),
    "reciprocal": ("Reciprocal", ops.reciprocal),
    "sin": ("Sin", ops.sin),
    "cos": ("Cos", ops.cos),
    "tanh": ("Tanh", ops.tanh),
    "erf": ("Erf", ops.erf),
    "abs": ("Abs", ops.abs),
    "neg": ("Neg", ops.neg),
    "sign": ("Sign", ops.sign),
    "floor": ("Floor", ops.floor),
    "ceil": ("Ceil", ops.ceil),
    "round": ("Round", ops.round),
}
_ROUNDED = ("floor", "ceil", "round")


def _single(name, kind, function):
    @writes(name)
    def write(graph, y, x):
        whole = name in _ROUNDED and graph.dtype(y).kind != "f"  # ONNX rounds floats alone
        graph.add("Identity" if whole else kind, [cast(graph, x, graph.dtype(y))], y)

    @reads(kind)
    def read(node):
        return function


for _name, (_kind, _function) in _KINDS.items():
    _single(_name, _kind, _function)


@writes("rsqrt")
def _(graph, y, x):
    graph.add("Reciprocal", [graph.add("Sqrt", [cast(graph, x, graph.dtype(y))])], y)


@writes("square")
def _(graph, y, x):
    graph.add("Mul", [x, x], y)


@writes("expm1")
def _(graph, y, x):
    x = cast(graph, x, graph.dtype(y))
    graph.add("Sub", [graph.add("Exp", [x]), graph.number(1, y)], y)


@writes("log1p")
def _(graph, y, x):
    x = cast(graph, x, graph.dtype(y))
    graph.add("Log", [graph.add("Add", [x, graph.number(1, y)])], y)


@writes("to")
def _(graph, y, x, dtype):
    graph.add("Cast", [x], y, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


@reads("Cast")
def _(node):
    node.attribute("saturate", 1)
    dtype = helper.tensor_dtype_to_np_dtype(node.attribute("to"))
    return lambda x: x.to(dtype)


@writes("clone")
def _(graph, y, x):
    graph.add("Identity", [x], y)


@reads("Identity")
def _(node):
    return lambda x: x


@reads("Dropout")
def _(node):
    node.attribute("seed", 0)
    probability = float(node.constant(1)) if node.has(1) else 0.5
    if node.has(2):
        node.constant(2)  # whether it trains is the module's affair
    return lambda x: ops.dropout(x, probability, node.module.training)
