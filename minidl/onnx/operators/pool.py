"""Pooling: the largest element or the mean of windows."""

from __future__ import annotations

import math

import numpy as np

from minidl import ops
from minidl.onnx.operators.conv import around
from minidl.onnx.registry import reads, writes


@writes("max_pool2d")
def _(graph, results, x, kernel, stride, padding, dilation, size):
    values, indices = results
    if indices in graph.needed:
        raise graph.refused("the indices of maxima are other ones in ONNX")
    after = [
        max((out - 1) * step + reach * (taps - 1) + 1 - have - edge, 0)
        for out, step, reach, taps, have, edge in zip(
            size, stride, dilation, kernel, graph.shape(x)[2:], padding
        )
    ]
    how = {"kernel_shape": kernel, "strides": stride, "dilations": dilation}
    graph.add("MaxPool", [x], values, pads=[*padding, *after], **how)


@writes("avg_pool2d")
def _(graph, y, x, rows, columns, scale):
    height, width = graph.shape(x)[2:]
    axes = _equal_windows(rows, height), _equal_windows(columns, width)
    counted = _counted(rows, columns, axes, scale)
    if counted is None:
        _write_as_products(graph, y, x, rows, columns, scale)
        return
    kernel, stride, before, after = zip(*axes)
    graph.add(
        "AveragePool",
        [x],
        y,
        kernel_shape=kernel,
        strides=stride,
        pads=[*before, *after],
        count_include_pad=counted,
    )


def _equal_windows(windows, size):
    """Kernel size, stride and padding that yield these windows; None if there are none."""
    starts, stops = windows.T
    if len(windows) == 1:
        return (int(stops[0] - starts[0]), size, 0, 0) if starts[0] == 0 else None
    for step in {int(starts[-1] - starts[-2]), int(stops[1] - stops[0])} - {0}:
        before = (len(windows) - 1) * step - int(starts[-1])
        kernel = int(stops[0]) + before
        first = np.arange(len(windows)) * step - before
        expected = np.stack((np.maximum(first, 0), np.minimum(first + kernel, size)), 1)
        after = max(int(first[-1]) + kernel - size, 0)
        if 0 <= before < kernel and after < kernel and np.array_equal(expected, windows):
            return kernel, step, before, after
    return None


def _counted(rows, columns, axes, scale):
    """Whether the padding counts (1 or 0); None if the means are others than AveragePool's."""
    if None in axes:
        return None
    inside = np.outer(*(windows[:, 1] - windows[:, 0] for windows in (rows, columns)))
    for counted, count in enumerate((inside, axes[0][0] * axes[1][0])):
        if np.array_equal(scale, np.broadcast_to(1 / count, scale.shape)):
            return counted
    return None


def _write_as_products(graph, y, x, rows, columns, scale):
    """Any windows, as a product from the left and one from the right."""
    height, width = graph.shape(x)[2:]
    left = _membership(rows, height) * scale[:, :1]
    right = _membership(columns, width).T * (scale[:1] / scale[0, 0])
    dtype = graph.dtype(y)
    half = graph.add("MatMul", [left.astype(dtype), x])
    graph.add("MatMul", [half, right.astype(dtype)], y)


def _membership(windows, size):
    """1 where a window (row) has an element (column), else 0."""
    places = np.arange(size)
    return ((places >= windows[:, :1]) & (places < windows[:, 1:])).astype(np.float64)


@reads("MaxPool")
def _(node):
    kernel, stride, before, after = _window(node)
    dilation = tuple(node.attribute("dilations", [1, 1]))
    node.attribute("storage_order", 0)
    ceil = bool(node.attribute("ceil_mode", 0))
    if len([name for name in node.outputs if name]) > 1:
        raise node.refused("the indices of maxima are not supported")
    if before == after and all(2 * edge <= taps for edge, taps in zip(before, kernel)):
        return lambda x: ops.max_pool2d(x, kernel, stride, before, dilation, ceil)
    if ceil:
        raise node.refused("ceil_mode with such pads is not supported")

    def max_pool(x):
        x = ops.pad(x, around(before, after), value=-math.inf)
        return ops.max_pool2d(x, kernel, stride, 0, dilation)

    return max_pool


@reads("AveragePool")
def _(node):
    kernel, stride, before, after = _window(node)
    counted = bool(node.attribute("count_include_pad", 0))
    ceil = bool(node.attribute("ceil_mode", 0))
    if any(each != 1 for each in node.attribute("dilations", [1, 1])):
        raise node.refused("dilations are not supported")
    if before == after and all(2 * edge <= taps for edge, taps in zip(before, kernel)):
        return lambda x: ops.avg_pool2d(x, kernel, stride, before, ceil, counted)
    if ceil:
        raise node.refused("ceil_mode with such pads is not supported")
    widths = around(before, after)

    def avg_pool(x):
        sums = ops.avg_pool2d(ops.pad(x, widths), kernel, stride, divisor_override=1)
        if counted:
            return sums / math.prod(kernel)
        inside = ops.pad(ops.ones(1, 1, *x.shape[2:], dtype=x.dtype), widths)
        return sums / ops.avg_pool2d(inside, kernel, stride, divisor_override=1)

    return avg_pool


@reads("GlobalAveragePool")
def _(node):
    return lambda x: ops.mean(x, tuple(range(2, x.ndim)), True)


def _window(node):
    """Kernel size, stride, and what is added before and after."""
    kernel = tuple(node.attribute("kernel_shape"))
    if len(kernel) != 2:
        raise node.refused(f"of {len(kernel)} dimensions; 2 are supported")
    stride = tuple(node.attribute("strides", [1, 1]))
    return kernel, stride, *map(tuple, node.sides(len(kernel)))
