"""Writes to outside state: performed in the captured run, and again in each replay.

A write is noted with the value that the run wrote. At the end of the run the notes become calls
at the end of the trace; tensors among the values are those that the replay computes. What
cannot be written again (an object that the run made) is refused.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import TensorBase
from minidl.backend import Device
from minidl.compiler.arguments import Same
from minidl.compiler.errors import CaptureError
from minidl.compiler.outputs import Copied, Existing, GivenContainer, LateWrite
from minidl.compiler.structure import (
    Record,
    is_dataclass,
    leaves,
    mapped,
    opened,
    rebuilt,
)
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import Call, Value
from minidl.compiler.watch.contents import hashable
from minidl.compiler.watch.guards import MISSING, is_plain, own_attributes, same, static_attribute


class Write(NamedTuple):
    """A write to an outside object."""

    function: Callable
    owner: Any
    args: tuple
    line: str
    where: tuple
    before: Any


class Writes:
    """The part of a `Watch` that performs and notes what is written."""

    # ----------------------------------------------------------------- names

    def overlaid(self, where: tuple, value: Any) -> Any:
        """What the run has written: the `Number`, where a plain number was put in its place."""
        written = self.written[where]
        return written if type(written) is Number else value

    def wrote_global(self, space: dict, name: str, value: Any) -> None:
        """Note that a global was assigned."""
        space[name] = self.kept(space, value)
        self._note(dict.__setitem__, space, (name, value), ("item", id(space), (str, name)))

    def deleted_global(self, space: dict, name: str) -> None:
        """Note that a global was deleted."""
        self._note(dict.__delitem__, space, (name,), ("item", id(space), (str, name)))

    def wrote_free(self, cell: Any, value: Any) -> None:
        """Note that a variable of an enclosing function was assigned."""
        cell.cell_contents = self.kept(cell, value)
        self._note(set_cell, cell, (value,), ("variable", id(cell), ""))

    # ----------------------------------------------------------------- attributes

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        """``owner.name = value``."""
        kind = type(owner)
        if isinstance(owner, TensorBase):
            self.set_tensor_attribute(owner, name, value)
            return
        method = static_attribute(kind, "__setattr__")
        original = self.step_of(owner)
        if original is not None:
            self.set_attribute(original, name, value)
            return
        if type(method) is FunctionType:
            self.guard_class(kind, "__setattr__", method)
            self.call(method, (owner, name, value), {})
            return
        found = static_attribute(kind, name)
        if type(found) is property and type(found.fset) is FunctionType:
            self.guard_class(kind, name, found)
            self.call(found.fset, (owner, value), {})
            return
        setter = MISSING if found is MISSING else static_attribute(type(found), "__set__")
        if type(setter) is FunctionType:
            self.guard_class(kind, name, found)
            self.call(setter, (found, owner, value), {})
            return
        self.store_attribute(owner, name, value)

    def store_attribute(self, owner: Any, name: str, value: Any) -> None:
        """Put a value into an attribute, past ``__setattr__``."""
        where = ("attribute", id(owner), name)
        before = self._peek(owner, name)
        method = static_attribute(type(owner), "__setattr__")
        plain = type(method) is FunctionType or method is object.__setattr__
        function = object.__setattr__ if plain else setattr  # classes, modules, thread's locals
        function(owner, name, self.kept(owner, value))
        self._note(function, owner, (name, value), where, before)

    def delete_attribute(self, owner: Any, name: str) -> None:
        """``del owner.name``."""
        method = static_attribute(type(owner), "__delattr__")
        if type(method) is FunctionType:
            self.guard_class(type(owner), "__delattr__", method)
            self.call(method, (owner, name), {})
            return
        self.remove_attribute(owner, name)

    def remove_attribute(self, owner: Any, name: str) -> None:
        """Delete an attribute, past ``__delattr__``."""
        where = ("attribute", id(owner), name)
        before = self._peek(owner, name)
        if before is MISSING:
            self.guard_absent(owner, name)
        elif where not in self.written:
            self.attribute(owner, name)
        function = delattr if isinstance(owner, type | ModuleType) else object.__delattr__
        function(owner, name)
        self._note(function, owner, (name,), where, before)

    def _peek(self, owner: Any, name: str) -> Any:
        own = own_attributes(owner)
        if own is not None and name in own:
            return own[name]
        found = static_attribute(type(owner), name)
        if type(found).__name__ == "member_descriptor":
            return getattr(owner, name, MISSING)
        return MISSING

    def set_tensor_attribute(self, tensor: Any, name: str, value: Any) -> None:
        """``tensor.name = value``."""
        self.recorder.register(tensor)
        if name == "grad":
            self.recorder.overwrites(tensor)
            if isinstance(value, TensorBase):
                self.recorder.register(value)
            tensor.grad = value
        elif name == "requires_grad":
            self.require_grad(tensor, self.plain(value))
        elif name == "data" and self.is_outside_tensor(tensor):
            self._set_data(tensor, value)
        elif name in ("array", "version", "view_version", "place"):
            if not self.is_own_line():
                self.recorder.read(tensor, f".{name} =")
            setattr(tensor, name, value)
        elif hasattr(tensor, "__dict__"):
            self.store_attribute(tensor, name, value)
        else:
            setattr(tensor, name, value)

    def _set_data(self, tensor: Any, value: Any) -> None:
        if not isinstance(value, TensorBase):
            tensor.data = value  # raises
        self.recorder.register(value)
        before = tensor.array
        self.guard_array(tensor)
        self.guard_place(tensor)
        tensor.data = value
        if value.array is not before:
            where = ("tensor", id(tensor), "array")
            self._note(set_data, tensor, (value,), where, MISSING)

    def require_grad(self, tensor: Any, value: bool = True) -> Any:
        """``tensor.requires_grad_(value)``, again in each replay if it is from outside."""
        if self.is_outside_tensor(tensor):
            self.guard_place(tensor)
            where = ("tensor", id(tensor), "requires_grad")
            before = tensor.place is not None
            tensor.requires_grad_(value)
            self._note(set_requires_grad, tensor, (value,), where, before)
        else:
            tensor.requires_grad_(value)
        return tensor

    # ----------------------------------------------------------------- items

    def set_item(self, owner: Any, key: Any, value: Any) -> None:
        """``owner[key] = value``."""
        kind = type(owner)
        if isinstance(owner, TensorBase):
            self.recorder.register(owner)
            owner[self.deep(key)] = self.deep_tensor(value)
            return
        key = self.plain_key(key)
        method = static_attribute(kind, "__setitem__")
        if type(method) is FunctionType:
            self.guard_class(kind, "__setitem__", method)
            self.call(method, (owner, key, value), {})
            return
        if isinstance(owner, dict) and not self.is_inside(owner):
            self.snapshot(owner)
            where = ("item", id(owner), hashable(key))
            before = dict.get(owner, key, MISSING)
            dict.__setitem__(owner, key, self.kept(owner, value))
            self._note(dict.__setitem__, owner, (key, value), where, before)
        elif isinstance(owner, list | deque) and not self.is_inside(owner):
            self.mutate(kind.__setitem__, owner, (key, value))
        elif self.is_inside(owner) or isinstance(owner, dict | list | deque):
            owner[key] = value
        elif isinstance(owner, np.ndarray):
            raise CaptureError(
                f"{self.line()}: the step writes into a NumPy array, which a replay would not: "
                "make it a tensor"
            )
        else:
            raise self.unwatchable(owner, "elements")

    def plain_key(self, key: Any) -> Any:
        """A key without a `Number`."""
        if type(key) is Number:
            return key.settle("an index")
        self.by_identity(key)
        return self.plain_slice(key) if type(key) is slice else key

    def delete_item(self, owner: Any, key: Any) -> None:
        """``del owner[key]``."""
        kind = type(owner)
        key = self.plain_key(key)
        method = static_attribute(kind, "__delitem__")
        if type(method) is FunctionType:
            self.guard_class(kind, "__delitem__", method)
            self.call(method, (owner, key), {})
        elif self.is_inside(owner):
            del owner[key]
        elif isinstance(owner, dict):
            self.snapshot(owner)
            where = ("item", id(owner), hashable(key))
            if key not in owner:
                self.guard_item_absent(owner, key)
            before = owner[key]
            del owner[key]
            self._note(dict.__delitem__, owner, (key,), where, before)
        elif isinstance(owner, list | deque):
            self.mutate(kind.__delitem__, owner, (key,))
        else:
            raise self.unwatchable(owner, "elements")

    def mutate(self, method: Callable, owner: Any, args: tuple, kwargs: dict | None = None) -> Any:
        """Call a method that changes a list, set, deque or dict from outside."""
        if kwargs:
            raise CaptureError(
                f"{self.line()}: {method.__name__}() with keywords changes "
                f"{self.name_of(owner)}, which is from outside the step, and cannot be replayed"
            )
        silent = method.__name__ in _ADDS
        self.snapshot(owner)
        if not silent:
            self.content(owner)
        result = method(owner, *(self.kept(owner, arg) for arg in args))
        try:
            self._note(method, owner, args, ("content", id(owner), ""))
        except CaptureError as error:  # it has been changed, and must not be again
            self.give_up(error)
        return result

    def snapshot(self, owner: Any) -> None:
        """Keep what a container held before it was changed."""
        if id(owner) not in self.snapshots:
            self.snapshots[id(owner)] = (owner, _copy_of(owner))

    def kept(self, owner: Any, value: Any) -> Any:
        """A value as it is put into an object: one from outside gets no `Number`."""
        if self.is_inside(owner):
            return value
        return mapped(lambda leaf: leaf.value if type(leaf) is Number else leaf, value)

    # ----------------------------------------------------------------- notes

    def _note(
        self, function: Callable, owner: Any, args: tuple, where: tuple, before: Any = MISSING
    ) -> None:
        """Have a replay make a write, where the run made it if its values are known by now."""
        if self.is_inside(owner):
            return
        if self._changes_nothing(owner, args, where, before):
            return
        self.written[where] = args[-1] if args else None
        write = Write(function, owner, args, self.line(), where, before)
        self.writes.append(write)
        if _place(owner) not in self.deferred and all(map(self._is_settled, args)):
            self._append(write, args)
        else:
            self.deferred.setdefault(_place(owner), []).append(write)

    def _changes_nothing(self, owner: Any, args: tuple, where: tuple, before: Any) -> bool:
        """Whether an attribute keeps the value that it had, which then only needs a guard."""
        if where[0] != "attribute" or where in self.written or before is MISSING or len(args) != 2:
            return False
        if type(args[1]) is Number or not same(args[1], before) or isinstance(owner, type):
            return False
        what = f"{self.name_of(owner)}.{where[2]}"
        self.guards.add_attribute(owner, where[2], before, what, self.line())
        return True

    def _is_settled(self, value: Any) -> bool:
        """Whether a value is the same at the end of the run as it is now."""
        return (
            type(value) is Number
            or is_plain(value)
            or (
                not isinstance(value, TensorBase | list | dict | tuple | set | deque)
                and self._is_outsides(value)
            )
        )

    def _append(self, write: Write, args: tuple) -> None:
        exported = tuple(self.exported(arg, write.line) for arg in args)
        function = write_to(write.function, write.owner)
        call = Call("write", function, exported, {}, True, write.line)
        self.recorder.trace.calls.append(call)

    def late_writes(self) -> list[list]:
        """Note the writes whose values are known only now in the trace; their arguments."""
        deferred = {id(write) for writes in self.deferred.values() for write in writes}
        late = [write for write in self.writes if id(write) in deferred]
        noted = [LateWrite(write.function, write.owner, write.line) for write in late]
        self.recorder.trace.writes[:] = noted
        return [[self.exported(arg, write.line) for arg in write.args] for write in late]

    def check_deferred(self, reached: dict[int, Any]) -> None:
        """CaptureError if a live call depends on a write that a replay makes only at its end."""
        for owner in self.deferred:
            if owner in reached:
                line = self.deferred[owner][0].line
                raise CaptureError(
                    f"{line}: what is assigned here is used by a call that each replay makes "
                    "again (an optimizer's or a schedule's) before the step ends: assign it "
                    "outside the step"
                )

    def exported(self, value: Any, line: str) -> Any:
        """What stands in the trace for a value that leaves the step: once for each object."""
        known = self.exports.get(id(value))
        if known is not None:
            return known[1]
        made = self._exported_part(value, line)
        if not is_plain(value):
            self.exports[id(value)] = value, made
        return made

    def _exported_part(self, value: Any, line: str) -> Any:
        if id(value) in self.containers:
            return GivenContainer(self.containers[id(value)])
        renewed = self.renewed_items(value)
        value = value if renewed is None else renewed
        if isinstance(value, tuple | list | dict):
            if not isinstance(value, tuple) and self._is_outsides(value):
                return Same(value)
            parts = value.values() if isinstance(value, dict) else value
            return rebuilt(value, [self.exported(part, line) for part in parts])
        if is_dataclass(value) and type(value) is not Device:
            if self._is_outsides(value):
                return Same(value)
            parts = {name: getattr(value, name) for name in opened(value).parts}
            return Record(type(value), {k: self.exported(v, line) for k, v in parts.items()})
        self._check_containers(value, line)
        return self._exported(value, line)

    def _is_outsides(self, value: Any) -> bool:
        """Whether a value is an object from outside, which leaves the step as it is."""
        if self.is_inside(value):
            return False
        return id(value) in self.read or self.is_given(value)

    def _exported_tensor(self, leaf: Any) -> Any:
        if id(leaf) in self.replaced:
            return Existing(self.by_identity(leaf))
        value = self.recorder.returned(leaf)
        if self.as_values or type(leaf) is Number or value.call is not None:
            return value
        if not value.tensors:
            position = self.recorder.trace.inputs.index(value)
            given = self.recorder.given
            same = next((i for i, t in enumerate(given) if t is leaf), None)
            return Existing(None, position if same is None else same, is_alias=same is None)
        if id(leaf) not in self.new_tensors:
            return Existing(leaf)
        before = [tensor for tensor in value.tensors if id(tensor) not in self.new_tensors]
        return Existing((before or value.tensors)[0], is_alias=True)

    def _check_containers(self, value: Any, line: str) -> None:
        if isinstance(value, set | deque) and any(
            isinstance(part, TensorBase | Number) for part in value
        ):
            raise CaptureError(
                f"{line}: a {type(value).__name__} of tensors leaves the step, which a replay "
                "cannot make again: use a list or a dict"
            )

    def _exported(self, leaf: Any, line: str) -> Any:
        if isinstance(leaf, TensorBase | Number):
            return self._exported_tensor(leaf)
        if is_plain(leaf) or isinstance(leaf, np.dtype | Device | ModuleType | np.generic):
            return leaf
        if isinstance(leaf, Value) or (id(leaf) in self.read and not self.is_inside(leaf)):
            return leaf
        if (isinstance(leaf, type) and not self.is_inside(leaf)) or self.is_given(leaf):
            return leaf
        if isinstance(leaf, MethodType) and self._exported(leaf.__self__, line) is not None:
            return leaf
        if isinstance(leaf, FunctionType) and not self.is_instrumented(leaf.__code__):
            return leaf
        if isinstance(leaf, set | frozenset | deque):
            parts = [self._exported(part, line) for part in leaf]
            if list(leaves(parts)) == list(leaf):
                return leaf if isinstance(leaf, frozenset) else Copied(copy.copy(leaf))
        raise CaptureError(
            f"{line}: a {type(leaf).__name__} that the step makes leaves it (it is returned, or "
            "kept outside), and a replay would not make another. Tensors, numbers, strings, and "
            "tuples, lists, dicts and dataclasses of these may"
        )


def _place(owner: Any) -> int:
    """What tells objects apart to which one writes; an object and its ``__dict__`` are one."""
    own = None if isinstance(owner, type) else own_attributes(owner)
    return id(owner if own is None else own)


def set_cell(cell: Any, value: Any) -> None:
    """Assign a variable of an enclosing function."""
    cell.cell_contents = value


def set_data(tensor: Any, value: Any) -> None:
    """Give a tensor other memory."""
    tensor.data = value


def set_requires_grad(tensor: Any, value: bool) -> None:
    """Have a leaf require a gradient, or not."""
    tensor.requires_grad_(value)


class write_to:
    """A write to an object whose values are known when the program makes it."""

    def __init__(self, function: Callable, owner: Any):
        self.function, self.owner = function, owner

    def __call__(self, *args: Any) -> None:
        given = (arg.thing if type(arg) is Same else arg for arg in args)
        self.function(self.owner, *given)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, write_to):
            return False
        return self.function == other.function and self.owner is other.owner

    def __hash__(self) -> int:
        return hash((self.function, id(self.owner)))


_ADDS = frozenset({"append", "extend", "appendleft", "extendleft", "add", "update", "__setitem__"})
"""Methods that neither return nor depend on what was there before."""


def _copy_of(owner: Any) -> Any:
    return dict(owner) if isinstance(owner, dict) else list(owner)
