"""Chains: elementwise calls of which one takes what another has made, as one launch.

A call is taken along if its result is of no use to anybody else, and if nothing is changed in
place until it is used. Only operations take part whose result is exactly rounded, or chosen among
the operands: NumPy computes them one by one, and the chain must come to the same bits.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl import kernels, ops  # noqa: F401 ops registers the operators
from minidl.autograd import operators
from minidl.compiler.graph import Graph
from minidl.compiler.trace import Call, Value
from minidl.kernels.elementwise import Step
from minidl.kernels.elementwise.steps import MOST_INPUTS, MOST_STEPS, OPERATIONS
from minidl.kernels.jit import FLOATS

_EXACT = 1 << 53  # whole numbers below are float64 numbers
_LEAST = 1024  # elements: below, a call of NumPy's is as fast as a launch


class Chain:
    """A planned function of arrays, which runs the steps."""

    planned = True

    def __init__(self, names: list[str], steps: tuple[Step, ...]):
        self.__name__ = "_".join(names)
        self.steps = steps

    def __call__(self, *inputs: np.ndarray) -> np.ndarray:
        return kernels.elementwise(list(inputs), self.steps)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Chain) and self.steps == other.steps

    __hash__ = object.__hash__


def fuse_chains(graph: Graph) -> None:
    """Replace each group of elementwise calls by a chain, from the last call up."""
    calls = graph.in_order()
    suiting = {call for call in calls if _suits(call)}
    for call in reversed(calls):
        if call not in suiting:
            continue
        members = _members(graph, call, suiting)
        suiting.difference_update(members)
        if len(members) > 1 or not getattr(call.function, "planned", False):
            graph.replace(members, _chain(members), last=True)


def _members(graph: Graph, root: Call, suiting: set[Call]) -> list[Call]:
    """``root`` and the calls that it takes along, in their order."""
    members, waiting, inputs = [root], [root], _keys(root)
    while waiting:
        for value in graph.uses[waiting.pop()]:
            maker = value.call
            if maker not in suiting or maker in members:
                continue
            wider = inputs - {value} | _keys(maker)
            fits = len(members) < MOST_STEPS and len(wider) <= MOST_INPUTS
            if fits and _joins(graph, value, root, members):
                members.append(maker)
                waiting.append(maker)
                inputs = wider
    return sorted(members, key=graph.numbers.__getitem__)


def _joins(graph: Graph, value: Value, root: Call, members: list[Call]) -> bool:
    """Whether the call that made ``value`` can be made where ``root`` is, for ``members`` alone."""
    return (
        value.layout == root.result.layout
        and graph.used_by(value, *members)
        and graph.undisturbed([value.call, root])
    )


def _suits(call: Call) -> bool:
    """Whether a call is an operation of a chain, on whole arrays and single numbers."""
    if call.function not in _FUNCTIONS.get(call.name, ()) or call.options:
        return False
    result = call.result
    return (
        isinstance(result, Value)
        and _is_large(result)
        and all(_is_operand(arg, result) for arg in _operands(call))
        and any(isinstance(arg, Value) and arg.layout == result.layout for arg in _operands(call))
    )


def _is_large(value: Value) -> bool:
    """Whether it is worth a launch: of some size, in row-major order."""
    if not _is_of_numpy(value) or value.layout[1] not in FLOATS:
        return False
    shape, dtype, strides, _ = value.layout
    reach = dtype.itemsize
    for size, stride in zip(reversed(shape), reversed(strides)):
        if stride != reach and size != 1:
            return False
        reach *= size
    return reach >= _LEAST * dtype.itemsize


def _is_of_numpy(value: Value) -> bool:
    return value.is_layout or type(value.array) is np.ndarray  # without allocating a placeholder


def _is_operand(arg: Any, result: Value) -> bool:
    if not isinstance(arg, Value):
        return type(arg) is float or (type(arg) is int and abs(arg) < _EXACT)
    alike = arg.layout == result.layout or (
        arg.layout[0] == () and arg.layout[1] == result.layout[1]  # a single number
    )
    return alike and _is_of_numpy(arg)


def _operands(call: Call) -> tuple:
    """The operands of the operation: `pow` is a square, whose exponent is none."""
    if call.name == "pow":
        return (
            call.args[:1] if type(call.args[1]) in (int, float) and call.args[1] == 2 else (None,)
        )
    return call.args


def _inputs(members: list[Call]) -> list[Any]:
    """What the members take that none of them makes, whole arrays first, each once."""
    made = {member.result for member in members}
    found = dict.fromkeys(
        _key(arg) for member in members for arg in _operands(member) if arg not in made
    )
    return sorted(found, key=lambda key: not _is_whole(key))


def _keys(call: Call) -> set[Any]:
    return set(map(_key, _operands(call)))


def _key(arg: Any) -> Any:
    return arg if isinstance(arg, Value) else repr(float(arg))  # 0.0 and -0.0 are two numbers


def _is_whole(key: Any) -> bool:
    return isinstance(key, Value) and key.layout[0] != ()


def _chain(members: list[Call]) -> Call:
    """The call that replaces ``members``; its result is the last one's."""
    root, inputs = members[-1], _inputs(members)
    places = {key: i for i, key in enumerate(inputs)}
    steps = []
    for i, member in enumerate(members):
        operands = (places[_key(arg)] for arg in _operands(member))
        steps.append(Step(_opcode(member), *operands))
        places[member.result] = MOST_INPUTS + i
    dtype = root.result.layout[1]
    args = [key if isinstance(key, Value) else np.array(float(key), dtype) for key in inputs]
    function = Chain([member.name for member in members], tuple(steps))
    call = Call(function.__name__, function, tuple(args), {}, False, root.line)
    call.result = root.result
    return call


def _opcode(call: Call) -> int:
    return OPERATIONS.index("square" if call.name == "pow" else call.name)


def _known_functions() -> dict[str, list[Callable]]:
    names = (*OPERATIONS, "pow")
    found = {name: [operators[name].op.forward] for name in names}
    found["add"].append(operator.add)  # how sums of gradients are made
    return found


_FUNCTIONS = _known_functions()
