"""Calls of builtins that read or write: ``getattr``, ``isinstance``, ``iter``, ``print`` ..."""

from __future__ import annotations

import builtins
import functools
import operator
import os
import re
import sys
import types
import warnings
import weakref
from _thread import get_ident
from abc import ABCMeta
from collections.abc import Callable
from types import FunctionType
from typing import Any, Protocol

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.rewrite import hooks as operators
from minidl.compiler.structure import mapped
from minidl.compiler.symbolic import Number, computed
from minidl.compiler.watch.attributes import HEAP_TYPE
from minidl.compiler.watch.guards import MISSING, static_attribute
from minidl.nn import Module

_MODULE_CALL = Module.__call__
_PROTOCOL = type(Protocol)


class BuiltinCalls:
    """The part of a `Watch` that calls builtins."""

    def builtin_handlers(self) -> dict[int, Callable]:
        """What stands in, during a capture, for builtins that read or write by themselves."""
        pairs = {
            getattr: self._getattr, hasattr: self._hasattr, setattr: self._setattr,
            delattr: self._delattr, vars: self._vars, len: self.length, iter: self._iter,
            next: self._next, isinstance: self._isinstance, issubclass: self._issubclass,
            type: self._type, bool: self._bool, super: super,
            callable: self._callable, id: self._id,
            weakref.ref: self._weak_reference, functools.reduce: self._reduce,
            functools.partial: self._partial, builtins.dir: self._dir,
            float: self._float, int: self._int, enumerate: self._enumerate, str: self._str,
            operator.getitem: self.item, operator.setitem: self.set_item,
            operator.delitem: self.delete_item, operator.contains: self.contains,
            operator.truth: self._bool, operator.not_: lambda value: not self.truth(value),
            operator.is_: operator.is_, operator.is_not: operator.is_not,
            hash: self._hash, warnings.warn: self._warn, list: self._list,
            dict: self._dict,
            print: functools.partial(self._print, print),
            re._compile: self._compiled_pattern, os.fspath: self._path,
            repr: lambda value: self.format(value, "r", ""), types.SimpleNamespace: self._namespace,
            get_ident: lambda: self.call_cached(get_ident, (), {}), sys.exc_info: self._handled,
            types.MethodType: lambda *given: self.make_inside(types.MethodType(*given)),
        }  # fmt: skip
        handlers = {id(function): handler for function, handler in pairs.items()}
        for table, hook in (
            (operators.BINARY, self.binary), (operators.COMPARE, self.compare),
            (operators.UNARY, self.unary), (operators.INPLACE, self.inplace),
        ):  # fmt: skip
            for sign, function in table.items():
                handlers.setdefault(id(function), functools.partial(hook, sign))
        return {**handlers, id(_MODULE_CALL): self._module_call}

    def _module_call(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        """What ``Module.__call__`` does, with one guard for a module without hooks."""
        const = self.guards.constant(module)
        if self.is_inside(module) or module._pre_hooks or module._hooks:
            return self.run_copy(_MODULE_CALL, (module, *args), kwargs)
        self.guard_test(
            ("hooks", id(module), ""),
            f"not ({const}._pre_hooks or {const}._hooks)",
            f"the hooks of {self.name_of(module)}",
        )
        return self.call(self.attribute(module, "forward"), args, kwargs)

    def _getattr(self, owner: Any, name: str, *default: Any) -> Any:
        try:
            return self.attribute(owner, name)
        except AttributeError:
            if default:
                return default[0]
            raise

    def _hasattr(self, owner: Any, name: str) -> bool:
        try:
            self.attribute(owner, name)
        except AttributeError:
            return False
        return True

    def _setattr(self, owner: Any, name: str, value: Any) -> None:
        self.set_attribute(owner, name, value)

    def _delattr(self, owner: Any, name: str) -> None:
        self.delete_attribute(owner, name)

    def _vars(self, *owner: Any) -> Any:
        if not owner:
            raise CaptureError(f"{self.line()}: vars() without an argument cannot be watched")
        own = vars(*owner)
        return self.make_inside(own) if self.is_inside(owner[0]) else own

    def _dir(self, *owner: Any) -> Any:
        raise self.refused(dir)

    def _iter(self, owner: Any, *sentinel: Any) -> Any:
        if sentinel:
            owner = self.callback(owner)
            return self.make_inside(iter(owner, *sentinel))
        method = self.special_method(owner, "__iter__")
        if type(method) is FunctionType and not isinstance(owner, TensorBase):
            made = self.call(method, (owner,), {})
            is_python = type(static_attribute(type(made), "__next__")) is FunctionType
            return made if is_python else self.make_inside(iter(self.iterate(made)))
        return self.make_inside(iter(self.iterate(owner)))

    def _next(self, iterator: Any, *default: Any) -> Any:
        step = static_attribute(type(iterator), "__next__")
        if type(step) is FunctionType:
            try:
                return self.call(step, (iterator,), {})
            except StopIteration:
                if default:
                    return default[0]
                raise
        self.iterate(iterator)
        return next(iterator, *default)

    def _isinstance(self, value: Any, kinds: Any) -> bool:
        if type(value) is Number:
            return isinstance(value.value, kinds)
        self.guard_type(value)
        if isinstance(kinds, tuple) and any(type(kind) is _PROTOCOL for kind in kinds):
            return any(self._isinstance(value, kind) for kind in kinds)
        if type(kinds) is _PROTOCOL:
            return self._has_protocol(value, kinds)
        if not isinstance(kinds, tuple):
            check = static_attribute(type(kinds), "__instancecheck__")
            if type(check) is FunctionType and type(kinds) is not ABCMeta:
                self.guard_class(type(kinds), "__instancecheck__", check)
                return bool(self.call(check, (kinds, value), {}))
        result = self.native(isinstance, (value, kinds), {})
        self._guard_registry("isinstance", value, kinds, result)
        return result

    def _has_protocol(self, value: Any, kind: type) -> bool:
        """Whether an object has what a protocol asks for, which each replay asks again."""
        if not (self.is_inside(value) or isinstance(value, TensorBase)):
            result = self.recorder.alone(isinstance, (value, kind), {})
            self._guard_registry("isinstance", value, kind, result)
            return result
        try:
            result = self.recorder.alone(issubclass, (type(value), kind), {})
        except TypeError:
            result = False
        if not result:  # only its own attributes tell
            raise self.refused(isinstance)
        self._guard_registry("issubclass", type(value), kind, result)
        return result

    def _issubclass(self, kind: Any, kinds: Any) -> bool:
        if not isinstance(kinds, tuple):
            check = static_attribute(type(kinds), "__subclasscheck__")
            if type(check) is FunctionType and type(kinds) is not ABCMeta:
                self.guard_class(type(kinds), "__subclasscheck__", check)
                return bool(self.call(check, (kinds, kind), {}))
        result = self.native(issubclass, (kind, kinds), {})
        self._guard_registry("issubclass", kind, kinds, result)
        return result

    def _guard_registry(self, name: str, value: Any, kinds: Any, result: bool) -> None:
        """Guard whether a class counts as another, which may register it at any time."""
        self._guard_bases(value if isinstance(value, type) else type(value))
        given = kinds if isinstance(kinds, tuple) else (kinds,)
        if all(type(kind) is type for kind in given if isinstance(kind, type)):
            return
        if self.is_inside(value) or isinstance(value, TensorBase):
            value = type(value)
            name = "issubclass"
        text = f"{name}({self.guards.constant(value)}, {self.guards.constant(kinds)})"
        self.guard(("registry", text, ""), text, result, f"{name}() of {self.name_of(value)}")

    def _guard_bases(self, kind: type) -> None:
        """Guard the classes that a class of the program inherits from, which may be assigned."""
        if kind.__flags__ & HEAP_TYPE and not self.is_inside(kind) and not self.is_own_line():
            read, what = f"{self.guards.constant(kind)}.__mro__", f"the bases of {kind.__name__}"
            self.guard(("class", id(kind), "__mro__"), read, kind.__mro__, what)

    def _type(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) != 1:
            args = mapped(self.plain, args)
            return self.make_inside(self.native(type, args, kwargs))
        if type(args[0]) is Number:
            return type(args[0].value)
        self.guard_type(args[0])
        return type(args[0])

    def guard_type(self, value: Any) -> None:
        """Guard the class of an instance, which may be assigned."""
        kind = type(value)
        if not kind.__flags__ & HEAP_TYPE or isinstance(value, type):
            return
        if isinstance(value, TensorBase):
            self.recorder.register(value)
            if not self.is_outside_tensor(value):
                return
        if not self.is_inside(value):
            read = f"type({self.guards.constant(value)})"
            self.guard(("type", id(value), ""), read, kind, f"the class of {self.name_of(value)}")

    def _bool(self, *value: Any) -> bool:
        return self.truth(*value) if value else False

    def _callable(self, value: Any) -> bool:
        if not isinstance(value, type):
            self.special_method(value, "__call__")
        return callable(value)

    def _warn(
        self, message: Any, category: Any = None, stacklevel: int = 1, source: Any = None
    ) -> None:
        """Warn now and in each replay, as often as the filters have it."""
        if isinstance(message, Warning):
            message, category = str(message), type(message)
        code, line = self.place
        place = {"filename": code.co_filename, "lineno": line, "module": self.space.get("__name__")}
        registry = self.space.setdefault("__warningregistry__", {})
        options = {"category": category or UserWarning, "registry": registry, **place}
        self.live(warnings.warn_explicit, (message,), options)

    def _id(self, value: Any) -> int:
        return id(self.by_identity(value))

    def _hash(self, value: Any) -> int:
        method = static_attribute(type(value), "__hash__")
        if type(method) is FunctionType and not isinstance(value, TensorBase | Number):
            self.guard_type(value)
            self.guard_class(type(value), "__hash__", method)
            return self.call(method, (value,), {})
        return self._pure(hash, (self.by_identity(value),), {})

    def _reduce(self, function: Callable, values: Any, *initial: Any) -> Any:
        return functools.reduce(self.callback(function), self.iterate(values), *initial)

    def _weak_reference(self, *args: Any) -> Any:
        return self.make_inside(weakref.ref(*args))

    def _partial(self, *args: Any, **kwargs: Any) -> Any:
        return self.make_inside(functools.partial(*args, **kwargs))

    def _enumerate(self, values: Any, *args: Any, **kwargs: Any) -> Any:
        return self.make_inside(enumerate(self.iterate(values), *args, **kwargs))

    def _list(self, *values: Any) -> list:
        return self.make_inside(list(*map(self.iterate, values)))

    def _dict(self, *args: Any, **kwargs: Any) -> dict:
        if not kwargs and len(args) == 1 and isinstance(args[0], dict):
            return self._pure(dict, args, {})
        return self._pure(dict, self._merged(args, kwargs), {})

    def _namespace(self, *args: Any, **kwargs: Any) -> types.SimpleNamespace:
        given = map(self.mapping_argument, args)
        for value in kwargs.values():  # its text and comparisons read them
            if type(value) is not Number:
                self.deep(value)
        return self.make_inside(types.SimpleNamespace(*given, **kwargs))

    def _handled(self) -> tuple:
        """What ``sys.exc_info()`` gives, unless the caller of the step may have raised it."""
        handled = sys.exc_info()
        if handled[1] is None:
            return self.call_cached(sys.exc_info, (), {})
        if isinstance(handled[1], CaptureError):
            raise handled[1]
        if not self.is_inside(handled[1]):
            raise self.refused(sys.exc_info)
        return handled

    def _path(self, path: Any) -> Any:
        method = static_attribute(type(path), "__fspath__")
        if type(method) is not FunctionType:
            return self._pure(os.fspath, (path,), {})
        self.guard_type(path)
        self.guard_class(type(path), "__fspath__", method)
        return self.call(method, (path,), {})

    def _compiled_pattern(self, pattern: Any, flags: Any) -> re.Pattern:
        """What the cache of ``re`` has for a pattern, which each replay asks again."""
        if isinstance(pattern, re.Pattern):
            return re._compile(pattern, flags)
        flags = int(self.plain(flags))
        if flags & (re.DEBUG | re.LOCALE):  # prints, or depends on the locale
            raise self.refused(re.compile)
        return self.call_cached(re._compile, (pattern, flags), {})

    def _float(self, *args: Any) -> Any:
        if args and type(args[0]) is Number:
            return computed(self, float, args)
        return self._converted(float, args)

    def _int(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and type(args[0]) is Number:
            return computed(self, int, args)
        return self._converted(int, args, kwargs)

    def _converted(self, kind: type, args: tuple, kwargs: dict | None = None) -> Any:
        for name in ("__float__", "__int__", "__index__"):
            method = static_attribute(type(args[0]), name) if args else MISSING
            if type(method) is FunctionType and not isinstance(args[0], TensorBase):
                self.guard_class(type(args[0]), name, method)
                return kind(self.call(method, (args[0],), {}))
        if args and is_array(args[0]):
            self.deep(args[0])
        return kind(*args, **kwargs or {})

    def _str(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs:
            return self.format(args[0], "s", "")
        return str(*args, **kwargs)

    def _print(self, function: Callable, *args: Any, **kwargs: Any) -> None:
        self.live(function, args, kwargs)
