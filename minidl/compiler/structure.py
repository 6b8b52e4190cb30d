"""Nested tuples, lists and dictionaries: what steps and operators take and return.

Dataclasses are opened only where a step is called and where it returns (`opened`, `closed`).
"""

from __future__ import annotations

import dataclasses
import operator
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple


def mapped(function: Callable, structure: Any) -> Any:
    """``structure`` with ``function(leaf)`` for each leaf, as a tree map.

    What has no leaf that becomes another is itself, not a copy: someone may change it later.
    """
    if not isinstance(structure, tuple | list | dict):
        return function(structure)
    old = list(structure.values() if isinstance(structure, dict) else structure)
    new = [mapped(function, part) for part in old]
    return structure if all(map(operator.is_, old, new)) else rebuilt(structure, new)


def copied(structure: Any) -> Any:
    """Copy the lists and dictionaries of ``structure``, which may change later."""
    if not isinstance(structure, tuple | list | dict):
        return structure
    old = list(structure.values() if isinstance(structure, dict) else structure)
    new = list(map(copied, old))
    unchanged = type(structure) is tuple and all(map(operator.is_, old, new))
    return structure if unchanged else rebuilt(structure, new)


def rebuilt(structure: Any, parts: list) -> Any:
    """A structure of the same kind with other parts; of a subclass also all else stays."""
    kind = type(structure)
    if isinstance(structure, dict):
        return _rebuilt_dict(structure, kind, parts)
    if kind is tuple or kind is list:
        return kind(parts)
    twin = tuple.__new__(kind, parts) if isinstance(structure, tuple) else list.__new__(kind)
    if isinstance(structure, list):
        list.extend(twin, parts)
    return _with_attributes(twin, structure)


def _rebuilt_dict(structure: dict, kind: type, parts: list) -> dict:
    if kind is dict:
        return dict(zip(structure, parts))
    if isinstance(structure, defaultdict):
        twin = structure.copy()
    else:
        base = OrderedDict if isinstance(structure, OrderedDict) else dict
        twin = base.__new__(kind)
    for key, part in zip(structure, parts):
        _set_item(twin, key, part)
    return _with_attributes(twin, structure)


def _set_item(twin: dict, key: Any, part: Any) -> None:
    (OrderedDict if isinstance(twin, OrderedDict) else dict).__setitem__(twin, key, part)


def _with_attributes(twin: Any, structure: Any) -> Any:
    own = getattr(structure, "__dict__", None)
    if own:
        twin.__dict__.update(own)
    return twin


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


class Record(NamedTuple):
    """An instance of a dataclass, taken apart."""

    kind: type
    parts: dict[str, Any]


def is_dataclass(value: Any) -> bool:
    """Whether a value is an instance of a dataclass."""
    return hasattr(type(value), "__dataclass_fields__")


def opened(structure: Any) -> Any:
    """``structure`` with a `Record` for each instance of a dataclass."""
    return mapped(_opened, structure)


def _opened(leaf: Any) -> Any:
    if not is_dataclass(leaf):
        return leaf
    names = vars(leaf) if hasattr(leaf, "__dict__") else (f.name for f in dataclasses.fields(leaf))
    return Record(type(leaf), {name: opened(getattr(leaf, name)) for name in names})


def closed(structure: Any) -> Any:
    """``structure`` with an instance of a dataclass for each `Record`: undoes `opened`."""
    if not isinstance(structure, tuple | list | dict):
        return structure
    if type(structure) is Record:
        instance = object.__new__(structure.kind)
        for name, part in structure.parts.items():
            object.__setattr__(instance, name, closed(part))  # a frozen one has no other way
        return instance
    old = list(structure.values() if isinstance(structure, dict) else structure)
    new = list(map(closed, old))
    return structure if all(map(operator.is_, old, new)) else rebuilt(structure, new)
