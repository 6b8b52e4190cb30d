"""Signatures of runs: whether two runs of a step computed the same things.

One run cannot tell what is constant from what was so this time, so a step is replayed only
after two runs that agree in every computation, its arguments and its layouts. A plan keeps the
signature of its run: an audit compares it with that of a fresh one.
"""

from __future__ import annotations

from types import CellType
from typing import Any

import numpy as np

from minidl.backend import is_array
from minidl.compiler.recorder import must_fail
from minidl.compiler.structure import mapped
from minidl.compiler.trace import Trace, Value, layout_of


class Ref:
    """An array or a number of a run in a signature: its index, layout and origin."""

    __slots__ = ("layout", "number", "tensors")

    def __init__(self, number: int, value: Value):
        self.number, self.layout = number, value.layout
        self.tensors = tuple(value.tensors)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ref) or self.number != other.number:
            return False
        if self.layout != other.layout or bool(self.tensors) != bool(other.tensors):
            return False
        if not self.tensors:
            return True
        mine = set(map(id, self.tensors))
        return any(id(tensor) in mine for tensor in other.tensors)

    __hash__ = None


class Signature:
    """What a run computed, without its arrays."""

    def __init__(self, trace: Trace):
        self._numbers: dict[Value, Ref] = {}
        for value in trace.inputs:
            self._ref(value)
        self.calls = [
            (
                call.name,
                call.function,
                self._refs((call.args, tuple(call.options.items()))),
                self._refs(call.result),
                call.line,
            )
            for call in trace.calls
        ]
        self.failures = sum(call.function is must_fail for call in trace.calls)
        self.result = self._refs(trace.result)
        self.writes = [(write.function, id(write.owner)) for write in trace.writes]
        self.gradients = {
            leaf if isinstance(leaf, tuple) else id(leaf): self._refs(value)
            for leaf, value in sorted(trace.gradients, key=_order)
        }
        del self._numbers

    def _ref(self, value: Value) -> Ref:
        ref = self._numbers.get(value)
        if ref is None:
            ref = self._numbers[value] = Ref(len(self._numbers), value)
        return ref

    def _refs(self, structure: Any) -> Any:
        kind = type(structure)
        if kind is Value:
            return self._ref(structure)
        if kind is tuple or kind is list:
            return kind(map(self._refs, structure))
        if isinstance(structure, tuple | list | dict):
            return mapped(lambda leaf: self._ref(leaf) if type(leaf) is Value else leaf, structure)
        return structure


def _order(pair: tuple) -> tuple:
    leaf = pair[0]
    return (0, *leaf) if isinstance(leaf, tuple) else (1, id(leaf))


def difference(first: Signature, second: Signature) -> str | None:
    """Where the second run departs from the first, in words; None if it does not."""
    for one, other in zip(first.calls, second.calls):
        found = _between_calls(one, other)
        if found is not None:
            return f"{other[4] or one[4]}: {found}"
    if len(first.calls) != len(second.calls):
        longer = max(first.calls, second.calls, key=len)
        odd = longer[min(len(first.calls), len(second.calls))]
        return f"{odd[4]}: {odd[0]} was computed in one run and not in the other"
    if not same(first.result, second.result) or first.writes != second.writes:
        return "the step returned something else"
    if not same(first.gradients, second.gradients):
        return "other tensors were given a gradient"
    return None


def _between_calls(one: tuple, other: tuple) -> str | None:
    if one[0] != other[0] or not _same_function(one[1], other[1]):
        return f"{other[0]} was computed where the run before computed {one[0]}"
    if not same(one[2], other[2]):
        return _between_arguments(one, other)
    if not same(one[3], other[3]):
        return f"{one[0]} had a result of another shape or dtype than in the run before"
    return None


def _between_arguments(one: tuple, other: tuple) -> str:
    for i, (a, b) in enumerate(zip(one[2][0], other[2][0])):
        if not same(a, b):
            return (
                f"{one[0]} got another argument {i + 1} than in the run before"
                f"{_as_numbers(a, b)}. What differs from call to call is passed to the step as "
                "an argument, numbers as tensors"
            )
    return f"{one[0]} got other options than in the run before"


def _as_numbers(a: Any, b: Any) -> str:
    plain = isinstance(a, int | float | str) and isinstance(b, int | float | str)
    return f" ({a!r}, then {b!r})" if plain else ""


def same(a: Any, b: Any) -> bool:
    """Whether two arguments or results are alike."""
    if a is b:
        return True
    kind = type(a)
    if kind is not type(b):
        return False
    if kind is Ref:
        return a == b
    if kind is tuple or isinstance(a, tuple | list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(map(same, a.values(), b.values()))
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    if is_array(a) and is_array(b):
        return layout_of(a) == layout_of(b) and a.tobytes() == b.tobytes()
    if callable(a):
        return _same_function(a, b)
    try:
        return bool(a == b) or bool(a != a and b != b)  # NaN is the same constant each time
    except (TypeError, ValueError, RuntimeError):
        return False


def _same_function(f: Any, g: Any) -> bool:
    """The same function, or two of one source that closed over the same things."""
    if f == g:
        return True
    codes = getattr(f, "__code__", None), getattr(g, "__code__", None)
    if None in codes or codes[0] is not codes[1]:
        return False
    cells = zip(f.__closure__ or (), g.__closure__ or ())
    return f.__defaults__ == g.__defaults__ and all(_same_cell(a, b) for a, b in cells)


def _same_cell(a: CellType, b: CellType) -> bool:
    a, b = a.cell_contents, b.cell_contents
    try:
        return a is b or bool(a == b)
    except (TypeError, ValueError, RuntimeError):
        return False
