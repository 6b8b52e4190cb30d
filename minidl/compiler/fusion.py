"""Fusion: neighbouring calls of a trace that one kernel does at once, with the same bits.

Each rule looks for one pattern and puts one call in the place of several. The values between
them must be of no use to anybody else, and nothing may be changed in place on the way. The
new call stands where the first of the old ones stood.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from minidl import kernels
from minidl.compiler.structure import leaves, mapped
from minidl.compiler.trace import Call, Trace, Value
from minidl.kernels.launch import planned


def fuse(trace: Trace) -> None:
    """Apply all rules to the calls of ``trace``."""
    for rule in (_moved_copies, _pooled_convolutions):
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

    def users_of(self, value: Value) -> list[Call] | None:
        """Who uses a value; None if it is part of the result or a gradient."""
        return None if value in self.kept else self.users[value]

    def only_user(self, value: Value, name: str) -> Call | None:
        """The call that alone uses ``value``, if there is one and it is of that name."""
        users = self.users_of(value)
        return users[0] if users and len(users) == 1 and users[0].name == name else None

    def undisturbed(self, calls: list[Call]) -> bool:
        """Whether nothing is changed in place between the first and the last of ``calls``."""
        places = sorted(map(self.trace.calls.index, calls))
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


def _fused(like: Call, function: Callable, args: tuple) -> Call:
    return Call(function.__name__, function, args, {}, False, like.line)


# --------------------------------------------------------------------------- copies


def _moved_copies(graph: _Graph) -> None:
    """A copy of what nobody else looks at is the thing itself.

    Gradients are copied while a run is recorded, because the record holds on to them.
    """
    for copy in list(graph.named("clone")):
        source, copied = copy.args[0], copy.result
        maker = source.call
        if maker is None or graph.users_of(source) != [copy] or _shows_another(maker):
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


def _pooled_convolutions(graph: _Graph) -> None:
    """Convolution, ReLU and 2x2 maximum pooling; and the way back, if there is one."""
    for conv in list(graph.named("conv2d")):
        relu = graph.only_user(conv.result, "relu")
        if relu is None:
            continue
        users = graph.users_of(relu.result) or []
        pools = [call for call in users if call.name == "max_pool2d"]
        if len(pools) == 1 and pools[0].args[1:5] == ((2, 2), (2, 2), (0, 0), (1, 1)):
            _fuse_pooled(graph, conv, relu, pools[0], [c for c in users if c is not pools[0]])


def _fuse_pooled(graph: _Graph, conv: Call, relu: Call, pool: Call, others: list[Call]) -> None:
    pooled, places = pool.result
    scatters = graph.users_of(places)
    back = _way_back(graph, conv, relu, scatters) if others or scatters else []
    if back is None or others != back[1:2] or not graph.undisturbed([conv, relu, pool]):
        return
    fused = _fused(conv, conv2d_relu_max_pool2d, conv.args)
    code = Value(fused.function(*_arrays(conv.args))[1], fused)
    fused.result = pooled, code
    if back:
        scatter, rectify, *gradients = back
        if not graph.undisturbed(back):
            return
        x, w, _, *how = conv.args
        needs = tuple(any(c.name == name for c in gradients) for name in _GRADIENTS)
        args = scatter.args[0], code, x, w, *how, needs
        last = _fused(scatter, conv2d_relu_max_pool2d_grad, args)
        last.result = tuple(
            next((c.result for c in gradients if c.name == name), None) for name in _GRADIENTS
        )
        graph.replace([scatter, rectify, *gradients], last)
    graph.replace([conv, relu, pool], fused)


_GRADIENTS = "conv2d_input_grad", "conv2d_weight_grad", "sum"
"""What makes the gradients of x, of w and of the bias."""


def _way_back(
    graph: _Graph, conv: Call, relu: Call, scatters: list[Call] | None
) -> list[Call] | None:
    """The calls that lead from the pooled result's gradient to those of x, w and the bias.

    None if they do more than that.
    """
    if scatters is None or [call.name for call in scatters] != ["max_pool2d_scatter"]:
        return None
    rectify = graph.only_user(scatters[0].result, "relu_grad")
    if rectify is None or rectify.args[1] is not relu.result:
        return None
    gradients = graph.users_of(rectify.result) or []
    names = [call.name for call in gradients]
    x, w, _, *how = conv.args
    expected = {"conv2d_input_grad": w, "conv2d_weight_grad": x, "sum": (0, 2, 3)}
    fits = all(
        name in expected
        and call.args[0] is rectify.result
        and (call.args[1] is expected[name] or call.args[1] == expected[name])
        and (name == "sum" or list(call.args[3:]) == how)
        for name, call in zip(names, gradients)
    )
    return [scatters[0], rectify, *gradients] if fits and len(set(names)) == len(names) else None


def _arrays(args: tuple) -> tuple:
    return mapped(lambda leaf: leaf.array if isinstance(leaf, Value) else leaf, args)
