"""Guards: what must still hold for a plan to be replayed, as one generated function.

While a step is captured, every read of outside state adds a guard: an expression of Python
over the very objects that were read, such as ``o3.training is v7`` or ``len(o5) == 2``. All
guards of a capture become one function, which runs before each replay. An expression repeats
the read itself, so it sees whatever the step's own code would see.
"""

from __future__ import annotations

import builtins
import itertools
import math
from collections.abc import Callable
from operator import is_
from types import MethodType
from typing import Any

from minidl.autograd import TensorBase

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "nothing"})()
"""The value of a name, an attribute or a key that does not exist."""

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, type(...)})

IMMUTABLE = (str, bytes, tuple, frozenset, range, slice, int, float, complex, type(None))
"""Classes whose instances have no contents of their own that could change."""


def is_plain(value: Any) -> bool:
    """Whether a value is immutable and is compared by what it is, not by identity."""
    kind = type(value)
    if kind in _PLAIN:
        return True
    if kind is tuple or kind is frozenset:
        return all(map(is_plain, value))
    return kind is slice and is_plain((value.start, value.stop, value.step))


def same(now: Any, before: Any) -> bool:
    """Compare two values: identical, or plain and equal to the last bit."""
    if now is before:
        return True
    kind = type(before)
    if type(now) is not kind:
        return False
    if kind is float:
        return (now == before and math.copysign(1, now) == math.copysign(1, before)) or (
            now != now and before != before
        )
    if kind is tuple or kind is frozenset:  # of a set also the order, which loops see
        return len(now) == len(before) and all(map(same, now, before))
    if kind is complex:
        return same(now.real, before.real) and same(now.imag, before.imag)
    if kind is slice:
        return same((now.start, now.stop, now.step), (before.start, before.stop, before.step))
    return is_plain(before) and now == before


def same_items(now: Any, before: list) -> bool:
    """Compare the items of a container with those that it had."""
    return len(now) == len(before) and (all(map(is_, now, before)) or all(map(same, now, before)))


def same_mapping(now: dict, keys: list, values: list) -> bool:
    """Compare the items of a dict, in their order, with those that it had."""
    return len(now) == len(keys) and same_items(now, keys) and same_items(now.values(), values)


def own_attributes(owner: Any) -> Any:
    """The ``__dict__`` of an object, not by its ``__getattr__``; None if it has none."""
    try:
        return object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None


def static_attribute(cls: type, name: str) -> Any:
    """Look up an attribute of a class without descriptors; `MISSING` if there is none."""
    for base in cls.__mro__:
        found = base.__dict__.get(name, MISSING)
        if found is not MISSING:
            return found
    return MISSING


def text_of(value: Any) -> str:
    """Describe a value in a message."""
    if isinstance(value, TensorBase):
        return f"a tensor {value.array.dtype}{list(value.array.shape)}"
    text = repr(value) if is_plain(value) or value is MISSING else ""
    if (not text and isinstance(value, type)) or (
        callable(value) and hasattr(value, "__qualname__")
    ):
        text = value.__qualname__
    return text if 0 < len(text) <= 60 else f"a {type(value).__name__}"


class Guard:
    """One condition: an expression that repeats a read, and the value that it gave.

    Attributes
    ----------
    read, test : str
        The expression that reads, and the condition; names in them are constants of `Guards`.
    key : tuple
        What is read, the same in each capture: the kind of read, the owner's identity, the name.
    what : str
        What is read, in words.
    line : str
        ``file:line`` of the code that reads it.
    value : object
        What it was.
    """

    __slots__ = ("key", "line", "read", "test", "value", "what")

    def __init__(self, key: tuple, read: str, test: str, what: str, line: str, value: Any):
        self.key, self.read, self.test = key, read, test
        self.what, self.line, self.value = what, line, value


class Guards:
    """The guards of one capture, and the function that checks them.

    Attributes
    ----------
    all : dict
        The guards by their keys, in the order in which they were added.
    """

    def __init__(self) -> None:
        self.all: dict[tuple, Guard] = {}
        self.constants: dict[str, Any] = {
            "same": same, "same_items": same_items, "same_mapping": same_mapping,
            "MISSING": MISSING, "static_attribute": static_attribute,
        }  # fmt: skip
        self._names: dict[int, str] = {}
        self._numbers = itertools.count()
        self._check: Callable[[], bool] | None = None

    def __len__(self) -> int:
        return len(self.all)

    # ----------------------------------------------------------------- adding

    def constant(self, thing: Any) -> str:
        """Name an object, which is kept alive by it, or give the text of a literal."""
        if thing is None or thing is True or thing is False:
            return repr(thing)
        if id(thing) not in self._names:
            name = f"c{next(self._numbers)}"
            self._names[id(thing)] = name
            self.constants[name] = thing
        return self._names[id(thing)]

    def add(self, key: tuple, read: str, value: Any, what: str, line: str) -> None:
        """Guard that the expression ``read`` still gives ``value``."""
        if key in self.all:
            return
        constant = self.constant(value)
        if value is not None and value is not True and value is not False and is_plain(value):
            test = f"({read} is {constant} or same({read}, {constant}))"
        else:
            test = f"{read} is {constant}"
        self.all[key] = Guard(key, read, test, what, line, value)

    def add_test(self, key: tuple, test: str, what: str, line: str, value: Any = True) -> None:
        """Guard that the condition ``test`` holds."""
        if key not in self.all:
            self.all[key] = Guard(key, test, test, what, line, value)

    def add_attribute(self, owner: Any, name: str, value: Any, what: str, line: str) -> None:
        """Guard an attribute; of a bound method, which is new at each read, the function."""
        read = (
            f"{self.constant(owner)}.{name}"
            if name.isidentifier()
            else (f"getattr({self.constant(owner)}, {name!r})")
        )
        key = ("attribute", id(owner), name)
        if type(value) is MethodType and value.__self__ is owner:
            self.add(key, f"{read}.__func__", value.__func__, what, line)
        elif type(value) is MethodType and getattr(owner, name) is not value:
            self.add(key, f"{read}.__func__", value.__func__, what, line)
            self.add((*key, "self"), f"{read}.__self__", value.__self__, what, line)
        else:
            self.add(key, read, value, what, line)

    # ----------------------------------------------------------------- checking

    def holds(self) -> bool:
        """Check all guards; what cannot be read any more does not hold."""
        if self._check is None:
            self._check = self._compiled()
        return self._check()

    def _value_of(self, text: str) -> Any:
        """What an expression of a guard gives now."""
        code = compile(text, "<guards of minidl>", "eval")  # a name whose texts are not kept
        return eval(code, {"__builtins__": builtins, **self.constants})

    def _compiled(self) -> Callable[[], bool]:
        tests = [guard.test for guard in self.all.values()]
        chunks = [tests[i : i + 50] for i in range(0, len(tests), 50)]
        body = "".join(
            f"        if not ({' and '.join(chunk)}): return False\n" for chunk in chunks
        )
        # constants as default arguments, which Python reads fastest
        source = (
            f"def check({', '.join(f'{n}={n}' for n in self.constants)}):\n"
            f"    try:\n{body}        return True\n    except Exception:\n        return False\n"
        )
        space = {"__builtins__": builtins, **self.constants}
        exec(compile(source, "<guards of a compiled step>", "exec"), space)
        return space["check"]

    def failed(self) -> list[Guard]:
        """Find all guards that do not hold."""
        return [guard for guard in self.all.values() if not self._holds(guard.test)]

    def now(self, guard: Guard) -> Any:
        """Read again what a guard is about."""
        try:
            return self._value_of(guard.read)
        except Exception:
            return MISSING

    def _holds(self, test: str) -> bool:
        try:
            return bool(self._value_of(test))
        except Exception:
            return False

    def change(self, guard: Guard) -> str:
        """Say where a guard was made, what it is about, and how that changed."""
        was, now = text_of(guard.value), text_of(self.now(guard))
        how = "was changed" if was == now else f"changed from {was} to {now}"
        return f"{guard.what}, read at {guard.line}, {how}"
