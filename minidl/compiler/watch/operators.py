"""Operators, formats and context managers: methods of classes are called watched."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any

from minidl.autograd import TensorBase
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.rewrite import hooks as transparent
from minidl.compiler.rewrite.hooks import Hooks
from minidl.compiler.symbolic import Number
from minidl.compiler.watch.contents import VIEWS
from minidl.compiler.watch.guards import MISSING, is_plain, static_attribute
from minidl.compiler.watch.trust import is_engine

_BINARY_METHODS = {
    "+": ("__add__", "__radd__"), "-": ("__sub__", "__rsub__"), "*": ("__mul__", "__rmul__"),
    "/": ("__truediv__", "__rtruediv__"), "//": ("__floordiv__", "__rfloordiv__"),
    "%": ("__mod__", "__rmod__"), "**": ("__pow__", "__rpow__"), "@": ("__matmul__", "__rmatmul__"),
    "<<": ("__lshift__", "__rlshift__"), ">>": ("__rshift__", "__rrshift__"),
    "&": ("__and__", "__rand__"), "|": ("__or__", "__ror__"), "^": ("__xor__", "__rxor__"),
    "==": ("__eq__", "__eq__"), "!=": ("__ne__", "__ne__"), "<": ("__lt__", "__gt__"),
    "<=": ("__le__", "__ge__"), ">": ("__gt__", "__lt__"), ">=": ("__ge__", "__le__"),
}  # fmt: skip
_UNARY_METHODS = {"-": "__neg__", "+": "__pos__", "~": "__invert__"}
_OF_NUMBERS = frozenset({Number, int, float, bool, type(None)})
"""What a `Number` is computed with by itself; with all else it is a plain number."""

_TRANSPARENT = Hooks()


class Operators:
    """The part of a `Watch` that computes with Python's operators.

    Attributes
    ----------
    handlers : str
        Where the program first handles errors, or cleans up after them, as ``file:line``; "" if
        nowhere. A replay runs no handlers.
    """

    handlers = ""

    def handling(self) -> None:
        """Note that the program handles errors here."""
        self.handlers = self.handlers or self.line()

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """``left + right`` and the like."""
        return self._operated(sign, transparent.BINARY[sign], left, right)

    def inplace(self, sign: str, left: Any, right: Any) -> Any:
        """``left += right`` and the like."""
        function = transparent.INPLACE[sign]
        if isinstance(left, TensorBase):
            right = right if type(right) is Number else self.deep(right)
            self.recorder.register(left)
            return self.trusted(function, (left, right), {})
        name = "__i" + _BINARY_METHODS[sign][0][2:]
        method = self.special_method(left, name)
        if type(method) is FunctionType:
            return self.call(method, (left, right), {})
        if isinstance(left, list | set | dict | deque) and not self.is_inside(left):
            return self.mutate(getattr(type(left), name), left, (self.iterated_argument(right),))
        if is_array(left) and not self.is_inside(left):
            raise CaptureError(
                f"{self.line()}: the step changes a NumPy array in place, which a replay would "
                "not: make it a tensor"
            )
        if isinstance(left, list | set | dict | deque):
            return function(left, self.iterated_argument(right))
        return self._operated(sign, function, left, right)

    def unary(self, sign: str, value: Any) -> Any:
        """``-value`` and the like."""
        method = self.special_method(value, _UNARY_METHODS[sign])
        if type(method) is FunctionType and not isinstance(value, TensorBase | Number):
            return self.call(method, (value,), {})
        if isinstance(value, TensorBase):
            self.recorder.register(value)
        if is_array(value):
            self.host_operand(value)
        result = transparent.UNARY[sign](value)
        return self._numpy_result(result)

    def compare(self, sign: str, left: Any, right: Any) -> Any:
        """``left < right`` and the like."""
        if sign == "in":
            return self.contains(right, left)
        if sign == "not in":
            return not self.contains(right, left)
        if sign == "!=" and not isinstance(left, TensorBase | Number):
            equal = static_attribute(type(left), "__eq__")
            unequal = static_attribute(type(left), "__ne__")
            if type(equal) is FunctionType and type(unequal) is not FunctionType:
                return not self.truth(self.compare("==", left, right))
        return self._operated(sign, transparent.COMPARE[sign], left, right)

    def _operated(self, sign: str, function: Callable, left: Any, right: Any) -> Any:
        if isinstance(left, TensorBase) or isinstance(right, TensorBase):
            left = left if type(left) is Number else self.deep(left)
            right = right if type(right) is Number else self.deep(right)
            return self.vouched(self.trusted(function, (left, right), {}))
        if type(left) is Number or type(right) is Number:
            if type(left) in _OF_NUMBERS and type(right) in _OF_NUMBERS:
                return function(left, right)
            left, right = self.plain(left), self.plain(right)
        if is_plain(left) and is_plain(right):
            return function(left, right)
        if is_array(left) or is_array(right):
            for side in (left, right):
                self.host_operand(side)
            return self._numpy_result(function(left, right))
        forward, reflected = _BINARY_METHODS[sign]
        first = self.special_method(left, forward)
        second = self.special_method(right, reflected)
        if type(first) is FunctionType or type(second) is FunctionType:
            return self._by_methods(sign, left, right)
        keeps = sign in "+*" and any(isinstance(side, list | tuple) for side in (left, right))
        for side in (left, right):  # a longer sequence has the elements, whatever they are
            self.content(side) if keeps or isinstance(side, VIEWS) else self.deep(side)
        return self.make_fresh(self.native(function, (left, right), {}))

    def host_operand(self, value: Any) -> None:
        """Guard an operand of NumPy's; CaptureError if it is the memory of a tensor."""
        if is_array(value) and self.recorder.is_tensor_memory(value):
            self.recorder.read(None, "NumPy")
        self.deep(value)

    def _numpy_result(self, result: Any) -> Any:
        if is_array(result):
            self.recorder.add_constant(result)
        return result

    def _by_methods(self, sign: str, left: Any, right: Any) -> Any:
        """Python's protocol of operators, for classes that define them in Python."""
        forward, reflected = _BINARY_METHODS[sign]
        tries = [(forward, left, right), (reflected, right, left)]
        if type(right) is not type(left) and isinstance(right, type(left)):
            tries.reverse()
        for name, owner, other in tries:
            method = static_attribute(type(owner), name)
            if method is MISSING:
                continue
            self.guard_type(owner)
            self.guard_class(type(owner), name, method)
            result = self.call(method, (owner, other), {})
            if result is not NotImplemented:
                return result
        if sign in ("==", "!="):
            return (left is right) == (sign == "==")
        raise TypeError(
            f"unsupported operand type(s) for {sign}: {type(left).__name__!r} and "
            f"{type(right).__name__!r}"
        )

    def format(self, value: Any, conversion: str | None, spec: str) -> str:
        """``f"{value!conversion:spec}"``."""
        if type(value) is Number:
            value = value.settle("its text")
        kind = type(value)
        if not is_plain(value) and not isinstance(value, TensorBase | type):
            names = {"r": ("__repr__",), "s": ("__str__", "__repr__")}.get(
                conversion or "", ("__format__", "__str__", "__repr__")
            )
            for name in names:
                method = static_attribute(kind, name)
                if type(method) is FunctionType and not is_engine(method.__code__):
                    self.guard_class(kind, name, method)
                    given = (value, spec) if name == "__format__" else (value,)
                    text = self.call(method, given, {})
                    return text if name == "__format__" else format(text, spec)
                if method is not static_attribute(object, name):
                    break
            self.deep(value)
        return Hooks.format(_TRANSPARENT, value, conversion, spec)

    def context(self, manager: Any) -> Any:
        """A context manager whose methods are watched."""
        enter = static_attribute(type(manager), "__enter__")
        if type(enter) is FunctionType and not is_engine(enter.__code__):
            return _WatchedContext(self, manager)
        return manager


def cleans_up(manager: Any) -> bool:
    """Whether a context manager does what a replay has to do: all but the engine's modes."""
    if type(manager) is nullcontext:
        return False
    enter = static_attribute(type(manager), "__enter__")
    entered = getattr(manager, "gen", None) if type(manager) is _GENERATED else enter
    code = getattr(entered, "gi_code", None) or getattr(entered, "__code__", None)
    return code is None or not is_engine(code)


_GENERATED = type(contextmanager(lambda: iter(()))())


class _WatchedContext:
    """Enters and leaves a context manager through a watch."""

    def __init__(self, watch: Any, manager: Any):
        self.watch, self.manager = watch, manager

    def __enter__(self) -> Any:
        method = static_attribute(type(self.manager), "__enter__")
        self.watch.guard_class(type(self.manager), "__enter__", method)
        return self.watch.call(method, (self.manager,), {})

    def __exit__(self, *exception: Any) -> Any:
        method = static_attribute(type(self.manager), "__exit__")
        self.watch.guard_class(type(self.manager), "__exit__", method)
        return self.watch.call(method, (self.manager, *exception), {})
