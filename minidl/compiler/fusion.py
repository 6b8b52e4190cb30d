"""Fusion: neighbouring calls of a trace that one kernel does at once, with the same bits.

Each rule looks for one pattern and replaces several calls by one. The values between
them must be of no use to anybody else, and nothing may be changed in place on the way. The
new call stands where the first of the old ones stood.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from minidl import kernels
from minidl.backend import xp
from minidl.compiler.chains import fuse_chains
from minidl.compiler.graph import Graph
from minidl.compiler.memory import Allocations
from minidl.compiler.structure import mapped
from minidl.compiler.trace import Call, Trace, Value
from minidl.kernels.launch import Unplanned, empty, launch, noting, planned
from minidl.kernels.quantized.reference import POOL, RELU


def fuse(trace: Trace) -> Graph:
    """Apply all rules to the calls of ``trace``; the graph of those that result."""
    graph = Graph(trace)
    for rule in (
        _launched_ones,
        _moved_copies,
        _pooled_convolutions,
        _rectified_linears,
        _rectified_integers,
        fuse_chains,
    ):
        rule(graph)
    graph.close()
    return graph


# --------------------------------------------------------------------------- the first gradient


@planned
def ones(array: Any) -> Any:
    """What a backward pass from ``array`` starts with."""
    result = empty(array.shape, array.dtype, array)
    launch(xp(array).copyto, result, 1)
    return result


def _launched_ones(graph: Graph) -> None:
    """Materialize the gradient 1 of the loss in the plan's memory, and so what depends on it."""
    for call in graph.named("initial gradient"):
        launched = _call(call, ones, *call.args)
        launched.result = call.result
        graph.replace([call], launched)


# --------------------------------------------------------------------------- copies


def _moved_copies(graph: Graph) -> None:
    """Elide copies of values that have no other user."""
    for copy in graph.named("clone"):
        source, copied = copy.args[0], copy.result
        maker = source.call
        if maker is None or not graph.used_by(source, copy) or _shows_another(maker):
            continue
        maker.result = mapped(lambda v, s=source, c=copied: c if v is s else v, maker.result)
        copied.call = maker
        graph.remove(copy)


def _shows_another(call: Call) -> bool:
    """Whether a call may return the memory of one of its arguments."""
    return getattr(call.function, "is_view", False) or not list(call.makes())


# --------------------------------------------------------------------------- convolutions


@planned
def conv2d_relu_max_pool2d(x: Any, w: Any, bias: Any, *how: Any) -> Any:
    """See `minidl.kernels.conv.reference`."""
    return kernels.conv2d_relu_max_pool2d(x, w, bias, *how)


@planned
def conv2d_relu_max_pool2d_grad(g: Any, code: Any, x: Any, w: Any, *how: Any) -> Any:
    """See `minidl.kernels.conv.reference`."""
    return kernels.conv2d_relu_max_pool2d_grad(g, code, x, w, *how)


_POOLED = (2, 2), (2, 2), (0, 0), (1, 1)
"""Kernel size, stride, padding and dilation of the pooling that the kernel does."""


def _pooled_convolutions(graph: Graph) -> None:
    """Convolution, ReLU and pooling of 2 by 2; and the way back, if there is one."""
    for conv in graph.named("conv2d"):
        relu = graph.only_user(conv.result, "relu")
        pool = relu and graph.user(relu.result, "max_pool2d")
        if not pool or pool.args[1:5] != _POOLED:
            continue
        pooled, places = pool.result
        forward = [conv, relu, pool]
        scatter = graph.user(places, "max_pool2d_scatter", 1)
        rectify = scatter and graph.only_user(scatter.result, "relu_grad")
        gradients = rectify and graph.only_user(rectify.result, "conv2d backward")
        backward = [call for call in (scatter, rectify, gradients) if call]
        if (
            not graph.used_by(relu.result, pool, rectify)
            or not graph.used_by(places, scatter)
            or len(backward) not in (0, 3)
            or not (graph.undisturbed(forward) and graph.undisturbed(backward))
        ):
            continue
        x, w, _, *how = conv.args
        fused = _call(conv, conv2d_relu_max_pool2d, *conv.args)
        results = _outlined(fused)
        if results is None:
            continue
        code = Value(results[1], fused)
        fused.result = pooled, code
        graph.replace(forward, fused)
        if backward:
            wanted = gradients.args[-1]
            args = scatter.args[0], code, x, w, *how, wanted
            back = _call(scatter, conv2d_relu_max_pool2d_grad, *args)
            back.result = gradients.result
            graph.replace(backward, back)


# --------------------------------------------------------------------------- linear layers


@planned
def linear_relu(x: Any, w: Any, bias: Any) -> Any:
    """relu(x w^T + bias)."""
    return kernels.linear(x, w, bias, True)


@planned
def linear_relu_grad(g: Any, y: Any, x: Any, w: Any, wanted: tuple) -> Any:
    """The gradients of `linear_relu`, which returned y."""
    return kernels.linear_grad(g, y, x, w, wanted)


def _rectified_linears(graph: Graph) -> None:
    """A linear layer of rows and ReLU; and the way back, if there is one."""
    for linear in graph.named("linear"):
        relu = graph.only_user(linear.result, "relu")
        x, w, bias = linear.args
        if not relu or x.array.ndim != 2:
            continue
        rectify = graph.user(relu.result, "relu_grad", 1)
        gradients = rectify and graph.only_user(rectify.result, "linear backward")
        forward, backward = [linear, relu], [call for call in (rectify, gradients) if call]
        if len(backward) == 1 or not (graph.undisturbed(forward) and graph.undisturbed(backward)):
            continue
        fused = _call(linear, linear_relu, x, w, bias)
        fused.result = relu.result
        graph.replace(forward, fused)
        if backward:
            args = rectify.args[0], relu.result, x, w, gradients.args[-1]
            back = _call(rectify, linear_relu_grad, *args)
            back.result = gradients.result
            graph.replace(backward, back)


# --------------------------------------------------------------------------- 8-bit integers


def _rectified_integers(graph: Graph) -> None:
    """A layer of integers, whose last argument says what comes after, with ReLU and pooling."""
    for layer in graph.named("quantized_conv2d", "quantized_linear"):
        behind, result = _rectified_and_pooled(graph, layer)
        if behind and graph.undisturbed([layer, *behind]):
            after = POOL if len(behind) == 2 else RELU
            name = "_".join(call.name for call in (layer, *behind))
            fused = Call(name, layer.function, (*layer.args[:-1], after), {}, False, layer.line)
            if _outlined(fused) is None:
                continue
            fused.result = result
            graph.replace([layer, *behind], fused)


def _rectified_and_pooled(graph: Graph, layer: Call) -> tuple[list[Call], Any]:
    """ReLU, or ReLU and pooling of 2 by 2 in either order, behind a layer; and their result."""
    relu = graph.only_user(layer.result, "relu")
    pool = graph.only_user(relu.result if relu else layer.result, "max_pool2d")
    if pool and pool.args[1:5] == _POOLED and graph.used_by(pool.result[1]):
        last = relu or graph.only_user(pool.result[0], "relu")
        if last:
            return [last, pool], pool.result[0] if relu else last.result
    return ([relu], relu.result) if relu else ([], None)


def _call(like: Call, function: Callable, *args: Any) -> Call:
    return Call(function.__name__, function, args, {}, False, like.line)


def _outlined(call: Call) -> Any:
    """What a call returns, but for the values; None if it has no kernel here."""
    args = mapped(lambda leaf: leaf.array if isinstance(leaf, Value) else leaf, call.args)
    with noting(Allocations().allocate, dry=True), suppress(Unplanned):
        return call.function(*args)
    return None
