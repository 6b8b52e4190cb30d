"""Nested tuples, lists and dictionaries: what operators take and return."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any


def mapped(function: Callable, structure: Any) -> Any:
    """``structure`` with ``function(leaf)`` in the place of each leaf.

    What has no leaf that becomes another is itself, not a copy: someone may change it later.
    """
    if not isinstance(structure, tuple | list | dict):
        return function(structure)
    old = list(structure.values() if isinstance(structure, dict) else structure)
    new = [mapped(function, part) for part in old]
    if all(map(operator.is_, old, new)):
        return structure
    if isinstance(structure, dict):
        return dict(zip(structure, new))
    if hasattr(structure, "_fields"):
        return type(structure)(*new)
    return type(structure)(new)


def leaves(structure: Any) -> Iterator[Any]:
    """The leaves, in order."""
    if isinstance(structure, tuple | list):
        for part in structure:
            yield from leaves(part)
    elif isinstance(structure, dict):
        for part in structure.values():
            yield from leaves(part)
    else:
        yield structure
