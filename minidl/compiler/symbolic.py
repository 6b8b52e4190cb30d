"""Numbers that differ from call to call: computed again in each replay.

A Python number that a step reads is a constant of its plan, guarded by its value. If it keeps
changing (a learning rate, a counter), the next capture makes it a `Number`: arithmetic with it
is recorded like an operator's, and what Python decides with it (``if n % 4 == 0``) becomes a
guard on the decision, not on the number.
"""

from __future__ import annotations

import builtins
import itertools
import math
import operator
from collections.abc import Callable
from typing import Any

from minidl.autograd import TensorBase
from minidl.compiler.errors import CaptureError, users_line
from minidl.compiler.trace import Value

_NEVER_FAIL = frozenset(
    {
        operator.add, operator.sub, operator.mul, operator.neg, operator.pos, operator.invert,
        operator.and_, operator.or_, operator.xor, abs,
    }
)  # fmt: skip
"""Arithmetic that is not guarded to succeed, in a step that handles errors."""

_MOST_TEXT = 1000
"""The length of expressions that are evaluated before each replay to see that they do not fail."""


_MOST_DEPTH = 150
"""The depth of expressions in guards, of which Python compiles 200 levels."""


class Number:
    """An int or float that is read again, or computed again, in each replay.

    Not a subclass of either: what looks at the value goes through a method of this class.

    Attributes
    ----------
    value : int or float
        What it is in the captured run.
    text : str or None
        The expression of guards that gives it before a replay; None if it depends on what
        changes during one.
    """

    __slots__ = ("_recorded", "text", "value", "watch")

    def __init__(self, watch: Any, value: Any, text: str | None, recorded: Value):
        self.watch, self.value, self.text = watch, value, text
        watch.recorder.has_numbers = True
        self._recorded = recorded

    def recorded(self) -> Value:
        """Its value in the trace."""
        return self._recorded

    def settled(self, outcome: Any, text: str | None, how: str) -> Any:
        """``outcome``, which Python's code goes on with: guarded, for it decides what is done."""
        if text is None:
            raise CaptureError(
                f"{users_line()}: {how} decides on a number that the step itself changes while it "
                "runs, which cannot be checked before a replay. Read it before it is changed, or "
                "compute it outside the step"
            )
        if _depth(text) > _MOST_DEPTH:
            raise CaptureError(
                f"{users_line()}: {how} decides on a number that is computed in too many steps to "
                "be checked before a replay. Compute it outside the step"
            )
        self.watch.guard_outcome(text, outcome)
        return outcome

    def settle(self, how: str = "the program") -> Any:
        """The plain number, guarded by its value."""
        return self.settled(self.value, self.text, how)

    # ----------------------------------------------------------------- what looks at the value

    def __bool__(self) -> bool:
        text = self.text and f"bool({self.text})"
        return self.settled(bool(self.value), text, "a condition")

    def __index__(self) -> int:
        return operator.index(self.settle("an index"))

    def __int__(self) -> int:
        text = self.text and f"int({self.text})"
        return self.settled(int(self.value), text, "int()")

    def __float__(self) -> float:
        return float(self.settle("float()"))

    def __trunc__(self) -> int:
        return math.trunc(self.settle("trunc()"))

    def __hash__(self) -> int:
        return hash(self.settle("hash()"))

    def __repr__(self) -> str:
        return repr(self.settle("its text"))

    def __format__(self, spec: str) -> str:
        return format(self.settle("its text"), spec)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.settle(name), name)

    # ----------------------------------------------------------------- arithmetic

    def __round__(self, digits: int | None = None) -> Any:
        return computed(self.watch, round, (self,) if digits is None else (self, digits))


def computed(watch: Any, function: Callable, args: tuple) -> Any:
    """``function(*args)``, pure arithmetic on numbers some of which are a `Number`."""
    value = _tried(function, args)
    if function is divmod:
        return computed(watch, operator.floordiv, args), computed(watch, operator.mod, args)
    if type(value) is bool:
        return decided(watch, function, args)
    if type(value) not in (int, float):
        return function(*_settled(args))
    call = watch.recorder.note(_name(function), function, args, {})
    call.result = Value(value, call)
    text = _text(watch, function, args)
    if watch.handlers and function not in _NEVER_FAIL and len(text or "") in range(1, _MOST_TEXT):
        watch.guard_test(("computes", text, ""), f"{text} is not None", "a number")
    return Number(watch, value, text, call.result)


def decided(watch: Any, function: Callable, args: tuple) -> Any:
    """``function(*args)``, a comparison, guarded by its outcome."""
    outcome = _tried(function, args)
    number = next(arg for arg in args if type(arg) is Number)
    return number.settled(outcome, _text(watch, function, args), "a comparison")


def _tried(function: Callable, args: tuple) -> Any:
    """``function`` of plain numbers, guarded by their values if it fails: it may be handled."""
    try:
        return function(*(arg.value if type(arg) is Number else arg for arg in args))
    except Exception:
        _settled(args)
        raise


def _settled(args: tuple) -> tuple:
    return tuple(arg.settle() if type(arg) is Number else arg for arg in args)


def _text(watch: Any, function: Callable, args: tuple) -> str | None:
    texts = [arg.text if type(arg) is Number else watch.guards.constant(arg) for arg in args]
    if None in texts:
        return None
    return f"{watch.guards.constant(function)}({', '.join(texts)})"


def _depth(text: str) -> int:
    return max(itertools.accumulate({"(": 1, ")": -1}.get(sign, 0) for sign in text))


def _name(function: Callable) -> str:
    return getattr(function, "__name__", "arithmetic")


def _binary(function: Callable) -> tuple[Callable, Callable]:
    def forward(self: Number, other: Any) -> Any:
        if isinstance(other, TensorBase):
            return NotImplemented
        if type(other) is not Number and type(other) not in (int, float, bool):
            return function(self.settle("an operator"), other)
        return computed(self.watch, function, (self, other))

    def reflected(self: Number, other: Any) -> Any:
        if isinstance(other, TensorBase):
            return NotImplemented
        if type(other) not in (int, float, bool):
            return function(other, self.settle("an operator"))
        return computed(self.watch, function, (other, self))

    return forward, reflected


def _comparison(symbol: str) -> Callable:
    function = getattr(operator, symbol)

    def compare(self: Number, other: Any) -> Any:
        if isinstance(other, TensorBase) and symbol in ("eq", "ne"):
            return getattr(other, symbol)(self)  # else Python would compare identities
        if other is None or isinstance(other, TensorBase):
            return NotImplemented
        if type(other) is not Number and type(other) not in (int, float, bool):
            return function(self.settle("a comparison"), other)
        return decided(self.watch, function, (self, other))

    return compare


def _unary(function: Callable) -> Callable:
    return lambda self: computed(self.watch, function, (self,))


_BINARY = {
    "add": operator.add, "sub": operator.sub, "mul": operator.mul, "truediv": operator.truediv,
    "floordiv": operator.floordiv, "mod": operator.mod, "pow": operator.pow, "and": operator.and_,
    "or": operator.or_, "xor": operator.xor, "lshift": operator.lshift, "rshift": operator.rshift,
    "divmod": builtins.divmod,
}  # fmt: skip
_UNARY = {"neg": operator.neg, "pos": operator.pos, "invert": operator.invert, "abs": builtins.abs}

for _symbol, _function in _BINARY.items():
    _forward, _reflected = _binary(_function)
    setattr(Number, f"__{_symbol}__", _forward)
    setattr(Number, f"__r{_symbol}__", _reflected)
for _symbol in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Number, f"__{_symbol}__", _comparison(_symbol))
for _symbol, _function in _UNARY.items():
    setattr(Number, f"__{_symbol}__", _unary(_function))
