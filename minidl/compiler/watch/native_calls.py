"""Calls of functions that are not written in Python."""

from __future__ import annotations

import functools
import itertools
import operator
import re
import string
from _string import formatter_field_name_split
from collections.abc import Callable, Iterator
from types import (
    BuiltinMethodType,
    FunctionType,
    GeneratorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.structure import leaves
from minidl.compiler.symbolic import Number, computed
from minidl.compiler.watch import native
from minidl.compiler.watch.guards import MISSING, is_plain, own_attributes, static_attribute
from minidl.compiler.watch.live import Live

_ARITHMETIC = frozenset({abs, round, pow, divmod}) | frozenset(
    f for name, f in vars(operator).items() if callable(f) and not name.startswith("_")
)
_OF_NUMBERS = frozenset({min, max, sum})
_OF_ATTRIBUTES = frozenset({"__setattr__", "__delattr__", "__getattribute__"})
_FRESH = (BuiltinMethodType, MethodWrapperType)
_HARMLESS = frozenset({"__init_subclass__", "__subclasshook__", "__reduce_ex__", "__sizeof__"})
_ARRAY_WRITES = frozenset(
    {"fill", "sort", "put", "itemset", "resize", "partition", "setfield", "setflags", "byteswap"}
)


class NativeCalls:
    """The part of a `Watch` that calls functions of C."""

    def call_native(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call a function of C's, if it is known what it reads and writes."""
        handler = self.special.get(id(function))
        if handler is not None:
            return handler(*args, **kwargs)
        owner = getattr(function, "__self__", None)
        name = getattr(function, "__name__", "")
        if self._has_number(args, kwargs):
            if (function in _ARITHMETIC and not kwargs) or getattr(owner, "__name__", "") == "math":
                return computed(self, function, args)
            if function in _OF_NUMBERS and not kwargs and _are_numbers(args):
                return function(*args)  # by the operators of `Number`
            args = tuple(map(self.plain, args))
            kwargs = {key: self.plain(value) for key, value in kwargs.items()}
        if isinstance(function, MethodDescriptorType | WrapperDescriptorType) and args:
            return self._unbound(function, name, args, kwargs)
        if _is_of_attributes(function) and not isinstance(owner, TensorBase):
            return self._unbound(function, name, (owner, *args), kwargs)
        if isinstance(function, np.ufunc) or native.is_numpy(function) or is_array(owner):
            return self._numpy_method(function, owner, args, kwargs)
        if isinstance(owner, TensorBase):
            return self.call_engine(function, args, kwargs)
        if owner is not None and not isinstance(owner, type | ModuleType):
            return self._method(function, owner, name, args, kwargs)
        if (isinstance(owner, type) and name == "__new__") or name == "fromkeys":
            return self.make_fresh(self.native(function, args, kwargs))
        if function in native.MUTATING_FUNCTIONS:
            return self._mutating(function, *args, **kwargs)
        if native.is_pure(function, owner):
            return self._pure(function, args, kwargs)
        if function in native.LIVE:
            return self.live(function, args, kwargs)
        raise self.refused(function)

    def _mutating(self, function: Any, owner: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function that changes the container that is its first argument."""
        args = tuple(self.pure_argument(function, arg) for arg in args)
        if self.is_inside(owner):
            return self.native(function, (owner, *args), kwargs)
        if native.iterates(function):
            args = tuple(map(self._repeatable, args))
        return self.mutate(function, owner, args, kwargs)

    def _has_number(self, args: tuple, kwargs: dict) -> bool:
        return any(type(leaf) is Number for leaf in leaves((args, kwargs)))

    def plain(self, value: Any) -> Any:
        """A value with plain numbers, guarded, for what cannot be recorded."""
        if type(value) is Number:
            return value.settle("a function of C's")
        if type(value) in (list, tuple) and any(type(leaf) is Number for leaf in leaves(value)):
            return self.make_inside(type(value)(map(self.plain, value)))
        return value

    def _unbound(self, function: Any, name: str, args: tuple, kwargs: dict) -> Any:
        """``list.append(x, ...)``, ``object.__setattr__(x, ...)``: methods by their class."""
        owner, rest = args[0], args[1:]
        if name == "__setattr__":
            return self.store_attribute(owner, *rest)
        if name == "__delattr__":
            return self.remove_attribute(owner, *rest)
        if name in ("__getattribute__",):
            return self._plain_attribute(owner, *rest)
        if name in ("__init__", "__init_subclass__"):
            return (
                None
                if function is object.__init__
                else self._method(functools.partial(function, owner), owner, name, rest, kwargs)
            )
        if isinstance(owner, TensorBase):
            return self.trusted(function, args, kwargs)
        if is_array(owner):
            return self._numpy_method(functools.partial(function, owner), owner, rest, kwargs)
        return self._method(functools.partial(function, owner), owner, name, rest, kwargs)

    def _plain_attribute(self, owner: Any, name: str) -> Any:
        """``object.__getattribute__(owner, name)``, guarded."""
        key = ("attribute", id(owner), name)
        try:
            value = object.__getattribute__(owner, name)
        except AttributeError:
            if key not in self.written:
                self.guard_absent(owner, name)
            raise
        if key in self.written:
            return self.overlaid(key, value)
        is_fresh = object.__getattribute__(owner, name) is not value
        if self.is_inside(owner) or (is_fresh and isinstance(value, _FRESH)):
            if name not in (own_attributes(owner) or ()):
                self.guard_class(type(owner), name, static_attribute(type(owner), name))
            return value
        read = f"object.__getattribute__({self.guards.constant(owner)}, {name!r})"
        if is_fresh and isinstance(value, MethodType):  # made of a function of the class
            self.guard(key, f"{read}.__func__", value.__func__, name)
        else:
            self.guard(key, read, value, name)
        return value

    def _formatted(
        self, text: str, args: tuple, kwargs: Any, numbers: Iterator[int] | None = None
    ) -> str:
        """``text.format(*args, **kwargs)``; fields without a number are counted by ``numbers``."""
        numbers = itertools.count() if numbers is None else numbers
        parts = []
        for literal, field, spec, conversion in string.Formatter().parse(text):
            parts.append(literal)
            if field is not None:
                value = self._field(field, args, kwargs, numbers)
                spec = self._formatted(spec, args, kwargs, numbers)
                parts.append(self.format(value, conversion, spec))
        return "".join(parts)

    def _field(self, field: str, args: tuple, kwargs: Any, numbers: Iterator[int]) -> Any:
        """The value of a field such as ``0.name[key]``."""
        first, rest = formatter_field_name_split(field)
        first = next(numbers) if first == "" else first
        value = args[first] if isinstance(first, int) else self.item(kwargs, first)
        for is_attribute, key in rest:
            value = self.attribute(value, key) if is_attribute else self.item(value, key)
        return value

    def _method(self, function: Any, owner: Any, name: str, args: tuple, kwargs: dict) -> Any:
        """Call a method of an object of C's."""
        if isinstance(owner, str) and name in ("format", "format_map"):
            given = ((), args[0]) if name == "format_map" else (args, kwargs)
            return self._formatted(owner, *given)
        if isinstance(owner, re.Pattern | re.Match):
            return self._regular(function, owner, args, kwargs)
        if isinstance(owner, native.PURE_TYPES) or is_plain(owner):
            return self._pure(function, args, kwargs)
        reads = native.kind_in(native.READERS, owner, name)
        changes = native.kind_in(native.MUTATORS, owner, name)
        if name in ("__getitem__", "__setitem__", "__delitem__", "get", "__contains__"):
            handled = self._access(owner, name, args)
            if handled is not MISSING:
                return handled
        if reads is not None:
            self.content(owner)
            args = tuple(self.pure_argument(function, arg) for arg in args)
            return self.make_fresh(self.native(function, args, kwargs))
        if changes is not None:
            if changes is dict and name == "update":
                args, kwargs = self._merged(args, kwargs), {}
            args = tuple(self.kept_argument(function, arg) for arg in args)
            if self.is_inside(owner):
                kwargs = {key: self.callback(value) for key, value in kwargs.items()}
                return self.native(function, args, kwargs)
            args = tuple(map(self._repeatable, args)) if native.iterates(function) else args
            return self.mutate(getattr(changes, name), owner, args, kwargs)
        if isinstance(owner, GeneratorType) and self.is_instrumented(owner.gi_code):
            return function(*args, **kwargs)
        if type(owner).__name__ in ("lock", "RLock") or name in _HARMLESS:
            return self.native(function, args, kwargs)
        if self.is_inside(owner):
            return self.native(function, args, kwargs)
        raise self.refused(function)

    def _regular(self, function: Any, owner: Any, args: tuple, kwargs: dict) -> Any:
        """Call a method of a pattern or a match, which may have ``re`` expand a template."""
        given = (*args, *kwargs.values(), getattr(owner, "string", ""))
        if all(is_plain(arg) or isinstance(arg, str | bytes) for arg in given):
            return self.make_fresh(self.trusted(function, args, kwargs))
        if any(not (callable(arg) or isinstance(arg, str | bytes | int)) for arg in given):
            raise self.refused(function)  # a bytearray, say, which may change
        return self._pure(function, args, kwargs)

    def _merged(self, args: tuple, kwargs: dict) -> tuple:
        """The arguments of ``dict.update`` or ``dict()`` as one mapping or sequence of pairs."""
        if len(args) > 1 or not (args or kwargs):
            return args  # raises, or changes nothing
        given = self.mapping_argument(args[0]) if args else {}
        if not kwargs:
            return (given,)
        return (self.make_inside({**dict(self.iterated_argument(given)), **kwargs}),)

    def mapping_argument(self, arg: Any) -> Any:
        """What a dict is made of: a mapping that is no dict becomes one."""
        if is_plain(arg) or isinstance(arg, dict | list | tuple | set | TensorBase):
            return arg
        if static_attribute(type(arg), "__next__") is not MISSING or not self._hasattr(arg, "keys"):
            return arg
        return self.make_inside(dict(self.iterate_mapping(arg)))

    def _repeatable(self, arg: Any) -> Any:
        """What is iterated over, for a write that a replay makes again."""
        if is_plain(arg) or isinstance(arg, list | dict | tuple | set | frozenset | TensorBase):
            return arg
        return self.make_inside(list(arg))

    def _access(self, owner: Any, name: str, args: tuple) -> Any:
        """``d.get(k)`` and the like."""
        if name == "get" and isinstance(owner, dict):
            if args[0] in owner:
                return self.note_item(owner, args[0], dict.get(owner, args[0]))
            self.guard_item_absent(owner, args[0])
            return args[1] if len(args) > 1 else None
        if name == "__getitem__":
            return self.item(owner, *args)
        if name == "__contains__":
            return self.contains(owner, *args)
        if name == "__setitem__" and isinstance(owner, dict) and not self.is_inside(owner):
            return (
                self.set_item(owner, *args) if type(owner) is dict else self._set_plain(owner, args)
            )
        return MISSING

    def _set_plain(self, owner: dict, args: tuple) -> None:
        self.mutate(dict.__setitem__, owner, args)

    def _numpy_method(self, function: Any, owner: Any, args: tuple, kwargs: dict) -> Any:
        if isinstance(function, np.ufunc) and len(args) > function.nin:  # where it writes to
            raise self.refused(function)
        if is_array(owner):
            if getattr(function, "__name__", "") in _ARRAY_WRITES:
                raise CaptureError(
                    f"{self.line()}: the step writes into a NumPy array, which a replay would not"
                )
            self.deep(owner)
        return self.call_numpy(function, args, kwargs)

    def _pure(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call a pure function of C's: what its arguments hold is guarded."""
        args = tuple(self.pure_argument(function, arg) for arg in args)
        kwargs = {key: self.pure_argument(function, value) for key, value in kwargs.items()}
        if any(isinstance(arg, TensorBase) for arg in args):
            for arg in args:
                self.deep(arg)
        return self.make_fresh(self.native(function, args, kwargs))

    def pure_argument(self, function: Any, arg: Any) -> Any:
        """An argument of a pure function: iterated, called back, or looked at."""
        if function in native.CALLS_BACK and callable(arg) and not isinstance(arg, TensorBase):
            return self.callback(arg)
        if isinstance(arg, FunctionType | MethodType) or id(arg) in self.special:
            return self.callback(arg)
        return self.iterated_argument(arg) if native.iterates(function) else self.looked_at(arg)

    def kept_argument(self, function: Any, arg: Any) -> Any:
        """An argument of a method that changes a container: its elements, or an element."""
        return self.iterated_argument(arg) if native.iterates(function) else arg

    def looked_at(self, arg: Any) -> Any:
        """An argument that is looked at as an object, containers to any depth."""
        if is_plain(arg) or isinstance(arg, TensorBase):
            return arg
        if static_attribute(type(arg), "__next__") is not MISSING:
            return self.iterate(arg)
        return self.deep(arg)

    def iterated_argument(self, arg: Any) -> Any:
        """An argument that may be iterated over."""
        if is_plain(arg) or isinstance(arg, TensorBase):
            return arg
        renewed = self.renewed_items(arg)
        if renewed is not None:
            return renewed
        if static_attribute(type(arg), "__iter__") is not MISSING:
            self.deep(arg) if isinstance(arg, list | dict | tuple | set) else None
            return self.iterate(arg)
        return arg

    def callback(self, function: Any) -> Any:
        """A function that C's code will call: it is watched as any other."""
        if not callable(function) or self.is_copy(function):
            return function
        return lambda *args, **kwargs: self.call(function, args, kwargs)

    def live(self, function: Callable, args: tuple, kwargs: dict) -> Any:
        """Call a function now and in each replay, with the same arguments."""
        for arg in (*args, *kwargs.values()):
            if isinstance(arg, TensorBase):
                self.recorder.read(arg, f"{function.__name__}()")
        args = tuple(map(self.plain, args))
        text = [arg if is_plain(arg) else self.format(arg, None, "") for arg in args]
        call = functools.partial(function, **{k: self.plain(v) for k, v in kwargs.items()})
        self.recorder.change(function.__name__, Live(call), tuple(text))

    def refused(self, function: Any) -> CaptureError:
        """The error for a function of C's that is not known."""
        name = getattr(function, "__qualname__", None) or type(function).__qualname__
        module = getattr(function, "__module__", None)
        where = f"{module}.{name}" if module and module != "builtins" else name
        return CaptureError(
            f"{self.line()}: {where}() is not written in Python, and what it reads or changes "
            f"cannot be checked before a replay: {native.advice_for(function)}"
        )


def _is_of_attributes(function: Any) -> bool:
    """Whether a function is what ``super().__setattr__`` and the like are without a class."""
    if not isinstance(function, MethodWrapperType) or function.__objclass__ is not object:
        return False
    return function.__name__ in _OF_ATTRIBUTES


def _are_numbers(args: tuple) -> bool:
    """Whether arguments are numbers, or one tuple or list of numbers."""
    if len(args) == 1 and type(args[0]) in (tuple, list):
        (args,) = args
    return all(type(arg) in (int, float, bool, Number) for arg in args)
