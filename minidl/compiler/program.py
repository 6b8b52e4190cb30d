"""The text of a program: lines, and names for all that they work on."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable
from operator import itemgetter
from types import CodeType
from typing import Any

import numpy as np

from minidl.backend import is_array
from minidl.compiler.graphs import CudaGraph
from minidl.compiler.structure import leaves
from minidl.compiler.trace import Value

_LITERALS = (type(None), bool, int, str, type(...))


class Program:
    """Lines of Python over constants, of which arrays in fixed memory are some, and variables.

    Attributes
    ----------
    lines : list of str
        The body of the function so far.
    repeatable : list of bool
        For each line, whether it is the very same in each repetition, in the driver's eyes too.
    constants : dict
        The values of the names in it.
    variables : dict
        The name of each value that is another array in each repetition.
    free : list of str
        The names that no value has any more.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.repeatable: list[bool] = []
        self.constants: dict[str, Any] = {"asarray": np.asarray, "CudaGraph": CudaGraph}
        self.variables: dict[Value, str] = {}
        self.free: list[str] = []
        self.names: dict[int, str] = {}
        self.numbers = itertools.count()

    def argument(self, value: Value) -> str:
        """A new argument of the function, ``value``."""
        self.variables[value] = f"input_{next(self.numbers)}"
        return self.variables[value]

    def variable(self, value: Value) -> str:
        """A variable for ``value``: one that has become free, or a new one."""
        name = self.free.pop() if self.free else f"x_{next(self.numbers)}"
        self.variables[value] = name
        return name

    def release(self, values: Iterable[Value]) -> list[str]:
        """Free the variables of ``values``, those that have one; their names."""
        names = [self.variables.pop(value) for value in values if value in self.variables]
        self.free += names
        return names

    def constant(self, thing: Any, word: str) -> str:
        """A literal, or the name of ``thing``."""
        if type(thing) in _LITERALS:
            return repr(thing)
        if id(thing) not in self.names:
            self.names[id(thing)] = f"{_word(word)}_{next(self.numbers)}"
            self.constants[self.names[id(thing)]] = thing
        return self.names[id(thing)]

    def text(self, structure: Any, leaf_text: Callable[[Any], str], is_special: Callable) -> str:
        """Nested tuples, lists and dictionaries, where they hold something special."""
        if not isinstance(structure, tuple | list | dict):
            return leaf_text(structure)
        if not any(map(is_special, leaves(structure))):
            return self.constant(structure, "options")
        if isinstance(structure, dict):
            parts = (
                f"{key!r}: {self.text(part, leaf_text, is_special)}"
                for key, part in structure.items()
            )
            return f"{{{', '.join(parts)}}}"
        parts = [self.text(part, leaf_text, is_special) for part in structure]
        if hasattr(structure, "_fields"):
            return f"{self.constant(type(structure), type(structure).__name__)}({', '.join(parts)})"
        return tuple_text(parts) if isinstance(structure, tuple) else f"[{', '.join(parts)}]"

    def write(self, line: str, repeatable: bool = False) -> None:
        """Add a line."""
        self.lines.append(line)
        self.repeatable.append(repeatable)

    def source(self, name: str, arguments: list[str]) -> str:
        """The whole text; runs of repeatable lines are functions of their own, graphs."""
        parts, body = [], []
        for same, lines in itertools.groupby(zip(self.repeatable, self.lines), key=itemgetter(0)):
            run = [line for _, line in lines]
            if same and len(run) > 1:
                graph = f"graph{len(parts)}"
                parts.append(_function(graph, [], run) + f"{graph} = CudaGraph({graph})\n")
                run = [f"{graph}()"]
            body += run
        return "\n".join([*parts, _function(name, arguments, body)])

    def compiled(self, name: str, code: CodeType, others: dict[str, Any]) -> Callable:
        """The function ``name`` that ``code`` defines, with ``others`` for some constants."""
        space = {**self.constants, **others}
        exec(code, space)
        return space[name]


def _function(name: str, arguments: list[str], lines: list[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"def {name}({', '.join(arguments)}):\n{body}\n"


def tuple_text(parts: list[str]) -> str:
    """``(a, b)``, and ``(a,)`` for one part."""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def target(structure: Any, variables: dict[Value, str]) -> str:
    """The left side of an assignment of a result: variables, and _ for unused parts."""
    if isinstance(structure, tuple | list):
        return tuple_text([target(part, variables) for part in structure]) if structure else "_"
    return variables.get(structure, "_") if isinstance(structure, Value) else "_"


def is_value(leaf: Any) -> bool:
    """Whether a leaf of a recorded call is an array of the trace."""
    return isinstance(leaf, Value)


def is_special_argument(leaf: Any) -> bool:
    """Whether a leaf of a launch's argument is an array."""
    return is_array(leaf)


def name_of(function: Callable) -> str:
    """What to call a function in the text."""
    return getattr(function, "__name__", None) or type(function).__name__


@functools.lru_cache
def _word(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_") or "x"
