"""The hooks of instrumented functions, which report to a watch."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FrameType, FunctionType
from typing import Any

from minidl.compiler.errors import CaptureError, is_users
from minidl.compiler.rewrite.hooks import Hooks
from minidl.compiler.symbolic import Number
from minidl.compiler.watch.operators import cleans_up


class WatchedHooks(Hooks):
    """The hooks of one function's copy."""

    def __init__(self, watch: Any, function: FunctionType):
        self.watch = watch
        self.space = function.__globals__
        self.is_users = is_users(function.__code__, function.__globals__)
        cells = zip(function.__code__.co_freevars, function.__closure__ or ())
        self.cells = dict(cells)

    def locate(self, frame: FrameType) -> None:
        """Note where in the user's program the run is."""
        if frame.f_globals is self.space:  # and not a hook's that calls another
            self.watch.place, self.watch.space = (frame.f_code, frame.f_lineno), self.space

    def give_up(self, error: CaptureError, began: int | None = None) -> None:
        """Note that the run cannot be captured, also if the step catches the error."""
        self.watch.failure = self.watch.failure or str(error)
        self.watch.give_up(error, began)

    def read_global(self, name: str, value: Any) -> Any:
        if not self.watch.here():
            return value
        if self.is_users:
            self.locate(sys._getframe(1))
        if any(value is function for function in _UNWATCHED):
            self.give_up(self.watch.refused(value))
        try:
            return self.watch.read_global(self.space, name, value)
        except CaptureError as error:
            self.give_up(error)
            return value

    def read_free(self, name: str, value: Any) -> Any:
        if not self.watch.here():
            return value
        if self.is_users:
            self.locate(sys._getframe(1))
        try:
            return self.watch.read_free(self.cells[name], name, value)
        except CaptureError as error:
            self.give_up(error)
            return value

    def handling(self) -> None:
        if self.is_users and self.watch.here():
            self.locate(sys._getframe(1))
            self.watch.handling()

    def context(self, manager: Any) -> Any:
        if self.is_users and self.watch.here() and cleans_up(manager):
            self.locate(sys._getframe(1))
            self.watch.handling()
        return _context(self, manager)

    def wrote_global(self, name: str, value: Any) -> None:
        if self.watch.here():
            self.watch.wrote_global(self.space, name, value)

    def wrote_free(self, name: str, value: Any) -> None:
        if self.watch.here():
            self.watch.wrote_free(self.cells[name], value)

    def deleted_global(self, name: str) -> None:
        if self.watch.here():
            self.watch.deleted_global(self.space, name)

    def deleted_free(self, name: str) -> None:
        if self.watch.here():
            self.give_up(self.watch.unwatchable(self.cells[name], "a deleted variable"))

    def imported(self, module: str, name: str | None, value: Any) -> None:
        if self.watch.here():
            self.watch.imported(self.space, module, name, value)


def _delegated(name: str) -> Callable:
    transparent_method = getattr(Hooks, name)

    @functools.wraps(transparent_method)
    def method(self: WatchedHooks, *args: Any, **kwargs: Any) -> Any:
        if self.watch.here():
            if self.is_users:
                self.locate(sys._getframe(1))
            began = self.watch.began
            try:
                return getattr(self.watch, name)(*args, **kwargs)
            except CaptureError as error:
                self.give_up(error, began)
        return transparent_method(self, *args, **kwargs)

    return method


for _name in (
    "attribute", "set_attribute", "delete_attribute", "item", "set_item", "delete_item", "binary",
    "inplace", "unary", "compare", "truth", "format", "iterate", "iterate_mapping", "read_all",
    "identical",
):  # fmt: skip
    setattr(WatchedHooks, _name, _delegated(_name))


_context = _delegated("context")


def _call(self: WatchedHooks, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    if self.watch.here():
        if self.is_users:
            self.locate(sys._getframe(1))
        began = self.watch.began
        try:
            return self.watch.call(function, args, kwargs)
        except CaptureError as error:
            self.give_up(error, began)
    return function(*args, **kwargs)


def _operand(self: WatchedHooks, value: Any) -> Any:
    if self.watch.here() and type(value) is not Number:
        self.truth(value)
    return value


def _iterated(self: WatchedHooks, values: Any) -> Any:
    return self.iterate(values)


def _made(self: WatchedHooks, value: Any) -> Any:
    return self.watch.make_inside(value) if self.watch.here() else value


WatchedHooks.call, WatchedHooks.operand, WatchedHooks.made = _call, _operand, _made
WatchedHooks.unpack = _iterated
_UNWATCHED = (eval, exec, dir, compile, input, open)
"""Builtins that the copy calls itself, or that no guard can cover."""
