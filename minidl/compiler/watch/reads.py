"""Reads of outside state: what each kind of read guards.

An object is *inside* if the captured run made it, and *outside* if it may have been there
before. Only reads of outside objects need guards. What is not known to be inside is taken for
outside: a guard too many costs a few nanoseconds, one too few a wrong number.
"""

from __future__ import annotations

from collections import defaultdict, deque
from types import (
    BuiltinMethodType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
    MethodWrapperType,
    ModuleType,
)
from typing import Any

import numpy as np

from minidl.autograd import Leaf, TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.symbolic import Number
from minidl.compiler.trace import layout_of
from minidl.compiler.watch.guards import MISSING, Guards, is_plain, static_attribute, text_of
from minidl.compiler.watch.trust import is_own

_MOST_BYTES = 1 << 16
"""NumPy arrays up to this size are compared before each replay; larger ones are refused."""

_SEQUENCES = (list, deque)
_IMMUTABLE = (str, bytes, tuple, frozenset, range, slice, int, float, complex, type(None))
VIEWS = (type({}.keys()), type({}.values()), type({}.items()))
CONTAINERS = (list, dict, set, deque, MappingProxyType, *VIEWS)
_PLACE_FACTS = frozenset({"requires_grad", "is_leaf", "grad_fn", "place", "retains_grad"})
_LAYOUT = frozenset({"shape", "dtype", "ndim", "size", "strides", "itemsize", "nbytes", "base"})
_HEAP_TYPE = 1 << 9  # a class of Python's, whose attributes may be assigned
_SLOT = type(TensorBase.array)
_FRESH = (BuiltinMethodType, MethodWrapperType)


class Reads:
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

    # ----------------------------------------------------------------- attributes

    def attribute(self, owner: Any, name: str) -> Any:
        """``owner.name``, guarded."""
        kind = type(owner)
        if kind is Number:
            return getattr(owner.settle(name), name)
        if isinstance(owner, TensorBase):
            return self.tensor_attribute(owner, name)
        if kind in _IMMUTABLE or kind is np.dtype or (is_array(owner) and name in _LAYOUT):
            return getattr(owner, name)
        if isinstance(owner, type):
            return self.class_attribute(owner, name)
        if kind is super:
            return self.super_attribute(owner, name)
        if kind is MethodType:
            return getattr(owner, name)
        return self.instance_attribute(owner, name)

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
        written = ("attribute", id(owner), name) in self.written
        original = self.step_of(owner)
        if original is not None:  # what minidl.compile made stands in for it
            return self.attribute(original, name)
        if type(hook) is FunctionType:
            if not written:
                self.guard_absent(owner, name)
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
        if type(value) in _FRESH:  # a method of C's: another object at each read
            return value
        steady = type(value) is MethodType or is_plain(value) or getattr(owner, name) is value
        if not steady:
            return self._fresh_value(owner, name, value)
        self.guards.add_attribute(owner, name, value, what, self.line())
        self.read.setdefault(id(value), value)
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
        if type(value) in _FRESH:
            return value
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
            self.read.setdefault(id(value), value)
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
        return getattr(owner, name)

    def guard_super(self, start: type, kind: type, name: str, found: Any) -> None:
        """Guard what ``super(start, ...)`` finds by ``name``."""
        guards = self.guards
        read = f"super_attribute({guards.constant(start)}, {guards.constant(kind)}, {name!r})"
        key = ("super", id(start), id(kind), name)
        self.guard(key, read, found, f"{start.__name__}'s super().{name}")

    def guard_class(self, kind: type, name: str, found: Any) -> None:
        """Guard what a class has by ``name``, without descriptors."""
        key, what = ("class", id(kind), name), f"{kind.__name__}.{name}"
        if key in self.guards.all or not kind.__flags__ & _HEAP_TYPE:
            return
        if type(found) is _SLOT and found.__objclass__.__module__.startswith("minidl."):
            return
        const = self.guards.constant(kind)
        if found is MISSING:
            self.guard_test(key, f"not hasattr({const}, {name!r})", what)
        elif type(found) in (FunctionType, property, staticmethod) and name.isidentifier():
            value = getattr(kind, name)  # looked up by Python itself, which is fastest
            self.guard(key, f"{const}.{name}", value, what)
            self.read.setdefault(id(found), found)
        else:
            self.guard(key, f"static_attribute({const}, {name!r})", found, what)

    def guard_lookup(self, owner: Any) -> None:
        """Guard that attributes of an object are looked up as they were: its class, and how."""
        kind = type(owner)
        self.guard_type(owner)
        if kind.__flags__ & _HEAP_TYPE:
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

    # ----------------------------------------------------------------- tensors

    def tensor_attribute(self, tensor: Any, name: str) -> Any:
        """An attribute of a tensor: facts that a replay depends on are guarded."""
        if name == "grad":
            return self.tensor_gradient(tensor)
        own = getattr(tensor, "__dict__", None)
        if own is not None and name in own:
            return self.instance_attribute(tensor, name)
        self.recorder.register(tensor)
        if name in ("version", "view_version"):
            if not self.is_own_line():
                self.recorder.read(tensor, f".{name}")
            return self.make_inside(getattr(tensor, name))
        outside = self.is_outside_tensor(tensor)
        if outside and name in _PLACE_FACTS:
            self.guard_place(tensor)
        elif outside:
            self.guard_array(tensor)
        found = static_attribute(type(tensor), name)
        if type(found) is property and not is_own(found.fget.__code__):
            return self.instance_attribute(tensor, name)
        if found is MISSING:
            return self.instance_attribute(tensor, name)
        self.patched(type(tensor), name, found)
        return self.vouched(getattr(tensor, name), (tensor,))

    def patched(self, kind: type, name: str, found: Any) -> None:
        """Guard a method of a class of minidl's, which the program may replace."""
        self.guard_class(kind, name, found)

    def tensor_gradient(self, tensor: Any) -> Any:
        """The gradient of a tensor, which may be one from before the run."""
        gradient = tensor.grad
        self.recorder.register(tensor)
        if self.is_outside_tensor(tensor):
            self.recorder.accumulates(tensor)
        if gradient is not None and not self.recorder.is_known(gradient):
            self.recorder.register(gradient)
        return gradient

    def is_outside_tensor(self, tensor: Any) -> bool:
        """Whether a tensor may have been there before the run."""
        return id(tensor) in self.recorder.foreign and id(tensor) not in self.recorder.wrappers

    def guard_array(self, tensor: Any) -> None:
        """Guard that a tensor has its memory still."""
        array = tensor.array
        const = self.guards.constant(tensor)
        key = ("tensor", id(tensor), "array")
        if key in self.written:
            return
        if key in self.dynamic:
            facts = self.guards.constant(tensor_facts(tensor))
            test = f"tensor_facts({const}) == {facts}"
            self.guard_test(key, test, f"the layout of {text_of(tensor)}")
        elif key not in self.guards.all:
            self.guard(key, f"{const}.array", array, f"the memory of {text_of(tensor)}")

    def guard_place(self, tensor: Any) -> None:
        """Guard whether a tensor requires a gradient, and that it has no hooks but those seen."""
        key = ("tensor", id(tensor), "requires_grad")
        if key in self.guards.all or key in self.written:
            return
        place = tensor.place
        const = self.guards.constant(tensor)
        if place is None:
            self.guard(key, f"{const}.place", None, f"requires_grad of {text_of(tensor)}")
            return
        if not isinstance(place, Leaf):
            if place.node.args is None:  # its graph is used up: as good as a leaf without one
                return
            raise CaptureError(
                f"{self.line()}: {text_of(tensor)} belongs to a graph from before the step "
                f"(the result of {place.node.op.name}), which a replay could not follow: pass "
                "detach() of it, or compute it inside the step"
            )
        hooks = (place.hooks or {}).get(0)
        test = f"hooks_of({const}.place) == {self.guards.constant(list(hooks or ()))}"
        if not hooks:
            test = f"not {const}.place.hooks or {test}"
        what = f"requires_grad, or the hooks, of {text_of(tensor)}"
        self.guard_test(key, f"({test})", what)  # no place has no hooks: that is an error as well

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
        if kind in _IMMUTABLE or (isinstance(owner, type) and kind is type):
            return owner[key]
        method = static_attribute(kind, "__getitem__")
        if type(method) is FunctionType:
            self.guard_type(owner)
            self.guard_class(kind, "__getitem__", method)
            return self.call(method, (owner, key), {})
        if isinstance(owner, tuple):
            return owner[key]
        if isinstance(owner, dict | MappingProxyType):
            return self.dict_item(owner, key)
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
        if kind in _IMMUTABLE or isinstance(owner, tuple | TensorBase) or self.is_inside(owner):
            return owner
        if isinstance(owner, VIEWS):
            self.content(owner.mapping)
            return owner
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
        return value

    def length(self, owner: Any) -> int:
        """``len(owner)``, guarded."""
        kind = type(owner)
        method = static_attribute(kind, "__len__")
        if type(method) is FunctionType and not isinstance(owner, TensorBase):
            self.guard_type(owner)
            self.guard_class(kind, "__len__", method)
            return self.call(method, (owner,), {})
        size = len(owner)
        if kind in _IMMUTABLE or isinstance(owner, tuple) or self.is_inside(owner):
            return size
        if isinstance(owner, TensorBase):
            self.deep(owner)
        elif id(owner) in self.snapshots or isinstance(owner, VIEWS):
            self.content(owner)
        elif isinstance(owner, list | dict | set | deque | MappingProxyType):
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
        if kind in _IMMUTABLE or kind is Number or isinstance(value, TensorBase | tuple | type):
            return bool(value)
        for name in ("__bool__", "__len__"):
            method = static_attribute(kind, name)
            if type(method) is FunctionType:
                self.guard_type(value)
                self.guard_class(kind, name, method)
                return bool(self.call(method, (value,), {}))
            if method is not MISSING:
                break
            if kind.__flags__ & _HEAP_TYPE:  # a class of Python's, to which one may be added
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
        method = static_attribute(kind, "__contains__")
        if type(method) is FunctionType and not isinstance(owner, TensorBase):
            self.guard_type(owner)
            self.guard_class(kind, "__contains__", method)
            return bool(self.call(method, (owner, value), {}))
        if method is MISSING and type(static_attribute(kind, "__iter__")) is FunctionType:
            return any(item is value or item == value for item in self.iterate(owner))
        if type(value) is Number:
            value = value.settle("in")
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
        if kind in _IMMUTABLE or isinstance(owner, tuple):
            return owner
        if isinstance(owner, TensorBase):
            self.recorder.register(owner)
            return owner
        if isinstance(owner, CONTAINERS):
            method = static_attribute(kind, "__iter__")
            if type(method) is not FunctionType:
                return self.content(owner)
        if kind is GeneratorType:
            if self.is_instrumented(owner.gi_code) or self.is_inside(owner):
                return owner
            raise self.unwatchable(owner, "what is left of it")
        method = static_attribute(kind, "__iter__")
        if type(method) is FunctionType:
            self.guard_type(owner)
            self.guard_class(kind, "__iter__", method)
            return self.iterate(self.call(method, (owner,), {}))
        if is_array(owner):
            return self.content(owner)
        if self.is_inside(owner):
            return owner
        step = static_attribute(kind, "__next__")
        if type(step) is FunctionType:
            return self._stepped(owner, kind, step)
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
        keys = self.call(self.attribute(owner, "keys"), (), {})
        return {key: self.item(owner, key) for key in self.iterate(keys)}

    def _stepped(self, owner: Any, kind: type, step: Any) -> Any:
        self.guard_class(kind, "__next__", step)
        while True:
            try:
                value = self.call(step, (owner,), {})
            except StopIteration:
                return
            yield value

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
        self.deep(subject)
        if not isinstance(subject, tuple | list | dict | set | TensorBase):
            kind = type(subject)
            names = list(own_attributes(subject) or ()) + list(getattr(kind, "__match_args__", ()))
            for name in dict.fromkeys(names):
                self.deep(self.attribute(subject, name))
        return subject

    # ----------------------------------------------------------------- the guards themselves

    def guard(self, key: tuple, read: str, value: Any, what: str) -> None:
        """Guard that an expression gives the same value."""
        if key not in self.guards.all:
            self.guards.add(key, read, value, what, self.line())
            self.read.setdefault(id(value), value)

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
        if isinstance(owner, ModuleType | type | FunctionType):
            return getattr(owner, "__qualname__", None) or owner.__name__
        known = self.paths.get(id(owner))
        return known or f"a {type(owner).__name__}"


def tensor_facts(tensor: Any) -> tuple | None:
    """What a plan depends on of a tensor that is read again: class, layout, no graph."""
    if not isinstance(tensor, TensorBase):
        return None
    return type(tensor), layout_of(tensor.array), tensor.place is None


def own_attributes(owner: Any) -> Any:
    """The ``__dict__`` of an object, not by its ``__getattr__``; None if it has none."""
    try:
        return object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None


def hashable(key: Any) -> Any:
    """A key as a part of a guard's key."""
    try:
        hash(key)
    except TypeError:
        return ("unhashable", id(key))
    return (type(key), key) if is_plain(key) else ("object", id(key))


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


def hooks_of(place: Any) -> list:
    """The hooks of a leaf."""
    return list((place.hooks or {}).get(0, ()))


def super_attribute(start: type, kind: type, name: str) -> Any:
    """What ``super(start, instance of kind)`` finds by ``name``, without descriptors."""
    mro = kind.__mro__
    for base in mro[mro.index(start) + 1 :]:
        if name in base.__dict__:
            return base.__dict__[name]
    return MISSING


HELPERS = {
    "same_array": same_array, "is_absent": is_absent, "hooks_of": hooks_of,
    "super_attribute": super_attribute, "tensor_facts": tensor_facts, "dict_get": dict.get,
}  # fmt: skip
