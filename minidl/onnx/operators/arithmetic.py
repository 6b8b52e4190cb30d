"""Arithmetic of two operands."""

from __future__ import annotations

from minidl import ops
from minidl.onnx.operators.operands import cast
from minidl.onnx.registry import reads, writes

_KINDS = {
    "add": ("Add", ops.add),
    "sub": ("Sub", ops.sub),
    "mul": ("Mul", ops.mul),
    "div": ("Div", ops.div),
    "pow": ("Pow", ops.pow),
}


def _pair(name, kind, function):
    @writes(name)
    def write(graph, y, a, b):
        graph.add(kind, [cast(graph, a, graph.dtype(y)), cast(graph, b, graph.dtype(y))], y)

    @reads(kind)
    def read(node):
        return function


for _name, (_kind, _function) in _KINDS.items():
    _pair(_name, _kind, _function)


@reads("Div")
def _(node):
    def div(a, b):
        whole = a.dtype.kind != "f" and b.dtype.kind != "f"
        return ops.div(a, b, rounding_mode="trunc" if whole else None)

    return div
