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

from minidl import kernels
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
    """Put a chain in the place of each group of elementwise calls, from the last call up."""
    taken: set[Call] = set()
    for call in reversed(list(graph.trace.calls)):
        if call in taken or not _suits(call):
            continue
        members = _members(graph, call)
        taken.update(members)
        if len(members) > 1 or not getattr(call.function, "planned", False):
            graph.replace(members, _chain(members), last=True)


def _members(graph: Graph, root: Call) -> list[Call]:
    """``root`` and the calls that it takes along, in their order."""
    members, waiting = [root], [root]
    while waiting:
        for value in waiting.pop().uses():
            maker = value.call
            if maker in members or not _joins(graph, value, root, members):
                continue
            wider = [*members, maker]
            if len(wider) <= MOST_STEPS and len(_inputs(wider)) <= MOST_INPUTS:
                members = wider
                waiting.append(maker)
    return sorted(members, key=graph.trace.calls.index)


def _joins(graph: Graph, value: Value, root: Call, members: list[Call]) -> bool:
    """Whether the call that made ``value`` can be made where ``root`` is, for ``members`` alone."""
    maker = value.call
    return (
        maker is not None
        and _suits(maker)
        and value.layout == root.result.layout
        and graph.used_by(value, *members)
        and graph.undisturbed([maker, root])
    )


def _suits(call: Call) -> bool:
    """Whether a call is an operation of a chain, on whole arrays and single numbers."""
    if call.name not in _FUNCTIONS or call.function not in _FUNCTIONS[call.name] or call.options:
        return False
    result = call.result
    if not isinstance(result, Value) or type(result.array) is not np.ndarray:
        return False
    array = result.array
    return (
        array.dtype in FLOATS
        and array.size >= _LEAST
        and array.flags.c_contiguous
        and all(_is_operand(arg, result) for arg in _operands(call))
        and any(isinstance(arg, Value) and arg.layout == result.layout for arg in _operands(call))
    )


def _is_operand(arg: Any, result: Value) -> bool:
    if not isinstance(arg, Value):
        return type(arg) is float or (type(arg) is int and abs(arg) < _EXACT)
    array = arg.array
    alike = type(array) is np.ndarray and array.dtype == result.array.dtype
    return alike and (array.ndim == 0 or arg.layout == result.layout)


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


def _key(arg: Any) -> Any:
    return arg if isinstance(arg, Value) else repr(float(arg))  # 0.0 and -0.0 are two numbers


def _is_whole(key: Any) -> bool:
    return isinstance(key, Value) and key.layout[0] != ()


def _chain(members: list[Call]) -> Call:
    """The call that stands for ``members``; its result is the last one's."""
    root, inputs = members[-1], _inputs(members)
    places = {key: i for i, key in enumerate(inputs)}
    steps = []
    for i, member in enumerate(members):
        operands = (places[_key(arg)] for arg in _operands(member))
        steps.append(Step(_opcode(member), *operands))
        places[member.result] = MOST_INPUTS + i
    dtype = root.result.array.dtype
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
