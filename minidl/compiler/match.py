"""Whether two runs of a step computed the same things: what may be repeated.

One run does not tell what is always so from what was so this time. A number that the step
took from a clock, a counter or Python's ``random`` looks like any other constant; in a
second run it is another one. So a step is repeated only after two runs that agree in every
computation, its arguments and its shapes.
"""

from __future__ import annotations

from types import CellType
from typing import Any

import numpy as np

from minidl.backend import is_array
from minidl.compiler.trace import Call, Trace, Value, layout_of


def difference(first: Trace, second: Trace) -> str | None:
    """Where the second run departs from the first, in words; None if it does not."""
    pairs = dict(zip(first.inputs, second.inputs))
    for one, other in zip(first.calls, second.calls):
        found = _between_calls(one, other, pairs)
        if found is not None:
            return f"{other.line or one.line}: {found}"
    if len(first.calls) != len(second.calls):
        longer = max(first.calls, second.calls, key=len)
        odd = longer[min(len(first.calls), len(second.calls))]
        return f"{odd.line}: {odd.name} was computed in one run and not in the other"
    if not _same(first.result, second.result, pairs):
        return "the step returned something else"
    if not _same(_by_leaf(first), _by_leaf(second), pairs):
        return "other tensors were given a gradient"
    return None


def _by_leaf(trace: Trace) -> dict[int, Value | None]:
    return {id(leaf): value for leaf, value in trace.gradients}


def _between_calls(one: Call, other: Call, pairs: dict[Value, Value]) -> str | None:
    if one.name != other.name or not _same_function(one.function, other.function):
        return f"{other.name} was computed where the run before computed {one.name}"
    given = (*one.args, *one.options.values()), (*other.args, *other.options.values())
    for i, (a, b) in enumerate(zip(*given)):
        if not _same(a, b, pairs):
            return (
                f"{one.name} got another argument {i + 1} than in the run before"
                f"{_as_numbers(a, b)}. What differs from call to call is passed to the step as "
                "an argument, numbers as tensors"
            )
    if len(given[0]) != len(given[1]) or not _same(one.result, other.result, pairs):
        return f"{one.name} had a result of another shape or dtype than in the run before"
    return None


def _as_numbers(a: Any, b: Any) -> str:
    plain = isinstance(a, int | float | str) and isinstance(b, int | float | str)
    return f" ({a!r}, then {b!r})" if plain else ""


def _same(a: Any, b: Any, pairs: dict[Value, Value]) -> bool:
    """Whether two arguments or results are alike; new values are paired."""
    if isinstance(a, Value) and isinstance(b, Value):
        return _same_value(a, b, pairs)
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(_same(x, y, pairs) for x, y in zip(a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], pairs) for key in a)
    if callable(a):
        return _same_function(a, b)
    if is_array(a) and is_array(b):
        return layout_of(a) == layout_of(b) and np.array_equal(a, b)
    try:
        return bool(a == b) or bool(a != a and b != b)  # NaN is the same constant each time
    except (TypeError, ValueError, RuntimeError):
        return False


def _same_value(a: Value, b: Value, pairs: dict[Value, Value]) -> bool:
    if a in pairs:
        return pairs[a] is b
    alike = a.array is b.array if a.tensors or b.tensors else a.layout == b.layout
    if alike:
        pairs[a] = b
    return alike


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
