"""Slices and picks."""

from __future__ import annotations

import itertools

import numpy as np

from minidl import ops
from minidl.backend import is_array
from minidl.compiler.trace import Value
from minidl.onnx.registry import reads, writes

_END = np.iinfo(np.int64).max  # ONNX's for "to the end"


@writes("narrow")
def _(graph, y, x, dim, start, length):
    whole = graph.shape(x)[dim] == graph.shape(y)[dim]
    if whole:
        graph.add("Identity", [x], y)
    else:
        _slice(graph, y, x, [(dim, start, start + length if start + length else _END, 1)])


@writes("getitem")
def _(graph, y, x, index):
    if index.advanced is None:
        _write_basic(graph, y, x, index.basic)
        return
    (axis, places), *others = [
        (axis, part) for axis, part in enumerate(index.advanced) if not isinstance(part, slice)
    ]
    plain = all(part == slice(None) for part in index.basic if part is not Ellipsis)
    if others or not plain or not _are_places(places):
        raise graph.refused("only one tensor of integers, beside whole dimensions, can be written")
    graph.add("Gather", [x, places], y, axis=axis)


def _are_places(part):
    if isinstance(part, Value):
        return part.layout[1].kind in "iu"
    return is_array(part) and part.dtype.kind in "iu"


def _write_basic(graph, y, x, parts):
    """Slices, integers and None, with one Ellipsis."""
    covered = sum(part is not None and part is not Ellipsis for part in parts)
    rest = [slice(None)] * (len(graph.shape(x)) - covered)
    parts = list(itertools.chain(*([p] if p is not Ellipsis else rest for p in parts)))
    slices, dropped, added, axis, place = [], [], [], 0, 0
    for part in parts:
        if part is None:
            added.append(place)
            place += 1
            continue
        if isinstance(part, int):
            slices.append((axis, part, part + 1 if part != -1 else _END, 1))
            dropped.append(axis)
        else:
            if part != slice(None):
                stop = _END if part.stop is None else part.stop
                slices.append((axis, part.start or 0, stop, part.step or 1))
            place += 1
        axis += 1
    for write, given in ((_slice, slices), (_squeeze, dropped), (_unsqueeze, added)):
        if given:
            x = write(graph, None, x, given)
    graph.add("Identity", [x], y)


def _slice(graph, y, x, slices):
    axes, starts, stops, steps = (graph.integers(numbers) for numbers in zip(*slices))
    return graph.add("Slice", [x, starts, stops, axes, steps], y)


def _squeeze(graph, y, x, axes):
    return graph.add("Squeeze", [x, graph.integers(axes)], y)


def _unsqueeze(graph, y, x, axes):
    return graph.add("Unsqueeze", [x, graph.integers(axes)], y)


@reads("Slice")
def _(node):
    starts, stops = node.integers(1), node.integers(2)
    axes = node.integers(3) if node.has(3) else list(range(len(starts)))
    steps = node.integers(4) if node.has(4) else [1] * len(starts)
    if min(steps, default=1) < 1:
        raise node.refused("steps backwards are not supported")

    def pick(x):
        index = [slice(None)] * x.ndim
        for axis, start, stop, step in zip(axes, starts, stops, steps):
            index[axis] = slice(start, stop, step)
        return x[tuple(index)]

    return pick


@reads("Gather")
def _(node):
    axis = node.attribute("axis", 0)
    if node.inputs[1] in node.constants:
        places = node.constant(1).copy()
        places.flags.writeable = False  # so that a compiled step may rely on it
        if places.ndim == 0:
            return lambda x: ops.squeeze(ops.narrow(x, axis, int(places), 1), axis)
        return lambda x: x[(*[slice(None)] * (axis % x.ndim), places)]
    return lambda x, places: x[(*[slice(None)] * (axis % x.ndim), places)]
