"""Fusion: neighbouring calls of a trace that one kernel does at once, with the same bits.

Each rule looks for one pattern and puts one call in the place of several. The values between
them must be of no use to anybody else, and nothing may be changed in place on the way. The
new call stands where the first of the old ones stood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from minidl import kernels
from minidl.compiler.memory import Allocations
from minidl.compiler.structure import leaves, mapped
from minidl.compiler.trace import Call, Trace, Value
from minidl.kernels.launch import Unplanned, noting, planned


def fuse(trace: Trace) -> None:
    """Apply all rules to the calls of ``trace``."""
    for rule in (_moved_copies, _pooled_convolutions, _rectified_linears):
        rule(_Graph(trace))


class _Graph:
    """The calls of a trace with who uses what."""

    def __init__(self, trace: Trace):
        self.trace = trace
        self.users: dict[Value, list[Call]] = defaultdict(list)
        for call in trace.calls:
            for value in dict.fromkeys(call.uses()):
                self.users[value].append(call)
        self.kept = {*leaves(trace.result), *(value for _, value in trace.gradients)}

    def named(self, *names: str) -> Iterator[Call]:
        """The calls of these names that are still there."""
        return iter([call for call in self.trace.calls if call.name in names])

    def used_by(self, value: Value, *calls: Call | None) -> bool:
        """Whether nobody but ``calls`` uses ``value``."""
        return value not in self.kept and set(self.users[value]) <= set(calls)

    def user(self, value: Value, name: str, position: int = 0) -> Call | None:
        """The call of that name that takes ``value`` at ``position``, if there is just one."""
        calls = [call for call in self.users[value] if call.name == name]
        return calls[0] if len(calls) == 1 and calls[0].args[position] is value else None

    def only_user(self, value: Value, name: str) -> Call | None:
        """The call of that name that takes ``value`` first, if nobody else uses it."""
        call = self.user(value, name)
        return call if self.used_by(value, call) else None

    def undisturbed(self, calls: list[Call]) -> bool:
        """Whether nothing is changed in place between the first and the last of ``calls``."""
        places = sorted(map(self.trace.calls.index, calls)) or [0]
        return not any(call.changes for call in self.trace.calls[places[0] : places[-1]])

    def replace(self, old: list[Call], new: Call) -> None:
        """Put ``new`` in the place of the first of ``old``, and take all of them out."""
        calls = self.trace.calls
        calls[min(map(calls.index, old))] = new
        for call in old:
            if call in calls:
                calls.remove(call)
        for value in leaves(new.result):
            if isinstance(value, Value):
                value.call = new


# --------------------------------------------------------------------------- copies


def _moved_copies(graph: _Graph) -> None:
    """A copy of what nobody else looks at is the thing itself."""
    for copy in list(graph.named("clone")):
        source, copied = copy.args[0], copy.result
        maker = source.call
        if maker is None or not graph.used_by(source, copy) or _shows_another(maker):
            continue
        maker.result = mapped(lambda v, s=source, c=copied: c if v is s else v, maker.result)
        copied.call = maker
        graph.trace.calls.remove(copy)


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


def _pooled_convolutions(graph: _Graph) -> None:
    """Convolution, ReLU and pooling of 2 by 2; and the way back, if there is one."""
    for conv in list(graph.named("conv2d")):
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


def _rectified_linears(graph: _Graph) -> None:
    """A linear layer of rows and ReLU; and the way back, if there is one."""
    for linear in list(graph.named("linear")):
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


def _call(like: Call, function: Callable, *args: Any) -> Call:
    return Call(function.__name__, function, args, {}, False, like.line)


def _outlined(call: Call) -> Any:
    """What a call returns, but for the values; None if it has no kernel here."""
    args = mapped(lambda leaf: leaf.array if isinstance(leaf, Value) else leaf, call.args)
    with noting(Allocations().allocate, dry=True), suppress(Unplanned):
        return call.function(*args)
    return None
