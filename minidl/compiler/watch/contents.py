"""Reads of contents: elements, lengths, membership and iteration of containers and arrays."""

from __future__ import annotations

import operator
from collections import defaultdict, deque
from gc import get_referents
from itertools import groupby
from types import (
    FunctionType,
    GeneratorType,
    MappingProxyType,
    SimpleNamespace,
)
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.structure import mapped
from minidl.compiler.symbolic import Number, decided
from minidl.compiler.watch.attributes import HEAP_TYPE
from minidl.compiler.watch.guards import (
    IMMUTABLE,
    MISSING,
    is_plain,
    own_attributes,
    static_attribute,
    text_of,
)

_MOST_BYTES = 1 << 16
"""NumPy arrays up to this size are compared before each replay; larger ones are refused."""

_COMPARED = (tuple, list, set, frozenset)
_GROUP = type(next(groupby("a"))[1])
_SEQUENCES = (list, deque)
VIEWS = (type({}.keys()), type({}.values()), type({}.items()))
CONTAINERS = (list, dict, set, deque, MappingProxyType, *VIEWS)


class ContentReads:
    """The part of a `Watch` that guards what containers and arrays hold."""

    # ----------------------------------------------------------------- items

    def item(self, owner: Any, key: Any) -> Any:
        """``owner[key]``, guarded."""
        kind = type(owner)
        if isinstance(owner, TensorBase):
            self.recorder.register(owner)
            return owner[self.deep(key)]
        if type(key) is Number:
            key = key.settle("an index")
        elif type(key) is slice:
            key = self.plain_slice(key)
        if kind in IMMUTABLE or (isinstance(owner, type) and kind is type):
            return owner[key]
        method = self.special_method(owner, "__getitem__")
        if type(method) is FunctionType:
            return self.call(method, (owner, key), {})
        if isinstance(owner, tuple):
            return owner[key]
        if isinstance(owner, dict | MappingProxyType):
            return self.dict_item(owner, self.by_identity(key))
        if isinstance(owner, _SEQUENCES):
            return self.list_item(owner, key)
        if is_array(owner):
            self.content(owner)
            return owner[key]
        if self.is_inside(owner) or isinstance(owner, type):
            return owner[key]
        raise self.unwatchable(owner, "elements")

    def plain_slice(self, key: slice) -> slice:
        """A slice of plain numbers."""
        parts = (key.start, key.stop, key.step)
        return slice(*(p.settle("an index") if type(p) is Number else p for p in parts))

    def dict_item(self, owner: Any, key: Any) -> Any:
        """An element of a dict, guarded, or what the dict makes of a missing key."""
        kind = type(owner)
        if key not in owner:
            self.guard_item_absent(owner, key)
            method = static_attribute(kind, "__missing__")
            if type(method) is FunctionType:
                self.guard_class(kind, "__missing__", method)
                return self.call(method, (owner, key), {})
            if isinstance(owner, defaultdict) and owner.default_factory is not None:
                value = self.call(owner.default_factory, (), {})
                self.set_item(owner, key, value)
                return value
            return owner[key]  # raises
        return self.note_item(owner, key, owner[key])

    def list_item(self, owner: Any, key: Any) -> Any:
        """An element or a slice of a list, guarded."""
        if type(key) is slice:
            self.content(owner)
            return self.make_inside(owner[key])
        if id(owner) in self.snapshots and not self.is_inside(owner):
            self.content(owner)
            return owner[key]
        try:
            value = owner[key]
        except IndexError:
            self.content(owner)
            raise
        return self.note_item(owner, key, value)

    def note_item(self, owner: Any, key: Any, value: Any) -> Any:
        """Guard an element of a container from outside."""
        if self.is_inside(owner):
            return value
        if ("item", id(owner), hashable(key)) in self.written:
            return self.overlaid(("item", id(owner), hashable(key)), value)
        if id(owner) in self.snapshots and isinstance(owner, _SEQUENCES):
            self.content(owner)
            return value
        where = ("item", id(owner), hashable(key))
        dynamic = self.dynamic_read(where, value, owner, key, item=True)
        if dynamic is not None:
            return dynamic
        const, index = self.guards.constant(owner), self.key_text(key)
        if isinstance(owner, dict) and type(owner) is not dict:
            read = f"dict_get({const}, {index}, MISSING)"  # a defaultdict would make one
        else:
            read = f"{const}[{index}]"
        self.guard(where, read, value, f"element {text_of(key)} of {self.name_of(owner)}")
        return value

    def guard_item_absent(self, owner: Any, key: Any) -> None:
        """Guard that a dict does not have a key."""
        where = ("item", id(owner), hashable(key))
        if self.is_inside(owner) or where in self.written:
            return
        test = f"{self.key_text(key)} not in {self.guards.constant(owner)}"
        self.guard_test(where, test, f"element {text_of(key)} of {self.name_of(owner)}")

    def key_text(self, key: Any) -> str:
        """The text of a key in a guard."""
        return repr(key) if type(key) in (int, str, bool) else self.guards.constant(key)

    # ----------------------------------------------------------------- contents

    def content(self, owner: Any) -> Any:
        """Guard all elements of a container; returns it."""
        kind = type(owner)
        if kind in IMMUTABLE or isinstance(owner, tuple | TensorBase) or self.is_inside(owner):
            return owner
        if isinstance(owner, VIEWS):
            self.content(owner.mapping)
            return owner
        self.guard_renewed(owner)
        key = ("content", id(owner), "")
        if key in self.guards.all:
            return owner
        test = self._content_test(owner)
        if test is None:
            return owner
        self.guard_test(key, test, f"the contents of {self.name_of(owner)}", value=owner)
        return owner

    def _content_test(self, owner: Any) -> str | None:
        const = self.guards.constant(owner)
        if isinstance(owner, MappingProxyType):
            owner = dict(owner)
        if isinstance(owner, dict):
            before = self.snapshots.get(id(owner), (owner, owner))[1]
            if not before:
                return f"not {const}"
            keys = self.guards.constant(list(before))
            return f"same_mapping({const}, {keys}, {self.guards.constant(list(before.values()))})"
        if isinstance(owner, list | deque | set | frozenset):
            before = self.snapshots.get(id(owner), (owner, owner))[1]
            if not before:
                return f"not {const}"
            return f"same_items({const}, {self.guards.constant(list(before))})"
        if is_array(owner):
            return self._array_test(owner, const)
        return None

    def _array_test(self, array: Any, const: str) -> str:
        if self.recorder.is_tensor_memory(array):
            self.recorder.read(None, "NumPy")
        if array.dtype.hasobject:
            raise self.unwatchable(array, "elements")
        if type(array) is not np.ndarray or array.nbytes > _MOST_BYTES:
            raise CaptureError(
                f"{self.line()}: an array of {array.dtype}{list(array.shape)} is too large to be "
                "compared before each replay: make a tensor of it outside the step"
            )
        self.recorder.add_constant(array)
        return f"same_array({const}, {self.guards.constant(array.copy())})"

    def deep(self, value: Any, depth: int = 0) -> Any:
        """Guard all that a nested value holds, for trusted code looks at it; returns it."""
        if type(value) is Number:
            return value.settle("an argument")
        if isinstance(value, TensorBase):
            self.recorder.register(value)
            return value
        if is_plain(value) or depth > 50:
            return value
        if is_array(value):
            if not self.recorder.is_accounted(value):
                self.content(value)
            return value
        if isinstance(value, slice):
            return self.plain_slice(value)
        if isinstance(value, tuple | list | dict | set | frozenset | deque | MappingProxyType):
            self.content(value)
            if isinstance(value, dict):
                for part in value.values():
                    self.deep(part, depth + 1)
                return value
            parts = [self.deep(part, depth + 1) for part in value]
            if type(value) in (tuple, list) and any(map(is_number, value)):
                return self.make_inside(type(value)(parts))
        elif isinstance(value, SimpleNamespace | BaseException):
            self.deep(self.attribute(value, "__dict__"), depth + 1)
            if isinstance(value, BaseException):
                self.deep(self.attribute(value, "args"), depth + 1)
        elif isinstance(value, bytearray | memoryview):
            raise self.unwatchable(value, "elements")
        return value

    def length(self, owner: Any) -> int:
        """``len(owner)``, guarded."""
        kind = type(owner)
        if isinstance(owner, TensorBase):
            self.shape_of(owner)
            return len(owner)
        method = self.special_method(owner, "__len__")
        if type(method) is FunctionType:
            return self.call(method, (owner,), {})
        size = len(owner)
        if kind in IMMUTABLE or isinstance(owner, tuple) or self.is_inside(owner):
            return size
        if isinstance(owner, TensorBase):
            self.deep(owner)
        elif id(owner) in self.snapshots or isinstance(owner, VIEWS):
            self.content(owner)
        elif isinstance(owner, list | dict | set | deque | MappingProxyType):
            if self.guard_renewed_length(owner):
                return size
            const = self.guards.constant(owner)
            what = f"the length of {self.name_of(owner)}"
            if not size:
                self.guard_test(("length", id(owner), ""), f"not {const}", what, value=owner)
                return size
            self.guard(("length", id(owner), ""), f"len({const})", size, what)
        elif is_array(owner):
            self.content(owner)
        else:
            raise self.unwatchable(owner, "the length")
        return size

    def truth(self, value: Any) -> bool:
        """``bool(value)``, guarded."""
        kind = type(value)
        if kind is bool:
            return value
        if kind in IMMUTABLE or kind is Number or isinstance(value, TensorBase | tuple | type):
            return bool(value)
        for name in ("__bool__", "__len__"):
            method = static_attribute(kind, name)
            if type(method) is FunctionType:
                self.guard_type(value)
                self.guard_class(kind, name, method)
                return bool(self.call(method, (value,), {}))
            if method is not MISSING:
                break
            if kind.__flags__ & HEAP_TYPE:  # a class of Python's, to which one may be added
                self.guard_class(kind, name, MISSING)
        else:
            return True
        if isinstance(value, CONTAINERS):
            return self.length(value) > 0
        if is_array(value):
            self.content(value)
        return bool(value)

    def contains(self, owner: Any, value: Any) -> bool:
        """``value in owner``, guarded."""
        kind = type(owner)
        method = self.special_method(owner, "__contains__")
        if type(method) is FunctionType and not isinstance(owner, TensorBase):
            return bool(self.call(method, (owner, value), {}))
        if method is MISSING and type(static_attribute(kind, "__iter__")) is FunctionType:
            return any(item is value or item == value for item in self.iterate(owner))
        renewed = self.renewed_items(owner)
        if renewed is not None:
            return any(self.compare("==", item, value) for item in renewed)
        if type(value) is Number:
            if _holds_plain(owner) and id(owner) not in self.snapshots:
                items = owner if kind in IMMUTABLE else tuple(self.iterate(owner))
                return decided(self, operator.contains, (items, value))
            value = value.settle("in")
        self.by_identity(value)
        if isinstance(owner, dict | set | MappingProxyType) and not self.is_inside(owner):
            found = value in owner
            where = ("item", id(owner), hashable(value))
            if id(owner) in self.snapshots:
                self.content(owner)
            elif where not in self.written:
                self.guard_membership(owner, value, found)
            return found
        if isinstance(owner, TensorBase):
            self.deep(owner)
        else:
            self.iterate(owner)
        return value in owner

    def guard_membership(self, owner: Any, value: Any, found: bool) -> None:
        """Guard whether a dict or a set has a key."""
        text = f"{self.key_text(value)} {'' if found else 'not '}in {self.guards.constant(owner)}"
        key = ("member", id(owner), hashable(value))
        self.guard_test(key, text, f"whether {self.name_of(owner)} has {text_of(value)}")

    def iterate(self, owner: Any) -> Any:
        """``owner`` as something to iterate over, its elements guarded."""
        kind = type(owner)
        if kind in IMMUTABLE or isinstance(owner, tuple):
            return owner
        if isinstance(owner, TensorBase):
            self.recorder.register(owner)
            return owner
        renewed = self.renewed_items(owner)
        if renewed is not None:
            return renewed
        if isinstance(owner, CONTAINERS):
            method = static_attribute(kind, "__iter__")
            if type(method) is not FunctionType:
                return self.content(owner)
        if kind is GeneratorType:
            if self.is_instrumented(owner.gi_code) or self.is_inside(owner):
                return owner
            raise self.unwatchable(owner, "what is left of it")
        if kind is _GROUP and any(self.is_inside(part) for part in get_referents(owner)):
            return owner
        method = self.special_method(owner, "__iter__")
        if type(method) is FunctionType:
            made = self.call(method, (owner,), {})
            if type(static_attribute(type(made), "__next__")) is FunctionType:
                return Steps(self, made)
            return self.iterate(made)
        if is_array(owner):
            return self.content(owner)
        step = static_attribute(kind, "__next__")
        if type(step) is FunctionType:
            return Steps(self, owner)
        if self.is_inside(owner):
            return owner
        if method is MISSING and static_attribute(kind, "__getitem__") is not MISSING:
            return self._indexed(owner)
        raise self.unwatchable(owner, "what is left of it" if step is not MISSING else "elements")

    def iterate_mapping(self, owner: Any) -> Any:
        """``owner`` as a mapping for ``**``, its items guarded."""
        if (
            isinstance(owner, dict)
            and type(static_attribute(type(owner), "keys")) is not FunctionType
        ):
            return self.content(owner)
        if isinstance(owner, MappingProxyType):
            return self.content(owner)
        if is_plain(owner):
            return owner  # Python raises
        keys = self.call(self.attribute(owner, "keys"), (), {})
        return {key: self.item(owner, key) for key in self.iterate(keys)}

    def _indexed(self, owner: Any) -> Any:
        index = 0
        while True:
            try:
                value = self.item(owner, index)
            except IndexError:
                return
            yield value
            index += 1

    def read_all(self, subject: Any) -> Any:
        """Guard all that a pattern may look at."""
        if is_plain(subject):
            return subject
        subject = mapped(lambda leaf: leaf.settle("a case") if is_number(leaf) else leaf, subject)
        self.deep(subject)
        if not isinstance(subject, tuple | list | dict | set | TensorBase):
            kind = type(subject)
            names = list(own_attributes(subject) or ()) + list(getattr(kind, "__match_args__", ()))
            for name in dict.fromkeys(names):
                self.deep(self.attribute(subject, name))
        return subject


class Steps:
    """The steps of an iterator of Python's, each watched, for C's code that loops over them.

    The iterator has begun. It begins again where C's code asks for an iterator twice, as it does
    for ``first, *rest = values``.
    """

    def __init__(self, watch: Any, owner: Any):
        self.watch, self.owner, self.asked = watch, owner, False

    def __iter__(self) -> Any:
        if self.asked:
            return iter(self.watch.iterate(self.owner))
        self.asked = True
        return self

    def __next__(self) -> Any:
        step = self.watch.special_method(self.owner, "__next__")
        return self.watch.call(step, (self.owner,), {})


def hashable(key: Any) -> Any:
    """A key as a part of a guard's key."""
    try:
        hash(key)
    except TypeError:
        return ("unhashable", id(key))
    return (type(key), key) if is_plain(key) else ("object", id(key))


def _holds_plain(owner: Any) -> bool:
    """Whether an object is a sequence or set, of Python's own class, of plain values."""
    kind = type(owner)
    return kind is range or (kind in _COMPARED and all(map(is_plain, owner)))


def is_number(value: Any) -> bool:
    """Whether a value is a `Number`."""
    return type(value) is Number


def same_array(now: Any, before: Any) -> bool:
    """Compare an array with what it was, to the last bit."""
    return (
        now.shape == before.shape
        and now.dtype == before.dtype
        and now.tobytes() == before.tobytes()
    )
