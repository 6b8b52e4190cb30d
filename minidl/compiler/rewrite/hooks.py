"""Hooks: what an instrumented copy calls, here with the meaning that Python gives it."""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

BINARY = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "@": operator.matmul,
    "<<": operator.lshift,
    ">>": operator.rshift,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
INPLACE = {
    "+": operator.iadd,
    "-": operator.isub,
    "*": operator.imul,
    "/": operator.itruediv,
    "//": operator.ifloordiv,
    "%": operator.imod,
    "**": operator.ipow,
    "@": operator.imatmul,
    "<<": operator.ilshift,
    ">>": operator.irshift,
    "&": operator.iand,
    "|": operator.ior,
    "^": operator.ixor,
}
UNARY = {"-": operator.neg, "+": operator.pos, "~": operator.invert}
COMPARE = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONVERT = {"s": str, "r": repr, "a": ascii}


class Hooks:
    """The transparent hooks: a copy bound to them does what the original does.

    A subclass overrides what it wants to see. Methods are called by position, except
    :meth:`set_attribute` and :meth:`set_item`, whose parameters must keep their names: Python
    computes the value that is stored before it computes where.
    """

    slice = builtins.slice
    """``a[i:j]`` is ``item(a, slice(i, j, None))``; no name of the user's can hide it."""

    # ------------------------------------------------------------------ names

    def read_global(self, name: str, value: Any) -> Any:
        """A global or builtin name is read: the value that goes on."""
        return value

    def read_free(self, name: str, value: Any) -> Any:
        """A variable of an enclosing function is read, from outside the copied function."""
        return value

    def wrote_global(self, name: str, value: Any) -> None:
        """A global was bound, in any way."""

    def wrote_free(self, name: str, value: Any) -> None:
        """A variable of an enclosing function was bound (``nonlocal``)."""

    def deleted_global(self, name: str) -> None:
        """A global was deleted."""

    def deleted_free(self, name: str) -> None:
        """A variable of an enclosing function was deleted."""

    def imported(self, module: str, name: str | None, value: Any) -> None:
        """An import statement has bound ``value``.

        Parameters
        ----------
        module : str
            As written, with the dots of a relative import: ``"..a.b"``.
        name : str or None
            What was imported from it; None for ``import a.b``.
        value : object
            What was bound: for ``import a.b``, the module ``a``.
        """

    # ------------------------------------------------------------------ attributes and items

    def attribute(self, owner: Any, name: str) -> Any:
        """``owner.name``; private names come mangled."""
        return getattr(owner, name)

    def set_attribute(self, owner: Any, name: str, value: Any) -> None:
        """``owner.name = value``; called by keyword."""
        setattr(owner, name, value)

    def delete_attribute(self, owner: Any, name: str) -> None:
        """``del owner.name``."""
        delattr(owner, name)

    def item(self, owner: Any, key: Any) -> Any:
        """``owner[key]``."""
        return owner[key]

    def set_item(self, owner: Any, key: Any, value: Any) -> None:
        """``owner[key] = value``; called by keyword."""
        owner[key] = value

    def delete_item(self, owner: Any, key: Any) -> None:
        """``del owner[key]``."""
        del owner[key]

    # ------------------------------------------------------------------ operators

    def binary(self, sign: str, left: Any, right: Any) -> Any:
        """``left + right``, or another of ``+ - * / // % ** @ << >> & | ^``."""
        return BINARY[sign](left, right)

    def inplace(self, sign: str, left: Any, right: Any) -> Any:
        """``left += right``: what is bound again; signs as in :meth:`binary`."""
        return INPLACE[sign](left, right)

    def unary(self, sign: str, value: Any) -> Any:
        """``-value``, or another of ``- + ~``."""
        return UNARY[sign](value)

    def compare(self, sign: str, left: Any, right: Any) -> Any:
        """``left < right``, or another of ``== != < <= > >= in``, ``not in``."""
        if sign == "in":
            return left in right
        if sign == "not in":
            return left not in right
        return COMPARE[sign](left, right)

    def identical(self, left: Any, right: Any) -> bool:
        """``left is right``; ``is not`` is the opposite of it."""
        return left is right

    def truth(self, value: Any) -> bool:
        """``bool(value)``: a condition looks at it. The result must be a bool."""
        return bool(value)

    def operand(self, value: Any) -> Any:
        """``value`` itself, which ``and`` or ``or`` is about to test, and may return."""
        return value

    def format(self, value: Any, conversion: Literal["s", "r", "a"] | None, spec: str) -> str:
        """``f"{value!conversion:spec}"``."""
        if conversion is not None:
            value = _CONVERT[conversion](value)
        return builtins.format(value, spec)

    # ------------------------------------------------------------------ calls and contents

    def call(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """``function(*args, **kwargs)``, decorators included."""
        return function(*args, **kwargs)

    def iterate(self, values: Any) -> Any:
        """An iterable that a loop, a comprehension, ``yield from`` or ``*`` goes through."""
        return values

    def iterate_mapping(self, values: Any) -> Any:
        """A mapping whose items ``**`` takes."""
        return values

    def unpack(self, values: Any) -> Any:
        """An iterable that is taken apart into targets."""
        return values

    def read_all(self, subject: Any) -> Any:
        """A subject of ``match``, of which patterns may read anything."""
        return subject

    def context(self, manager: Any) -> Any:
        """A context manager that ``with`` enters."""
        return manager

    def handling(self) -> None:
        """A ``try`` statement begins."""

    def made(self, value: Any) -> Any:
        """A new list, dict, set or generator, of a display or comprehension."""
        return value

    # ------------------------------------------------------------------ made of the above

    def super_call(self, function: Any, owner: type, first: Any) -> Any:
        """``super()`` without arguments, told what it would look up in the caller's frame."""
        return self.call(function, owner, first) if function is super else self.call(function)

    def decorator(self, function: Any) -> Callable[[Any], Any]:
        """A decorator of a nested function or class, applied by :meth:`call`."""
        return partial(self.call, function)

    def chain(self, signs: tuple[str, ...], left: Any, *rest: Callable[[], Any]) -> Any:
        """``left < b < c``, where no variable can hold ``b``: operands come as functions."""
        result: Any = True
        for i, (sign, operand) in enumerate(zip(signs, rest)):
            if i and not self.truth(result):
                break
            right = operand()
            result = self._compared(sign, left, right)
            left = right
        return result

    def _compared(self, sign: str, left: Any, right: Any) -> Any:
        if sign in ("is", "is not"):
            return self.identical(left, right) == (sign == "is")
        return self.compare(sign, left, right)

    def visible(self, names: dict[str, Any] | list[str]) -> dict[str, Any] | list[str]:
        """What ``locals()`` or ``dir()`` returns, without the instrumentation's own variables."""
        if isinstance(names, list):
            return [name for name in names if not name.startswith("@")]
        return {name: value for name, value in names.items() if not name.startswith("@")}
