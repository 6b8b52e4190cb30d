"""Comparisons, logic, and what chooses."""

from __future__ import annotations

import functools

from minidl import ops
from minidl.compiler.trace import Value
from minidl.onnx.operators.operands import cast, promoted
from minidl.onnx.registry import reads, writes

_KINDS = {
    "eq": ("Equal", ops.eq),
    "lt": ("Less", ops.lt),
    "le": ("LessOrEqual", ops.le),
    "gt": ("Greater", ops.gt),
    "ge": ("GreaterOrEqual", ops.ge),
    "maximum": ("Max", ops.maximum),
    "minimum": ("Min", ops.minimum),
}
_LOGIC = {
    "logical_and": ("And", ops.logical_and),
    "logical_or": ("Or", ops.logical_or),
}


def _pair(name, kind, function):
    @writes(name)
    def write(graph, y, a, b):
        graph.add(kind, promoted(graph, a, b), y)

    @reads(kind)
    def read(node):
        return lambda *operands: functools.reduce(function, operands)


for _name, (_kind, _function) in _KINDS.items():
    _pair(_name, _kind, _function)


def _logical(name, kind, function):
    @writes(name)
    def write(graph, y, a, b):
        graph.add(kind, [cast(graph, a, bool), cast(graph, b, bool)], y)

    @reads(kind)
    def read(node):
        return function


for _name, (_kind, _function) in _LOGIC.items():
    _logical(_name, _kind, _function)


@writes("ne")
def _(graph, y, a, b):
    graph.add("Not", [graph.add("Equal", promoted(graph, a, b))], y)


@writes("logical_not")
def _(graph, y, x):
    graph.add("Not", [cast(graph, x, bool)], y)


@reads("Not")
def _(node):
    return ops.logical_not


@writes("where")
def _(graph, y, condition, a, b):
    dtype = graph.dtype(y)
    graph.add("Where", [condition, cast(graph, a, dtype), cast(graph, b, dtype)], y)


@reads("Where")
def _(node):
    return ops.where


@writes("clamp")
def _(graph, y, x, least, most):
    dtype = graph.dtype(y)
    limits = [None if limit is None else cast(graph, limit, dtype) for limit in (least, most)]
    x = cast(graph, x, dtype)
    if not any(isinstance(limit, Value) for limit in (least, most)):
        graph.add("Clip", [x, *limits], y)
        return
    kinds = [pair for pair in zip(("Max", "Min"), limits) if pair[1] is not None]
    for i, (kind, limit) in enumerate(kinds):  # Clip takes no limit for each element
        x = graph.add(kind, [x, limit], y if i == len(kinds) - 1 else None)


@reads("Clip")
def _(node):
    return lambda x, least=None, most=None: x if least is most is None else x.clamp(least, most)
