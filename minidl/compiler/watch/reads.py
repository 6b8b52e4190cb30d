"""Reads of outside state: what each kind of read guards.

An object is *inside* if the captured run made it, and *outside* if it may have been there
before. Only reads of outside objects need guards. What is not known to be inside is taken for
outside: a guard too many costs a few nanoseconds, one too few a wrong number.
"""

from __future__ import annotations

from types import (
    FunctionType,
    ModuleType,
)
from typing import Any

from minidl.compiler.errors import CaptureError
from minidl.compiler.watch.attributes import AttributeReads, is_absent, super_attribute
from minidl.compiler.watch.contents import ContentReads, same_array
from minidl.compiler.watch.guards import (
    Guards,
)
from minidl.compiler.watch.tensors import TensorReads, hooks_of, tensor_facts


class Reads(AttributeReads, TensorReads, ContentReads):
    """The part of a `Watch` that guards what is read."""

    guards: Guards

    # ----------------------------------------------------------------- names

    def read_global(self, space: dict, name: str, value: Any) -> Any:
        """Guard a global or builtin name."""
        where = ("item", id(space), (str, name))
        if where in self.written:
            return self.overlaid(where, value)
        dynamic = self.dynamic_read(("global", id(space), name), value, space, name)
        if dynamic is not None:
            return dynamic
        const = self.guards.constant(space)
        if name in space:
            self.guard(("global", id(space), name), f"{const}[{name!r}]", value, f"global {name!r}")
        elif not self.is_own_space(space):
            builtins = space.get("__builtins__")
            builtins = vars(builtins) if isinstance(builtins, ModuleType) else builtins
            self.guard_test(
                ("global", id(space), name), f"{name!r} not in {const}", f"global {name!r}"
            )
            read = f"{self.guards.constant(builtins)}[{name!r}]"
            self.guard(("global", id(builtins), name), read, value, f"builtin {name!r}")
        return value

    def is_own_space(self, space: dict) -> bool:
        """Whether globals are of a module of minidl's, which hides no builtins."""
        return str(space.get("__name__", "")).split(".")[0] == "minidl"

    def read_free(self, cell: Any, name: str, value: Any) -> Any:
        """Guard a variable of an enclosing function."""
        key = ("variable", id(cell), "")
        if key in self.written:
            return self.overlaid(key, value)
        dynamic = self.dynamic_read(key, value, cell, "cell_contents")
        if dynamic is not None:
            return dynamic
        read = f"{self.guards.constant(cell)}.cell_contents"
        self.guard(key, read, value, f"variable {name!r}")
        return value

    # ----------------------------------------------------------------- the guards themselves

    def guard(self, key: tuple, read: str, value: Any, what: str) -> None:
        """Guard that an expression gives the same value."""
        if key not in self.guards.all:
            self.guards.add(key, read, value, what, self.line())
            self.note_read(value)

    def note_read(self, value: Any) -> None:
        """Note what was read from outside; an argument that is there as well is outside, too."""
        self.read.setdefault(id(value), value)
        if id(value) in self.containers:
            self.inside.discard(id(value))

    def guard_test(
        self, key: tuple, test: str, what: str, line: str | None = None, value: Any = True
    ) -> None:
        """Guard a condition."""
        if key not in self.guards.all:
            self.guards.add_test(key, test, what, line or self.line(), value)

    def guard_outcome(self, text: str, outcome: Any) -> None:
        """Guard what Python's code decided with a number."""
        self.guard(("outcome", text, ""), text, outcome, "a number")

    def unwatchable(self, owner: Any, what: str) -> CaptureError:
        """The error for what cannot be checked before a replay."""
        return CaptureError(
            f"{self.line()}: the step reads {what} of {self.name_of(owner)}, which cannot be "
            "checked before a replay. Pass what it gives to the step as an argument"
        )

    def name_of(self, owner: Any) -> str:
        """Name an object in a message."""
        if isinstance(owner, ModuleType):
            return owner.__name__
        if isinstance(owner, type | FunctionType):
            return owner.__qualname__
        known = self.paths.get(id(owner))
        return known or f"a {type(owner).__name__}"


HELPERS = {
    "same_array": same_array, "is_absent": is_absent, "hooks_of": hooks_of,
    "super_attribute": super_attribute, "tensor_facts": tensor_facts, "dict_get": dict.get,
}  # fmt: skip
