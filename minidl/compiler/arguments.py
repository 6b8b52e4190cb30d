"""Arguments and results of a compiled module: what a call is known by, and what is made again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, is_grad_enabled
from minidl.backend import device_of, get_default_device, get_default_dtype
from minidl.kernels import active_sets
from minidl.random import current_generator

_PLAIN = (type(None), bool, int, str, bytes, type(...))


def described(args: tuple, kwargs: dict) -> tuple[list, Any] | None:
    """The tensors among the arguments, and a key of all else that decides on the plan.

    None if there are arguments that are neither compared nor known by their identity.
    """
    tensors: list = []
    key: list = [
        is_grad_enabled(),
        id(current_generator()),
        get_default_dtype(),
        get_default_device(),
        active_sets(),
    ]
    if not (_describe(args, tensors, key) and _describe(kwargs, tensors, key)):
        return None
    if len(tensors) > 1:
        places = {id(tensor.array): i for i, tensor in enumerate(tensors)}
        if len(places) < len(tensors):
            same = {id(tensor): i for i, tensor in enumerate(tensors)}
            key += [(places[id(tensor.array)], same[id(tensor)]) for tensor in tensors]
    return tensors, tuple(key)


def _describe(part: Any, tensors: list, key: list) -> bool:
    """Add an argument to the tensors and the key; whether that can be."""
    kind = type(part)
    if isinstance(part, TensorBase):
        array = part.array
        place = None if type(array) is np.ndarray else device_of(array)
        layout = array.shape, array.dtype.char, array.strides
        key.append((kind, *layout, place, part.place is None))
        tensors.append(part)
    elif kind in _PLAIN or isinstance(part, np.dtype):
        key.append((kind, part))
    elif kind is float:
        key.append((kind, part.hex()))  # 0.0 and -0.0 are two numbers
    elif is_container(part):
        key.append((kind, tuple(part) if isinstance(part, dict) else len(part)))
        parts = part.values() if isinstance(part, dict) else part
        return all(_describe(each, tensors, key) for each in parts)
    elif kind.__eq__ is object.__eq__:
        key.append((kind, part))
    else:
        return False
    return True


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
