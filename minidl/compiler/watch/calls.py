"""Calls: which function runs as an instrumented copy, which as it is, and which is refused."""

from __future__ import annotations

import builtins
import functools
import inspect
import operator
import sys
import weakref
from abc import ABCMeta
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
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

from minidl.autograd import TensorBase, change, wrap
from minidl.backend import Device, is_array, xp
from minidl.compiler.errors import CaptureError
from minidl.compiler.structure import is_dataclass, leaves
from minidl.compiler.symbolic import Number, computed
from minidl.compiler.trace import layout_of
from minidl.compiler.watch import native
from minidl.compiler.watch.attributes import HEAP_TYPE
from minidl.compiler.watch.guards import MISSING, is_plain, static_attribute
from minidl.compiler.watch.names import global_names, imported_names
from minidl.compiler.watch.source import SourceError
from minidl.compiler.watch.trust import is_engine, is_library, is_named_tuples, is_own
from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.optim.lr_scheduler import LRScheduler
from minidl.random import Generator
from minidl.vision.transforms.base import Transform

_NATIVE = (
    BuiltinFunctionType, MethodDescriptorType, MethodWrapperType, WrapperDescriptorType,
    ClassMethodDescriptorType, np.ufunc,
)  # fmt: skip
_CHANGES_FACTS = frozenset({"register_hook", "detach_"})
_MODE_SETTERS = frozenset(
    {"set_default_dtype", "set_default_device", "set_kernels", "manual_seed_all"}
)
_ARITHMETIC = frozenset({abs, round, pow, divmod}) | frozenset(
    f for name, f in vars(operator).items() if callable(f) and not name.startswith("_")
)


class Calls:
    """The part of a `Watch` that calls functions."""

    def call(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """``function(*args, **kwargs)``, watched."""
        kind = type(function)
        if kind is FunctionType:
            return self.call_function(function, args, kwargs)
        if kind is MethodType:
            return self.call(function.__func__, (function.__self__, *args), kwargs)
        if isinstance(function, type):
            return self.construct(function, args, kwargs)
        if isinstance(function, _NATIVE):
            return self.call_native(function, args, kwargs)
        if kind is functools.partial:
            for name in ("func", "args", "keywords"):
                self.attribute(function, name)
            self.content(function.keywords)
            merged = {**function.keywords, **kwargs}
            return self.call(function.func, (*function.args, *args), merged)
        if isinstance(function, weakref.ref):
            if self.is_inside(function):
                return function()
            raise CaptureError(
                f"{self.line()}: a weak reference from outside the step is read, whose object a "
                "guard would keep alive: pass the object to the step as an argument"
            )
        if kind in (operator.attrgetter, operator.itemgetter, operator.methodcaller):
            return self._getter(function, args)
        return self.call_instance(function, args, kwargs)

    # ----------------------------------------------------------------- functions of Python's

    def call_function(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        """Call a function of Python's: its copy, or itself where it is trusted."""
        code = function.__code__
        hook = self.special.get(id(function))
        if hook is not None:
            return hook(*args, **kwargs)
        if is_engine(code):
            return self.call_engine(function, args, kwargs)
        if is_library(code):
            return self.call_numpy(function, args, kwargs)
        if is_named_tuples(function.__globals__):
            return self.native(function, args, kwargs)
        if not is_own(code):
            self.guard_function(function)
        return self.run_copy(function, args, kwargs)

    def run_copy(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        """Call the instrumented copy of a function."""
        try:
            copy = self.copy_of(function)
        except SourceError as error:
            generated = self._generated(function, args, kwargs)
            if generated is not MISSING:
                return generated
            raise CaptureError(
                f"{self.line()}: {function.__qualname__} cannot be watched: {error}"
            ) from None
        self.guard_missing(function)
        return copy(*args, **kwargs)

    def guard_missing(self, function: FunctionType) -> None:
        """Guard that names which a function uses, and that do not exist, still do not."""
        space = function.__globals__
        const = self.guards.constant(space)
        for name in global_names(function.__code__):
            if name not in space and name not in native.BUILTINS:
                builtins_ = self.guards.constant(native.BUILTINS)
                test = f"{name!r} not in {const} and {name!r} not in {builtins_}"
                self.guard_test(("global", id(space), name), test, f"global {name!r}")
        for module, names in imported_names(function.__code__):
            self._guard_missing_import(module, names)

    def _guard_missing_import(self, module: str, names: tuple[str, ...]) -> None:
        modules = self.guards.constant(sys.modules)
        if module not in sys.modules:
            self.guard_test(
                ("module", module, ""), f"{module!r} not in {modules}", f"the module {module}"
            )
            return
        source = sys.modules[module]
        for name in names:
            if not hasattr(source, name):
                test = f"not hasattr({self.guards.constant(source)}, {name!r})"
                self.guard_test(("attribute", id(source), name), test, f"{module}.{name}")

    def _generated(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        """What a method that `dataclasses` wrote does; `MISSING` if it is not one."""
        owner = args[0] if args else None
        if not is_dataclass(owner) or function.__code__.co_filename != "<string>":
            return MISSING
        if function.__name__ == "__init__":
            self._init_dataclass(function, args, kwargs)
            return None
        if function.__name__ == "__eq__" and len(args) == 2:
            if type(args[0]) is not type(args[1]):
                return NotImplemented
            names = [f.name for f in type(owner).__dataclass_fields__.values() if f.compare]
            return all(
                self.truth(
                    self.compare("==", self.attribute(args[0], n), self.attribute(args[1], n))
                )
                for n in names
            )
        return MISSING

    def _init_dataclass(self, function: FunctionType, args: tuple, kwargs: dict) -> None:
        owner = args[0]
        bound = inspect.signature(function).bind(*args, **kwargs)
        given = dict(list(bound.arguments.items())[1:])
        posted = []
        for field in type(owner).__dataclass_fields__.values():
            kind = field._field_type.name
            if kind == "_FIELD_CLASSVAR":
                continue
            if field.name in given:
                value = given[field.name]
            elif not isinstance(field.default_factory, type(inspect.signature)) and (
                "MISSING" in type(field.default_factory).__name__
            ):
                value = field.default
            else:
                value = self.call(field.default_factory, (), {})
            if kind == "_FIELD_INITVAR":
                posted.append(value)
            elif field.init or "MISSING" not in type(value).__name__:
                object.__setattr__(owner, field.name, value)
        post = static_attribute(type(owner), "__post_init__")
        if post is not MISSING:
            self.guard_class(type(owner), "__post_init__", post)
            self.call(post, (owner, *posted), {})

    def guard_function(self, function: FunctionType) -> None:
        """Guard a function's code and defaults, which may be assigned."""
        key = ("function", id(function), "")
        if key in self.guards.all or self.has_hooks(function):
            return
        const, guards = self.guards.constant(function), self.guards
        test = (
            f"{const}.__code__ is {guards.constant(function.__code__)}"
            f" and {const}.__defaults__ is {guards.constant(function.__defaults__)}"
            f" and {const}.__kwdefaults__ is {guards.constant(function.__kwdefaults__)}"
        )
        self.guard_test(key, test, f"the code of {function.__qualname__}")
        if function.__kwdefaults__:
            self.content(function.__kwdefaults__)

    # ----------------------------------------------------------------- trusted code

    def call_engine(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        """Call a function of minidl's engine: it looks at all that its arguments hold."""
        name = function.__name__
        if name in _MODE_SETTERS:
            raise CaptureError(
                f"{self.line()}: {name}() changes how everything after it computes, which a "
                "replay would not: call it outside the step"
            )
        if function is change:  # each replay makes the same call: what it reads is read then
            return self.trusted(function, args, kwargs)
        if args and isinstance(args[0], Generator):
            return self._generator(function, args, kwargs)
        if args and isinstance(args[0], TensorBase):
            self.recorder.register(args[0])
            if name == "require_grad":
                return self.require_grad(*map(self.plain, args), **kwargs)
            if name in _CHANGES_FACTS and self.is_outside_tensor(args[0]):
                raise CaptureError(
                    f"{self.line()}: {name}() of a tensor from outside the step changes it as "
                    "a replay would not: call it outside the step"
                )
        keeps_numbers = hasattr(function, "op") or name in _KEEPS_NUMBERS
        args = tuple(self.engine_argument(arg, keeps_numbers) for arg in args)
        kwargs = {key: self.engine_argument(arg, keeps_numbers) for key, arg in kwargs.items()}
        result = self.trusted(function, args, kwargs)
        if is_plain(result) or isinstance(result, np.dtype | Device):
            self.guard_setting(function, args, kwargs, result)
            return result
        return self.vouched(result, (args, kwargs))

    def guard_setting(self, function: FunctionType, args: tuple, kwargs: dict, value: Any) -> None:
        """Guard what the engine says of its settings (the number of threads, a device)."""
        if function.__name__ in _IN_THE_KEY or not is_plain((args, tuple(kwargs.values()))):
            return
        const, guards = self.guards.constant(function), self.guards
        given = [guards.constant(arg) for arg in args]
        given += [f"{name}={guards.constant(arg)}" for name, arg in kwargs.items()]
        read = f"{const}({', '.join(given)})"
        self.guard(("setting", read, ""), read, value, f"{function.__name__}()")

    def engine_argument(self, arg: Any, keeps_numbers: bool) -> Any:
        """An argument for the engine, its contents guarded."""
        if type(arg) is Number and keeps_numbers:
            return arg
        return self.deep(arg)

    def _generator(self, function: FunctionType, args: tuple, kwargs: dict) -> Any:
        """Call a method of a generator, whose state moves in each replay, too."""
        generator, name = args[0], function.__name__
        args = tuple(map(self.deep, args))
        method = MethodType(function, generator)
        if name in ("manual_seed", "set_state"):
            self.recorder.change(name, method, tuple(args[1:]))
            return generator
        if name in ("uniform", "normal", "integers", "permutation", "bits", "reserve"):
            return self.recorder.call(name, method, tuple(args[1:]), kwargs)
        if name == "__init__" or self.is_inside(generator):
            return self.trusted(function, args, kwargs)
        return self.recorder.read(None, f"Generator.{name}()")

    def vouched(self, result: Any, given: Any = ()) -> Any:
        """A result of the engine's: memory in it that nothing accounts for is host data."""
        for leaf in leaves(result):
            if not isinstance(leaf, TensorBase):
                continue
            if self.recorder.is_known(leaf):
                if self.is_outside_tensor(leaf) and all(leaf is not t for t in leaves(given)):
                    self.recorder.wrappers.add(id(leaf))
            else:
                if leaf.array.size and not self._is_constant(leaf.array):
                    self.recorder.add_host_data(leaf.array)
                else:
                    self.recorder.add_constant(leaf.array)
        return result

    def _is_constant(self, array: Any) -> bool:
        base = array
        while base is not None:
            if id(base) in self.recorder.constants:
                return True
            base = getattr(base, "base", None)
        return False

    def call_numpy(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call a function of NumPy's on what is the same in each run."""
        if not is_array(getattr(function, "__self__", None)) and not native.is_numpy(function):
            raise self.refused(function)
        for leaf in leaves((args, kwargs)):
            if isinstance(leaf, TensorBase) or (
                is_array(leaf) and self.recorder.is_tensor_memory(leaf)
            ):
                self.recorder.read(None, f"NumPy's {getattr(function, '__name__', function)}")
        args = tuple(map(self.deep, args))
        kwargs = {key: self.deep(value) for key, value in kwargs.items()}
        if "out" in kwargs:
            raise self.refused(function)
        result = self.native(function, args, kwargs)
        for leaf in leaves(result):
            if is_array(leaf):
                self.recorder.add_constant(leaf)
        return self.make_inside(result)

    # ----------------------------------------------------------------- classes and instances

    def construct(self, kind: type, args: tuple, kwargs: dict) -> Any:
        """Call a class."""
        handler = self.special.get(id(kind))
        if handler is not None:
            return handler(*args, **kwargs)
        meta = type(kind)
        method = static_attribute(meta, "__call__")
        if type(method) is FunctionType:
            self.guard_class(meta, "__call__", method)
            return self.call(method, (kind, *args), kwargs)
        if native.is_numpy(kind):
            return self.call_numpy(kind, args, kwargs)
        make = static_attribute(kind, "__new__")
        begin = static_attribute(kind, "__init__")
        make = make.__func__ if isinstance(make, staticmethod) else make
        is_python = [type(f) is FunctionType for f in (make, begin)]
        if not any(is_python):
            return self.make_inside(self._construct_native(kind, args, kwargs))
        if type(begin) is FunctionType and is_engine(begin.__code__):
            return self.vouched(self.make_inside(self.call_engine_class(kind, args, kwargs)))
        if is_python[0]:
            self.guard_class(kind, "__new__", static_attribute(kind, "__new__"))
            made = self.call(make, (kind, *args), kwargs)  # not always a new object
        elif make is object.__new__:
            made = self.make_inside(object.__new__(kind))
        else:
            made = self.make_inside(self.native(make, (kind, *args), kwargs))
        if isinstance(made, kind) and type(begin) is FunctionType:
            self.guard_class(kind, "__init__", begin)
            self.call(begin, (made, *args), kwargs)
        elif isinstance(made, kind) and begin is not object.__init__:
            self.native(begin, (made, *args), kwargs)
        return made

    def _construct_native(self, kind: type, args: tuple, kwargs: dict) -> Any:
        """Make an instance of a class of C's, or of a subclass that adds no constructor."""
        base = next(base for base in kind.__mro__ if not base.__flags__ & HEAP_TYPE)
        if base is kind or kind in native.PURE_BUILTINS:
            return self.call_native(kind, args, kwargs)
        if base not in native.PURE_BUILTINS and not issubclass(base, BaseException):
            raise self.refused(kind)
        return self._pure(kind, args, kwargs)

    def call_engine_class(self, kind: type, args: tuple, kwargs: dict) -> Any:
        """Call a class of minidl's engine."""
        args = tuple(map(self.deep, args))
        return self.trusted(kind, args, {key: self.deep(arg) for key, arg in kwargs.items()})

    def call_instance(self, instance: Any, args: tuple, kwargs: dict) -> Any:
        """Call an instance of a class that has ``__call__``."""
        step = self.step_of(instance)
        if step is not None:
            return self.call(step, args, kwargs)
        kind = type(instance)
        method = static_attribute(kind, "__call__")
        if isinstance(instance, Transform) and instance.draws and is_own(method.__code__):
            return self._random_transform(instance, args, kwargs)
        if type(method) is FunctionType:
            self.guard_type(instance)
            self.guard_class(kind, "__call__", method)
            return self.call(method, (instance, *args), kwargs)
        if native.is_numpy(instance) and callable(instance):
            return self.call_numpy(instance, args, kwargs)
        if method is MISSING:
            return instance(*args, **kwargs)  # raises
        raise self.refused(instance)

    def _random_transform(self, transform: Transform, args: tuple, kwargs: dict) -> Any:
        """Apply a transform whose random numbers the host looks at, again in each replay."""
        tensor = args[0] if args else None
        if not isinstance(tensor, TensorBase) or len(args) != 1 or kwargs:
            raise self.refused(transform)
        if tensor.requires_grad or getattr(transform, "inplace", False):
            raise CaptureError(
                f"{self.line()}: {type(transform).__name__} in a captured step neither changes its "
                "argument in place nor leads gradients through: pass detach() of the tensor"
            )
        self.recorder.takes((tensor,))
        name = type(transform).__name__
        return wrap(self.recorder.call(name, LiveTransform(transform), (tensor.array,), {}))

    def _getter(self, function: Any, args: tuple) -> Any:
        """What an ``operator.attrgetter``, ``itemgetter`` or ``methodcaller`` gives."""
        kind, given = function.__reduce__()[:2]
        (owner,) = args
        if type(function) is operator.methodcaller:
            method = self.attribute(owner, given[0])
            return self.call(method, tuple(given[1:]), getattr(kind, "keywords", {}))
        if type(function) is operator.itemgetter:
            found = [self.item(owner, key) for key in given]
        else:
            found = [functools.reduce(self.attribute, name.split("."), owner) for name in given]
        return found[0] if len(found) == 1 else tuple(found)

    # ----------------------------------------------------------------- functions of C's

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
            args = tuple(map(self.plain, args))
            kwargs = {key: self.plain(value) for key, value in kwargs.items()}
        if isinstance(function, MethodDescriptorType | WrapperDescriptorType) and args:
            return self._unbound(function, name, args, kwargs)
        if isinstance(function, np.ufunc) or native.is_numpy(function) or is_array(owner):
            return self._numpy_method(function, owner, args, kwargs)
        if isinstance(owner, TensorBase):
            return self.call_engine(function, args, kwargs)
        if owner is not None and not isinstance(owner, type | ModuleType):
            return self._method(function, owner, name, args, kwargs)
        if (isinstance(owner, type) and name == "__new__") or name == "fromkeys":
            return self.make_inside(self.native(function, args, kwargs))
        if native.is_pure(function, owner):
            return self._pure(function, args, kwargs)
        if function in native.LIVE:
            return self.live(function, args, kwargs)
        raise self.refused(function)

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
        value = object.__getattribute__(owner, name)
        if isinstance(value, MethodType):
            self.guard_class(type(owner), name, static_attribute(type(owner), name))
        elif not self.is_inside(owner) and ("attribute", id(owner), name) not in self.written:
            read = f"object.__getattribute__({self.guards.constant(owner)}, {name!r})"
            self.guard(("attribute", id(owner), name), read, value, f"{name}")
        return value

    def _method(self, function: Any, owner: Any, name: str, args: tuple, kwargs: dict) -> Any:
        """Call a method of an object of C's."""
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
            args = tuple(map(self.content_argument, args))
            return self.make_inside(self.native(function, args, kwargs))
        if changes is not None:
            if self.is_inside(owner):
                args = tuple(map(self.iterated_argument, args))
                kwargs = {key: self.callback(value) for key, value in kwargs.items()}
                return self.native(function, args, kwargs)
            args = tuple(map(self.content_argument, args))
            return self.mutate(getattr(changes, name), owner, args, kwargs)
        if isinstance(owner, GeneratorType) and self.is_instrumented(owner.gi_code):
            return function(*args, **kwargs)
        if type(owner).__name__ in ("lock", "RLock") or name in _HARMLESS:
            return self.native(function, args, kwargs)
        if self.is_inside(owner):
            return self.native(function, args, kwargs)
        raise self.refused(function)

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
        return self.make_inside(self.native(function, args, kwargs))

    def pure_argument(self, function: Any, arg: Any) -> Any:
        """An argument of a pure function: iterated, called back, or looked at."""
        if function in native.CALLS_BACK and callable(arg) and not isinstance(arg, TensorBase):
            return self.callback(arg)
        if isinstance(arg, FunctionType | MethodType) or id(arg) in self.special:
            return self.callback(arg)
        return self.iterated_argument(arg)

    def iterated_argument(self, arg: Any) -> Any:
        """An argument that may be iterated over."""
        if is_plain(arg) or isinstance(arg, TensorBase):
            return arg
        if static_attribute(type(arg), "__iter__") is not MISSING:
            self.deep(arg) if isinstance(arg, list | dict | tuple | set) else None
            return self.iterate(arg)
        return arg

    def content_argument(self, arg: Any) -> Any:
        """An argument whose elements are looked at, or kept."""
        return self.iterated_argument(arg)

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

    # ----------------------------------------------------------------- builtins with meanings

    def builtin_handlers(self) -> dict[int, Callable]:
        """What stands in, during a capture, for builtins that read or write by themselves."""
        pairs = {
            getattr: self._getattr, hasattr: self._hasattr, setattr: self._setattr,
            delattr: self._delattr, vars: self._vars, len: self.length, iter: self._iter,
            next: self._next, isinstance: self._isinstance, issubclass: self._issubclass,
            type: self._type, bool: self._bool, super: super, callable: callable, id: id,
            weakref.ref: self._weak_reference, functools.reduce: self._reduce,
            functools.partial: self._partial, builtins.dir: self._dir,
            float: self._float, int: self._int, enumerate: self._enumerate, str: self._str,
            print: functools.partial(self._print, print), list: self._list,
        }  # fmt: skip
        handlers = {id(function): handler for function, handler in pairs.items()}
        return {**handlers, id(Module.__call__): self._module_call}

    def _module_call(self, module: Any, *args: Any, **kwargs: Any) -> Any:
        """What ``Module.__call__`` does, with one guard for a module without hooks."""
        const = self.guards.constant(module)
        if self.is_inside(module) or module._pre_hooks or module._hooks:
            return self.run_copy(Module.__call__, (module, *args), kwargs)
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
        if not isinstance(kinds, tuple):
            check = static_attribute(type(kinds), "__instancecheck__")
            if type(check) is FunctionType and type(kinds) is not ABCMeta:
                self.guard_class(type(kinds), "__instancecheck__", check)
                return bool(self.call(check, (kinds, value), {}))
        result = self.native(isinstance, (value, kinds), {})
        self._guard_registry("isinstance", value, kinds, result)
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
        given = kinds if isinstance(kinds, tuple) else (kinds,)
        if all(type(kind) is type for kind in given if isinstance(kind, type)):
            return
        if self.is_inside(value) or isinstance(value, TensorBase):
            value = type(value)
            name = "issubclass"
        text = f"{name}({self.guards.constant(value)}, {self.guards.constant(kinds)})"
        self.guard(("registry", text, ""), text, result, f"{name}() of {self.name_of(value)}")

    def _type(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) != 1:
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


_IN_THE_KEY = frozenset(
    {"is_grad_enabled", "get_default_dtype", "get_default_device", "current_generator"}
)
"""Modes of the thread on which the choice of a plan depends already."""


class LiveTransform:
    """A random transform as a function of arrays, which makes another array each time."""

    def __init__(self, transform: Transform):
        self.transform = transform
        self.layout: tuple | None = None

    def __call__(self, array: Any) -> Any:
        result = self.transform(wrap(array)).array
        result = result.copy() if result is array else xp(result).ascontiguousarray(result)
        if self.layout is not None and layout_of(result) != self.layout:
            raise CaptureError(
                f"{self.transform!r} made an image of another shape than when the step was "
                "captured, which a replay cannot follow: apply it outside the step"
            )
        self.layout = layout_of(result)
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiveTransform) and self.transform is other.transform

    def __hash__(self) -> int:
        return id(self.transform)


class Live:
    """A function that is called in each replay; equal ones print the same way."""

    def __init__(self, function: functools.partial):
        self.function = function
        self.__name__ = getattr(function.func, "__name__", "call")

    def __call__(self, *args: Any) -> None:
        self.function(*args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Live) and (
            self.function.func is other.function.func
            and self.function.keywords == other.function.keywords
        )

    def __hash__(self) -> int:
        return hash(self.__name__)


_HARMLESS = frozenset({"__init_subclass__", "__subclasshook__", "__reduce_ex__", "__sizeof__"})
_ARRAY_WRITES = frozenset(
    {"fill", "sort", "put", "itemset", "resize", "partition", "setfield", "setflags", "byteswap"}
)
_KEEPS_NUMBERS = frozenset(
    {"add", "sub", "mul", "div", "pow", "__rsub__", "__rtruediv__", "__rpow__", "lerp", "clamp"}
) | frozenset(f"{name}_" for name in ("add", "sub", "mul", "div", "pow", "clamp"))
LIVE_KINDS = (Optimizer, LRScheduler)
