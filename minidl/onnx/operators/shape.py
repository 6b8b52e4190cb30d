"""What moves elements and computes nothing."""

from __future__ import annotations

import math

from minidl import ops
from minidl.onnx.recording import Batch
from minidl.onnx.registry import reads, writes
from minidl.ops.shape import axes as axes_of


@writes("reshape", "view")
def _(graph, y, x, _shape):
    before, sizes = graph.shape(x), list(graph.shape(y))
    if 0 in sizes:
        raise graph.refused("of no elements")
    for i, size in enumerate(sizes):
        if isinstance(size, Batch) and i < len(before) and before[i] == size:
            sizes[i] = 0  # as it was
    open_ = [i for i, size in enumerate(sizes) if isinstance(size, Batch)]
    if open_:
        sizes[open_[0]] = -1  # what is left
    graph.add("Reshape", [x, graph.integers(sizes)], y)


@reads("Reshape")
def _(node):
    sizes = node.integers(1)
    if node.attribute("allowzero", 0):
        return lambda x: ops.reshape(x, tuple(sizes))
    return lambda x: ops.reshape(x, tuple(x.shape[i] if s == 0 else s for i, s in enumerate(sizes)))


@reads("Flatten")
def _(node):
    axis = node.attribute("axis", 1)

    def flatten(x):
        at = axis + x.ndim if axis < 0 else axis
        return ops.reshape(x, (math.prod(x.shape[:at]), math.prod(x.shape[at:])))

    return flatten


@reads("Squeeze")
def _(node):
    dim = tuple(node.integers(1)) if node.has(1) else None
    return lambda x: ops.squeeze(x, dim)


@reads("Unsqueeze")
def _(node):
    axes = node.integers(1)

    def unsqueeze(x):
        for axis in sorted(axis % (x.ndim + len(axes)) for axis in axes):
            x = ops.unsqueeze(x, axis)
        return x

    return unsqueeze


@writes("permute")
def _(graph, y, x, dims):
    graph.add("Transpose", [x], y, perm=axes_of(dims, len(graph.shape(x))))


@reads("Transpose")
def _(node):
    dims = node.attribute("perm", None)
    return lambda x: ops.permute(x, tuple(reversed(range(x.ndim))) if dims is None else dims)


@writes("expand")
def _(graph, y, x, _size):
    before, sizes = graph.shape(x), graph.shape(y)
    before = (1,) * (len(sizes) - len(before)) + tuple(before)
    # a size of 1 leaves the input's as it is
    wanted = [1 if old == new else new for old, new in zip(before, sizes)]
    graph.add("Expand", [x, graph.integers(wanted)], y)


@reads("Expand")
def _(node):
    sizes = node.integers(1)

    def expand(x):
        lead = max(len(sizes) - x.ndim, 0)
        padded = [1] * (x.ndim - len(sizes)) + sizes
        wanted = (-1 if i >= lead and size == 1 else size for i, size in enumerate(padded))
        return x.expand(*wanted)

    return expand


@writes("cat")
def _(graph, y, *tensors, dim):
    graph.add("Concat", tensors, y, axis=dim)


@reads("Concat")
def _(node):
    axis = node.attribute("axis")
    return lambda *tensors: ops.cat(tensors, axis)


@writes("pad")
def _(graph, y, x, widths, value):
    before, after = zip(*widths)
    sizes = graph.integers([*before, *after])
    graph.add("Pad", [x, sizes, graph.number(value, x)], y)


@reads("Pad")
def _(node):
    if node.attribute("mode", "constant") != "constant" or node.has(3):
        raise node.refused("only constants over all dimensions are supported")
    sizes = node.integers(1)
    value = node.constant(2).item() if node.has(2) else 0
    half = len(sizes) // 2
    widths = [w for pair in reversed(list(zip(sizes[:half], sizes[half:]))) for w in pair]
    return lambda x: ops.pad(x, widths, value=value)
