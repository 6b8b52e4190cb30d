"""Values that keep changing: reads that each replay makes again."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import Call, Value
from minidl.compiler.watch.guards import is_plain, own_attributes, static_attribute
from minidl.compiler.watch.live import LIVE_KINDS
from minidl.compiler.watch.tensors import tensor_facts
from minidl.compiler.watch.trust import is_own

_OPAQUE = (TensorBase, ModuleType, type, FunctionType)


class ChangingReads:
    """The part of a `Watch` that reads again what keeps changing."""

    def dynamic_read(
        self, key: tuple, value: Any, owner: Any, name: Any, item: bool = False
    ) -> Any:
        """A value that each replay reads again; None if it is to be guarded."""
        moved = id(owner) in self.moved
        if moved and type(value) is list:
            self.moved[id(value)] = value
            self.renewed.setdefault(id(value), self._reader(key, owner, name))
            return value
        if moved and is_plain(value) and not isinstance(value, int | float):
            if self.is_own_line() or value is None:
                return None
            raise CaptureError(
                f"{self.line()}: {self.name_of(owner)} is read after a call that may change it "
                "in each replay: read it before, or outside the step"
            )
        if not moved and key not in self.dynamic:
            return None
        if moved and key not in self.dynamic and self.is_own_line():
            return None
        reader = self._reader(key, owner, name)
        const = self.guards.constant(reader)
        if type(value) in (int, float):
            kind = self.guards.constant(type(value))
            if moved and self.lenient:  # its caller may go on unwatched, with a plain number
                raise self.unwatchable(owner, f"{name!r}, which a call in the step changes,")
            if not moved:
                test = f"type({const}()) is {kind}"
                self.guard_test((*key, "type"), test, f"the type of {name!r}")
            return self._read_again(reader, value, None if moved else f"{const}()")
        if isinstance(value, TensorBase) and value.place is None and not moved:
            return self._tensor_again(key, reader, const, value, name)
        return None

    def _reader(self, key: tuple, owner: Any, name: Any) -> Reader:
        """What reads a value again: from the list that is there then, if it is an element."""
        renewed = self.renewed.get(id(owner))
        if renewed is None or key[0] != "item":
            return Reader(key, owner, name)
        return Reader(("item", renewed.key, *key[2:]), renewed, name)

    def guard_renewed(self, owner: Any) -> None:
        """Guard which list it is, of one that may be replaced: more than an element is read."""
        reader = self.renewed.get(id(owner))
        if reader is not None:
            read = f"{self.guards.constant(reader)}()"
            self.guard(reader.key, read, owner, f"the list {reader.name!r}")

    def guard_renewed_length(self, owner: Any) -> bool:
        """Guard the length of a list that may be replaced; False of another object."""
        reader = self.renewed.get(id(owner))
        if reader is None:
            return False
        test = f"len({self.guards.constant(reader)}()) == {len(owner)}"
        self.guard_test((*reader.key, "length"), test, f"the length of the list {reader.name!r}")
        return True

    def renewed_items(self, owner: Any) -> list | None:
        """The elements of a list that may be replaced, each read again; None of another object."""
        if not self.guard_renewed_length(owner):
            return None
        items = [self.note_item(owner, i, value) for i, value in enumerate(owner)]
        return self.make_inside(items)

    def _read_again(self, reader: Reader, value: Any, text: str | None) -> Number:
        call = self.recorder.note(f"read {reader.name}", reader, (), {})
        call.result = Value(value, call)
        return Number(self, value, text, call.result)

    def _tensor_again(self, key: tuple, reader: Reader, const: str, tensor: Any, name: Any) -> Any:
        if self.recorder.is_known(tensor):
            return None
        facts = self.guards.constant(tensor_facts(tensor))
        self.guard_test(
            (*key, "facts"), f"tensor_facts({const}()) == {facts}", f"the layout of {name!r}"
        )
        call = Call(f"read {name}", reader.array, (), {}, False, self.line())
        call.result = value = Value(tensor.array, call)
        self.recorder.trace.calls.append(call)
        self.recorder.know(tensor.array, value)
        self.recorder.dynamic_tensors.append(tensor)
        self.replaced[id(tensor)] = f"{const}()"
        return tensor

    def by_identity(self, thing: Any) -> Any:
        """Guard which tensor it is, of one that each replay reads again; returns it.

        For uses other than computing with it: as a key, stored, returned.
        """
        read = self._identity(thing)
        if read is not None:
            self.guard(("tensor", id(thing), "identity"), read, thing, "which tensor is read")
        return thing

    def identical(self, left: Any, right: Any) -> bool:
        """``left is right``, guarded where one of them may be another object in a replay."""
        outcome = left is right
        if is_plain(left) or is_plain(right):
            return outcome
        texts = [self._identity(side) for side in (left, right)]
        if any(texts):
            texts = [text or self.guards.constant(s) for text, s in zip(texts, (left, right))]
            self.guard_outcome(" is ".join(texts), outcome)
        return outcome

    def _identity(self, thing: Any) -> str | None:
        """How a guard finds what may be another object in a replay; None of all else."""
        if id(thing) in self.replaced:
            return self.replaced[id(thing)]
        if id(thing) in self.arguments:
            self.reads_arguments = True
            return f"{self.guards.constant(self.arguments[id(thing)])}()"
        if id(thing) in self.inputs or id(thing) in self.containers:
            raise CaptureError(
                f"{self.line()}: which object an argument is, a {type(thing).__name__}, decides "
                "on what the step does, and cannot be checked before a replay: pass a number or "
                "a string that tells"
            )
        return None

    def moved_by(self, function: Any, args: tuple) -> None:
        """Note what a call that each replay makes again may have changed."""
        owner = getattr(function, "__self__", None)
        if not isinstance(owner, LIVE_KINDS):
            return
        reached = _reached([owner, *args])
        self.check_deferred(reached)
        update = static_attribute(type(owner), "update")
        if type(update) is FunctionType and is_own(update.__code__):
            return  # minidl's own optimizers change tensors and their state only
        self.moved.update(reached)


class Reader:
    """Reads a global, variable, attribute or element again."""

    def __init__(self, key: tuple, owner: Any, name: Any):
        self.key, self.owner, self.name = key, owner, name
        kind = key[0]
        if kind in ("global", "item"):
            self.read: Callable = operator.getitem
        elif kind == "argument":
            self.read = _argument
        else:
            self.read = getattr

    def __call__(self) -> Any:
        owner = self.owner() if type(self.owner) is Reader else self.owner
        return self.read(owner, self.name)

    def array(self) -> Any:
        """The array of the tensor that is read."""
        return self().array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reader) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def _argument(given: list, position: int) -> Any:
    return given[position]


def _reached(roots: list) -> dict[int, Any]:
    """The objects and containers that are reached from ``roots``, not through tensors."""
    seen: dict[int, Any] = {}
    stack = list(roots)
    while stack:
        thing = stack.pop()
        if id(thing) in seen or is_plain(thing) or isinstance(thing, _OPAQUE) or is_array(thing):
            continue
        seen[id(thing)] = thing
        if isinstance(thing, dict):
            stack += thing.values()
        elif isinstance(thing, list | tuple | set | deque):
            stack += thing
        else:
            own = own_attributes(thing)
            if own is not None:
                seen[id(own)] = own
                stack += own.values()
    return seen
