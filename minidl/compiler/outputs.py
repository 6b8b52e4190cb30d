"""Outputs: what leaves a step, its result and what it writes at its end.

In the trace they are one structure, so that what is shared among them (a tensor that is stored
and returned, a list that is stored twice) is shared again after each replay.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from minidl.autograd import wrap
from minidl.compiler.arguments import Arguments, Same
from minidl.compiler.recorder import InputLeaf
from minidl.compiler.structure import Record, rebuilt
from minidl.compiler.trace import Trace, Value


class Copied:
    """A set or a deque that the step makes: each replay makes another."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Copied) and (
            type(self.value) is type(other.value) and list(self.value) == list(other.value)
        )

    __hash__ = None


class Existing:
    """A tensor from before the run, or at a position among the arguments, that leaves the step.

    ``is_alias`` is whether it is another tensor over the same memory, as of ``detach()``.
    """

    def __init__(self, tensor: Any, position: int | None = None, is_alias: bool = False):
        self.tensor = tensor if position is None else None
        self.position, self.is_alias = position, is_alias

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Existing) or self.is_alias != other.is_alias:
            return False
        if self.position is not None or other.position is not None:
            return self.position == other.position
        same_memory = self.is_alias and self.tensor.array is other.tensor.array
        return self.tensor is other.tensor or same_memory

    __hash__ = None


class GivenContainer(NamedTuple):
    """A container among the arguments that leaves the step, by its number."""

    index: int


class LateWrite(NamedTuple):
    """A write to an outside object that is made at the end of the step."""

    function: Callable
    owner: Any
    line: str


class _Made(NamedTuple):
    """The number of an array that a program returns; a Python number stays one."""

    index: int
    is_number: bool


class _Gradient(NamedTuple):
    """The gradient that a replay gives to a leaf, by its number."""

    index: int


class _Leaf:
    """A leaf of outputs that is no value of the trace."""

    __slots__ = ("value",)

    def __init__(self, value: Any):
        self.value = value


class Outputs:
    """Makes the outputs of a step of what a replay has computed.

    Parameters
    ----------
    trace : Trace
        Its result is a pair: the step's result, and the arguments of `Trace.writes`.
    """

    def __init__(self, trace: Trace):
        self.writes = [(write.function, write.owner) for write in trace.writes]
        self._numbers = {value: i for i, value in enumerate(returned_values(trace))}
        self._gradients = _gradients_of(trace)
        self._parts: dict[int, tuple[Any, Any]] = {}
        self.structure = self._prepared(trace.result)
        del self._numbers, self._gradients, self._parts
        result, _ = self.structure
        self.is_one_tensor = not self.writes and type(result) is _Made and not result.is_number

    def _prepared(self, part: Any) -> Any:
        """The structure without values of the trace; what was one part is one again."""
        if type(part) is Value:
            if id(part) in self._gradients:
                return _Gradient(self._gradients[id(part)])
            return _Made(self._numbers[part], len(part.layout) == 1)
        if type(part) is GivenContainer or not isinstance(part, tuple | list | dict):
            return _Leaf(part)
        if id(part) not in self._parts:
            if type(part) is Record:
                new = Record(part.kind, {k: self._prepared(v) for k, v in part.parts.items()})
            else:
                values = part.values() if isinstance(part, dict) else part
                new = rebuilt(part, [self._prepared(value) for value in values])
            self._parts[id(part)] = part, new
        return self._parts[id(part)][1]

    def make(self, arrays: tuple, given: Arguments, gradients: list) -> Any:
        """The step's result; what it writes is written."""
        made: dict[Any, Any] = {}
        result = self._filled(self.structure[0], arrays, given, gradients, made)
        for (function, owner), args in zip(self.writes, self.structure[1]):
            values = (self._filled(arg, arrays, given, gradients, made) for arg in args)
            function(owner, *values)
        return result

    def _filled(
        self, part: Any, arrays: tuple, given: Arguments, gradients: list, made: dict
    ) -> Any:
        kind = type(part)
        if kind is _Leaf:
            return _output(part.value, given, made)
        if kind is _Gradient:
            return gradients[part.index][1]
        key = part.index if kind is _Made else id(part)
        if key in made:
            return made[key]
        if kind is _Made:
            array = arrays[part.index]
            made[key] = array if part.is_number else wrap(array)
            return made[key]
        values = part.parts.items() if kind is Record else _items(part)
        new = {name: self._filled(v, arrays, given, gradients, made) for name, v in values}
        made[key] = _instance(part.kind, new) if kind is Record else rebuilt(part, [*new.values()])
        return made[key]


def returned_values(trace: Trace) -> list[Value]:
    """The values in a trace's result that its program returns, each once, in order."""
    found: dict[Value, None] = {}
    gradients = _gradients_of(trace)
    stack = [trace.result]
    while stack:
        part = stack.pop()
        if type(part) is Value and id(part) not in gradients:
            found[part] = None
        elif isinstance(part, tuple | list | dict):
            stack += reversed(list(part.values() if isinstance(part, dict) else part))
    return list(found)


def _gradients_of(trace: Trace) -> dict[int, int]:
    """The numbers of the values that become gradients of leaves from before the run."""
    return {
        id(value): i
        for i, (leaf, value) in enumerate(trace.gradients)
        if value is not None and type(leaf) is not InputLeaf
    }


def _items(part: Any) -> Any:
    return part.items() if isinstance(part, dict) else enumerate(part)


def _instance(kind: type, parts: dict[str, Any]) -> Any:
    instance = object.__new__(kind)
    for name, part in parts.items():
        object.__setattr__(instance, name, part)  # a frozen one has no other way
    return instance


def _output(leaf: Any, given: Arguments, made: dict) -> Any:
    kind = type(leaf)
    if kind is GivenContainer:
        return given.containers[leaf.index]
    if kind is Existing:
        tensor = leaf.tensor if leaf.position is None else given.tensors[leaf.position]
        return tensor.detach() if leaf.is_alias else tensor
    if kind is Copied:
        if id(leaf) not in made:
            made[id(leaf)] = copy.copy(leaf.value)
        return made[id(leaf)]
    return leaf.thing if kind is Same else leaf
