"""Results of a compiled module: what a replay can make again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.autograd import TensorBase

_PLAIN = (type(None), bool, int, str, bytes, type(...))


def is_container(part: Any) -> bool:
    """Whether a part of arguments or results is looked into."""
    named = isinstance(part, tuple) and hasattr(part, "_fields")
    return named or type(part) in (tuple, list, dict, OrderedDict)


def unknown_result(result: Any) -> str:
    """Why a result cannot be made again; empty if it can."""
    odd: list[str] = []

    def look(leaf: Any) -> Any:
        kind = type(leaf)
        if kind not in (*_PLAIN, float) and not isinstance(leaf, TensorBase | np.dtype):
            odd.append(kind.__name__)
        return leaf

    rebuilt(result, look)
    return f"forward returns an object of the class {odd[0]}" if odd else ""


def rebuilt(structure: Any, make: Callable[[Any], Any]) -> Any:
    """New tuples, lists and dictionaries, with ``make(leaf)`` for each leaf."""
    if not is_container(structure):
        return make(structure)
    kind = type(structure)
    if isinstance(structure, dict):
        return kind((key, rebuilt(part, make)) for key, part in structure.items())
    parts = [rebuilt(part, make) for part in structure]
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
