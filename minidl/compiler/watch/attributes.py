"""Reads of attributes: of instances, classes, modules and ``super()``."""

from __future__ import annotations

from types import (
    BuiltinMethodType,
    FunctionType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.symbolic import Number
from minidl.compiler.watch.guards import (
    IMMUTABLE,
    MISSING,
    is_plain,
    own_attributes,
    static_attribute,
)

HEAP_TYPE = 1 << 9
"""The flag of a class of Python's, whose attributes may be assigned."""

_SLOT = type(TensorBase.array)
_LAYOUT = frozenset({"shape", "dtype", "ndim", "size", "strides", "itemsize", "nbytes", "base"})
_FRESH = (BuiltinMethodType, MethodWrapperType)


class AttributeReads:
    """The part of a `Watch` that guards attributes."""

    def attribute(self, owner: Any, name: str) -> Any:
        """``owner.name``, guarded."""
        kind = type(owner)
        if kind is Number:
            return getattr(owner.settle(name), name)
        if isinstance(owner, TensorBase):
            return self.tensor_attribute(owner, name)
        if kind in IMMUTABLE or kind is np.dtype:
            return getattr(owner, name)
        if is_array(owner) and name in _LAYOUT:
            return self.array_attribute(owner, name)
        if isinstance(owner, type):
            return self.class_attribute(owner, name)
        if kind is super:
            return self.super_attribute(owner, name)
        if kind is MethodType:
            is_own = name in ("__self__", "__func__")
            return getattr(owner, name) if is_own else self.attribute(owner.__func__, name)
        return self.instance_attribute(owner, name)

    def array_attribute(self, array: Any, name: str) -> Any:
        """A fact of the layout of a NumPy array, which may be assigned; guarded."""
        value = getattr(array, name)
        if not self.is_inside(array) and not self.recorder.is_accounted(array):
            self.guards.add_attribute(array, name, value, f"an array's {name}", self.line())
        return value

    def instance_attribute(self, owner: Any, name: str) -> Any:
        kind = type(owner)
        lookup = static_attribute(kind, "__getattribute__")
        if type(lookup) is FunctionType:
            self.guard_type(owner)
            self.guard_class(kind, "__getattribute__", lookup)
            return self.call(lookup, (owner, name), {})
        found = static_attribute(kind, name)
        own = own_attributes(owner)
        in_own = own is not None and name in own
        computed = self._described(owner, kind, name, found, in_own)
        if computed is not MISSING:
            return computed
        if found is MISSING and not in_own:
            return self._fallback(owner, kind, name)
        value = getattr(owner, name)
        return self.note_attribute(owner, name, value, found, in_own)

    def _described(self, owner: Any, kind: type, name: str, found: Any, in_own: bool) -> Any:
        """What a property or a descriptor of Python's computes; `MISSING` if there is none."""
        if type(found) is property:
            self.guard_lookup(owner)
            self.guard_class(kind, name, found)
            if found.fget is None:
                return getattr(owner, name)
            return self.call(found.fget, (owner,), {})
        if found is MISSING or type(found) in (FunctionType, staticmethod, classmethod):
            return MISSING
        get = static_attribute(type(found), "__get__")
        if type(get) is not FunctionType:
            return MISSING
        is_data = static_attribute(type(found), "__set__") is not MISSING
        if in_own and not is_data:
            return MISSING
        self.guard_lookup(owner)
        self.guard_class(kind, name, found)
        if not is_data:
            self.guard_absent(owner, name)
        return self.call(get, (found, owner, kind), {})

    def _fallback(self, owner: Any, kind: type, name: str) -> Any:
        """An attribute that does not exist, unless ``__getattr__`` makes it."""
        hook = static_attribute(kind, "__getattr__")
        if kind is ModuleType:
            self._guard_module_hook(owner)
            hook = vars(owner).get("__getattr__")
        written = ("attribute", id(owner), name) in self.written
        original = self.step_of(owner)
        if original is not None:  # what minidl.compile made stands in for it
            return self.attribute(original, name)
        if type(hook) is FunctionType:
            if not written:
                self.guard_absent(owner, name)
            if kind is ModuleType:
                return self.call(hook, (name,), {})
            self.guard_lookup(owner)
            self.guard_class(kind, "__getattr__", hook)
            return self.call(hook, (owner, name), {})
        try:
            value = getattr(
                owner, name
            )  # a thread's own attributes are in no __dict__, and proxies'
        except AttributeError:
            if not written and not self.is_inside(owner):
                const = self.guards.constant(owner)
                what = f"{self.name_of(owner)}.{name}"
                key = ("attribute", id(owner), name)
                self.guard_test(key, f"not hasattr({const}, {name!r})", what)
            raise
        return self.note_attribute(owner, name, value)

    def _guard_module_hook(self, module: ModuleType) -> None:
        """Guard the function that makes a module's missing attributes."""
        read = f"dict_get(vars({self.guards.constant(module)}), '__getattr__')"
        key, what = ("attribute", id(module), "__getattr__"), f"{module.__name__}.__getattr__"
        self.guard(key, read, vars(module).get("__getattr__"), what)

    def note_attribute(
        self, owner: Any, name: str, value: Any, found: Any = MISSING, in_own: bool = True
    ) -> Any:
        key = ("attribute", id(owner), name)
        if key in self.written:
            return self.overlaid(key, value)
        kind = type(owner)
        if self.is_inside(owner):
            if name == "__dict__":
                return self.make_inside(value)
            if not in_own and found is not MISSING:
                self.guard_class(kind, name, found)
            return value
        dynamic = self.dynamic_read(key, value, owner, name)
        if dynamic is not None:
            return dynamic
        what = f"{self.name_of(owner)}.{name}"
        steady = type(value) is MethodType or is_plain(value) or getattr(owner, name) is value
        if not steady and isinstance(value, _FRESH):  # a method of C's: another object at each read
            self.guard_type(owner)
            self.guard_class(kind, name, found)
            return value
        if not steady:
            return self._fresh_value(owner, name, value)
        self.guards.add_attribute(owner, name, value, what, self.line())
        self.note_read(value)
        return value

    def _fresh_value(self, owner: Any, name: str, value: Any) -> Any:
        """A value that is made at each read, by C's code."""
        if name == "__dict__":
            return value
        raise CaptureError(
            f"{self.line()}: {self.name_of(owner)}.{name} is a new {type(value).__name__} at each "
            "read, which a captured step cannot check. Pass it to the step as an argument"
        )

    def class_attribute(self, owner: type, name: str) -> Any:
        """An attribute of a class, guarded."""
        if name in ("__name__", "__qualname__", "__module__") and self.is_own_line():
            return getattr(owner, name)
        found = static_attribute(owner, name)
        meta = static_attribute(type(owner), name)
        if found is MISSING and type(meta) is property and type(meta.fget) is FunctionType:
            self.guard_class(type(owner), name, meta)
            return self.call(meta.fget, (owner,), {})
        get = MISSING if found is MISSING else static_attribute(type(found), "__get__")
        is_function = type(found) in (FunctionType, staticmethod, classmethod, property)
        if type(get) is FunctionType and not is_function:
            self.guard_class(owner, name, found)
            return self.call(get, (found, None, owner), {})
        try:
            value = getattr(owner, name)
        except AttributeError:
            self.guard_absent(owner, name)
            raise
        key = ("attribute", id(owner), name)
        if key in self.written:
            return self.overlaid(key, value)
        if isinstance(value, _FRESH) and getattr(owner, name) is not value:
            return self._class_entry(owner, name, value)
        if not self.is_inside(owner):
            dynamic = self.dynamic_read(key, value, owner, name)
            if dynamic is not None:
                return dynamic
            if (
                type(value) is not MethodType
                and getattr(owner, name) is not value
                and (not is_plain(value))
            ):
                return self._class_entry(owner, name, value)
            self.guards.add_attribute(
                owner, name, value, f"{self.name_of(owner)}.{name}", self.line()
            )
            self.note_read(value)
        elif name not in vars(owner):
            self.guard_class(owner, name, found)  # of a class from outside that it inherits from
        return value

    def _class_entry(self, owner: type, name: str, value: Any) -> Any:
        """An attribute that a descriptor of C's makes at each read."""
        self.guard_class(owner, name, static_attribute(owner, name))
        return value

    def super_attribute(self, owner: super, name: str) -> Any:
        """An attribute by ``super()``, guarded."""
        start = owner.__thisclass__
        instance = owner.__self__
        kind = owner.__self_class__
        mro = kind.__mro__
        found = MISSING
        for base in mro[mro.index(start) + 1 :]:
            if name in base.__dict__:
                found = base.__dict__[name]
                break
        if type(found) is property:
            self.guard_super(start, kind, name, found)
            return self.call(found.fget, (instance,), {})
        if found is not MISSING:
            self.guard_super(start, kind, name, found)
        value = getattr(owner, name)
        if type(found) is _SLOT and not self.is_inside(instance):
            given = f"{self.guards.constant(start)}, {self.guards.constant(instance)}"
            what = f"{self.name_of(instance)}.{name}"
            self.guard(("super", id(instance), name), f"super({given}).{name}", value, what)
        return value

    def guard_super(self, start: type, kind: type, name: str, found: Any) -> None:
        """Guard what ``super(start, ...)`` finds by ``name``."""
        guards = self.guards
        read = f"super_attribute({guards.constant(start)}, {guards.constant(kind)}, {name!r})"
        key = ("super", id(start), id(kind), name)
        self.guard(key, read, found, f"{start.__name__}'s super().{name}")

    def guard_class(self, kind: type, name: str, found: Any) -> None:
        """Guard what a class has by ``name``, without descriptors."""
        key, what = ("class", id(kind), name), f"{kind.__name__}.{name}"
        if key in self.guards.all or not kind.__flags__ & HEAP_TYPE:
            return
        if type(found) is _SLOT and found.__objclass__.__module__.startswith("minidl."):
            return
        const = self.guards.constant(kind)
        if found is MISSING and not hasattr(kind, name):  # nor has its metaclass
            self.guard_test(key, f"not hasattr({const}, {name!r})", what)
        elif type(found) in (FunctionType, property, staticmethod) and name.isidentifier():
            value = getattr(kind, name)  # looked up by Python itself, which is fastest
            self.guard(key, f"{const}.{name}", value, what)
            self.note_read(found)
        else:
            self.guard(key, f"static_attribute({const}, {name!r})", found, what)

    def special_method(self, owner: Any, name: str) -> Any:
        """The method ``name`` of an object's class, guarded; `MISSING` if there is none."""
        kind = type(owner)
        found = static_attribute(kind, name)
        if kind.__flags__ & HEAP_TYPE and not isinstance(owner, TensorBase | Number):
            self.guard_type(owner)
            self.guard_class(kind, name, found)
        return found

    def guard_lookup(self, owner: Any) -> None:
        """Guard that attributes of an object are looked up as they were: its class, and how."""
        kind = type(owner)
        self.guard_type(owner)
        if kind.__flags__ & HEAP_TYPE:
            found = static_attribute(kind, "__getattribute__")
            read = f"{self.guards.constant(kind)}.__getattribute__"
            what = f"{kind.__name__}.__getattribute__"
            self.guard(("class", id(kind), "__getattribute__"), read, found, what)

    def guard_absent(self, owner: Any, name: str) -> None:
        """Guard that there is no such attribute."""
        if self.is_inside(owner):
            return
        test = f"is_absent({self.guards.constant(owner)}, {name!r})"
        self.guard_test(("attribute", id(owner), name), test, f"{self.name_of(owner)}.{name}")


def is_absent(owner: Any, name: str) -> bool:
    """Whether an object has no such attribute, not counting ``__getattr__``."""
    own = own_attributes(owner)
    kind = owner if isinstance(owner, type) else type(owner)
    if static_attribute(kind, name) is not MISSING and name not in getattr(kind, "__slots__", ()):
        return False
    if name in getattr(kind, "__slots__", ()):
        try:
            object.__getattribute__(owner, name)
        except AttributeError:
            return True
        return False
    return own is None or name not in own


def super_attribute(start: type, kind: type, name: str) -> Any:
    """What ``super(start, instance of kind)`` finds by ``name``, without descriptors."""
    mro = kind.__mro__
    for base in mro[mro.index(start) + 1 :]:
        if name in base.__dict__:
            return base.__dict__[name]
    return MISSING
