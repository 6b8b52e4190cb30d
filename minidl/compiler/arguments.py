"""Arguments of a call: their tensors, and a key of everything else that decides on the plan."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection
from types import MethodType
from typing import Any

import numpy as np

from minidl.autograd import Leaf, TensorBase, is_grad_enabled
from minidl.backend import Device, get_default_device, get_default_dtype, is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.structure import Record, closed, is_dataclass, mapped, opened
from minidl.compiler.watch.guards import is_plain
from minidl.kernels import active_sets
from minidl.random import current_generator


class Arguments:
    """The arguments of one call, taken apart.

    Parameters
    ----------
    args, kwargs
        The arguments.
    dynamic : dict, optional
        The positions of numbers that are inputs, and their types: their values are not in the key.
    graphs : bool
        Whether a tensor may be the result of a graph; otherwise that is a CaptureError.
    by_identity : collection of type
        Dataclasses whose instances are objects like others, and not containers.

    Attributes
    ----------
    tensors : list of Tensor
        The tensors among them.
    leaves : list
        All that is not a container.
    key : tuple
        Structure, types, layouts, values of what is plain, and the modes of the thread.
    containers, objects : list
        The containers among them, and what is neither a tensor nor plain.
    attributes : list
        The attributes of containers, as parts of the key.
    """

    __slots__ = (
        "attributes", "by_identity", "containers", "graphs", "key", "leaves", "objects", "tensors",
    )  # fmt: skip

    def __init__(
        self,
        args: tuple,
        kwargs: dict,
        dynamic: dict[int, type] | None = None,
        graphs: bool = False,
        by_identity: Collection[type] = (),
    ):
        self.graphs, self.by_identity = graphs, by_identity
        self.tensors: list[Any] = []
        self.leaves: list[Any] = []
        self.containers: list[Any] = []
        self.objects: list[Any] = []
        self.attributes: list[Any] = []
        parts: list[Any] = []
        for arg in args:
            if isinstance(arg, TensorBase):
                self._take_tensor(arg, parts)
            else:
                self._take(arg, parts, dynamic)
        for name, arg in kwargs.items():
            parts.append(name)
            self._take(arg, parts, dynamic)
        tensors = self.tensors
        if len(tensors) > 1:
            places = {id(tensor.array): i for i, tensor in enumerate(tensors)}
            if len(places) < len(tensors):
                parts.append(tuple(places[id(tensor.array)] for tensor in tensors))
                same = {id(tensor): i for i, tensor in enumerate(tensors)}
                parts.append(tuple(same[id(tensor)] for tensor in tensors))
        parts += self.attributes
        parts += (
            is_grad_enabled(),
            id(current_generator()),
            get_default_dtype(),
            get_default_device(),
            active_sets(),
        )
        self.key = tuple(parts)

    def _take(self, arg: Any, parts: list, dynamic: dict[int, type] | None) -> None:
        if isinstance(arg, TensorBase):
            self._take_tensor(arg, parts)
            return
        kind = arg.__class__
        if isinstance(arg, tuple | list | dict):
            self._take_container(arg, parts, dynamic)
        elif is_dataclass(arg) and kind is not Device and kind not in self.by_identity:
            self.containers.append(arg)
            self._take_container(opened(arg), parts, dynamic)
        elif dynamic and dynamic.get(len(self.leaves)) is kind:
            self.leaves.append(arg)
            parts.append(kind)
        elif is_plain(arg):
            self.leaves.append(arg)
            parts.append((kind, _plain_key(arg)))
        elif is_array(arg) or isinstance(arg, set):
            raise CaptureError(
                "the arguments of a compiled step are tensors, numbers, strings, objects, and "
                f"tuples, lists, dicts or dataclasses of these; got a {kind.__name__}"
            )
        else:
            self.leaves.append(arg)
            self.objects.append(arg)
            parts.append(_object_key(arg))

    def _take_tensor(self, tensor: Any, parts: list) -> None:
        self.leaves.append(tensor)
        self.tensors.append(tensor)
        array, place = tensor.array, tensor.place
        kind = type(tensor)
        if kind.__dictoffset__:  # a class of the program's
            kind = (kind, *_attribute_keys(tensor))
        if place is None:
            grad = tensor.grad is None
            parts.append((array.shape, array.dtype.char, array.strides, type(array), kind, grad))
            return
        is_leaf = isinstance(place, Leaf)
        if not self.graphs and not is_leaf and place.node.args is not None:
            raise CaptureError(
                f"argument {len(self.leaves) - 1} is the result of {place.node.op.name}, whose "
                "graph a replayed step could not continue: pass detach() of it, or compile the "
                "module and not the step"
            )
        fact = (kind, tensor.grad is None, bool(getattr(place, "hooks", None)), is_leaf)
        parts.append((array.shape, array.dtype.char, array.strides, type(array), fact))

    def _take_container(self, arg: Any, parts: list, dynamic: dict[int, type] | None) -> None:
        self.containers.append(arg)
        if type(arg) is Record:
            parts.append((arg.kind, tuple(arg.parts)))
            values = arg.parts.values()
        elif isinstance(arg, dict):
            parts.append((type(arg), tuple(map(_key_of_a_dict, arg))))
            values = arg.values()
        else:
            parts.append((type(arg), len(arg)))
            values = arg
        if type(arg) not in _PLAIN_CONTAINERS:
            self.attributes += _attribute_keys(arg)
        for value in values:
            self._take(value, parts, dynamic)


_PLAIN_CONTAINERS = (tuple, list, dict, Record)


class Same:
    """An object that is compared by identity, and kept alive: in a key, or leaving a step."""

    __slots__ = ("thing",)

    def __init__(self, thing: Any):
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return type(other) is Same and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _object_key(value: Any) -> Any:
    """An argument that is neither a tensor nor plain as a part of a key: its identity.

    Equal are also ranges and NumPy's numbers of the same values, and methods of one object.
    """
    kind = type(value)
    if kind is range:
        return kind, value.start, value.stop, value.step
    if isinstance(value, np.generic) and not value.dtype.hasobject:
        return kind, value.dtype, value.tobytes()
    if kind is MethodType:
        return kind, Same(value.__func__), Same(value.__self__)
    return kind, Same(value)


def _attribute_keys(value: Any) -> list:
    """The attributes of an instance of a subclass of a container, or of a tensor, as keys."""
    own = getattr(value, "__dict__", {})
    keys = [(name, _part_key(part)) for name, part in own.items()]
    if isinstance(value, defaultdict):
        keys.append(Same(value.default_factory))
    return keys


def _part_key(value: Any) -> Any:
    return (type(value), _plain_key(value)) if is_plain(value) else _object_key(value)


def _key_of_a_dict(key: Any) -> Any:
    return key if type(key) is str else _part_key(key)


def _plain_key(value: Any) -> Any:
    """A plain value as a part of a key: equal only if it is the same to the last bit."""
    kind = type(value)
    if kind is float:
        return value.hex()
    if kind is complex:
        return value.real.hex(), value.imag.hex()
    if kind is slice:
        return tuple(map(_plain_key, (value.start, value.stop, value.step)))
    if kind is tuple or kind is frozenset:  # of a set also the order, which loops see
        return tuple((type(part), _plain_key(part)) for part in value)
    return value


def with_leaves(
    structure: Any, replace: Callable[[int, Any], Any], by_identity: Collection[type]
) -> Any:
    """``structure`` with ``replace(i, leaf)`` for leaf ``i``, in the order of `Arguments`."""
    counter = iter(range(1 << 60))

    def leaf_replaced(part: Any) -> Any:
        is_container = is_dataclass(part) and type(part) not in (Device, *by_identity)
        if is_container and not isinstance(part, TensorBase):
            values = {name: getattr(part, name) for name in opened(part).parts}
            new = mapped(leaf_replaced, values)
            return part if new is values else closed(Record(type(part), new))
        return replace(next(counter), part)

    return mapped(leaf_replaced, structure)
