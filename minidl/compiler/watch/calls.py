"""Calls: which function runs as an instrumented copy, which as it is, and which is refused."""

from __future__ import annotations

import functools
import inspect
import operator
import sys
import weakref
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    WrapperDescriptorType,
)
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, change
from minidl.backend import Device, is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.rewrite.source import SourceError
from minidl.compiler.structure import is_dataclass, leaves
from minidl.compiler.symbolic import Number
from minidl.compiler.watch import native
from minidl.compiler.watch.builtin_calls import BuiltinCalls
from minidl.compiler.watch.construction import Construction
from minidl.compiler.watch.guards import MISSING, is_plain, static_attribute
from minidl.compiler.watch.names import absolute, global_names, imported_names
from minidl.compiler.watch.native_calls import NativeCalls
from minidl.compiler.watch.trust import is_engine, is_library, is_named_tuples, is_own
from minidl.random import Generator

_NATIVE = (
    BuiltinFunctionType, MethodDescriptorType, MethodWrapperType, WrapperDescriptorType,
    ClassMethodDescriptorType, np.ufunc,
)  # fmt: skip
_CHANGES_FACTS = frozenset({"register_hook", "detach_"})
_MODE_SETTERS = frozenset(
    {"set_default_dtype", "set_default_device", "set_kernels", "manual_seed_all"}
)
_CACHED = type(functools.cache(lambda: None))
_DISPATCH = functools.singledispatch(lambda _: None).dispatch.__code__
_IN_THE_KEY = frozenset(
    {"is_grad_enabled", "get_default_dtype", "get_default_device", "current_generator"}
)
"""Modes of the thread on which the choice of a plan depends already."""

_KEEPS_NUMBERS = frozenset(
    {"add", "sub", "mul", "div", "pow", "__rsub__", "__rtruediv__", "__rpow__", "lerp", "clamp"}
) | frozenset(f"{name}_" for name in ("add", "sub", "mul", "div", "pow", "clamp"))


class Calls(Construction, NativeCalls, BuiltinCalls):
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
        if kind is _CACHED:
            return self.call_cached(function, args, kwargs)
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
        if code is _DISPATCH:
            return self.call_cached(function, args, kwargs)
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
        self.began += 1
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
            self._guard_missing_import(absolute(module, space), names)

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

    def call_cached(self, function: Any, args: tuple, kwargs: dict) -> Any:
        """Call a function that keeps its results: what it has for the arguments is guarded.

        Each replay asks it again first. It may compute then, which it would in an eager call.
        """
        plain = (args, tuple(kwargs.values()))
        if not is_plain(plain) and not all(is_plain(a) or isinstance(a, type) for a in args):
            raise self.refused(function)
        result = self.recorder.alone(function, args, kwargs)
        given = [self.guards.constant(arg) for arg in args]
        given += [f"{name}={self.guards.constant(arg)}" for name, arg in kwargs.items()]
        read = f"{self.guards.constant(function)}({', '.join(given)})"
        self.guard(("cached", read, ""), read, result, f"{self.name_of(function)}()")
        return result

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
        for arg in leaves((args, kwargs)):
            if isinstance(arg, TensorBase):
                self.shape_of(arg)
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
            if id(leaf) not in self.recorder.foreign and all(leaf is not t for t in leaves(given)):
                self.new_tensors.add(id(leaf))
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
