"""Reductions."""

from __future__ import annotations

from minidl import ops
from minidl.onnx.operators.operands import cast
from minidl.onnx.registry import reads, writes
from minidl.ops.shape import axes as axes_of

_KINDS = {
    "sum": ("ReduceSum", ops.sum),
    "mean": ("ReduceMean", ops.mean),
    "amax": ("ReduceMax", ops.amax),
    "amin": ("ReduceMin", ops.amin),
    "prod": ("ReduceProd", ops.prod),
    "logsumexp": ("ReduceLogSumExp", ops.logsumexp),
}


def _reduction(name, kind, function):
    @writes(name)
    def write(graph, y, x, dim=None, keepdim=False, dtype=None):
        axes = axes_of(None if dim == () else dim, len(graph.shape(x)))
        graph.add(
            kind, [cast(graph, x, graph.dtype(y)), graph.integers(axes)], y, keepdims=int(keepdim)
        )

    @reads(kind)
    def read(node):
        # axes became an input with opset 13 for sums, with 18 for the others
        axes = node.attribute("axes", None)
        if axes is None and node.has(1):
            axes = node.integers(1)
        keepdim = bool(node.attribute("keepdims", 1))
        if node.attribute("noop_with_empty_axes", 0) and not axes:
            return lambda x: x
        dim = None if not axes else tuple(axes)
        return lambda x: function(x, dim, keepdim)


for _name, (_kind, _function) in _KINDS.items():
    _reduction(_name, _kind, _function)


def _place(name, kind, function):
    @writes(name)
    def write(graph, y, x, dim=None, keepdim=False):
        if dim is None:
            raise graph.refused("without dim it is one that ONNX has not")
        graph.add(kind, [x], y, axis=dim, keepdims=int(keepdim))

    @reads(kind)
    def read(node):
        axis, keepdim = node.attribute("axis", 0), bool(node.attribute("keepdims", 1))
        if node.attribute("select_last_index", 0):
            raise node.refused("select_last_index is not supported")
        return lambda x: function(x, axis, keepdim)


_place("argmax", "ArgMax", ops.argmax)
_place("argmin", "ArgMin", ops.argmin)
