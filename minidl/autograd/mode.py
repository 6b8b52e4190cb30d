"""What holds for this thread: whether it records a graph, and who watches it compute."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

from minidl.autograd.observer import Observer


class _Mode(threading.local):
    enabled = True
    observer: Observer | None = None


mode = _Mode()
"""This thread's grad mode, and who watches it; operators read both on every call."""


@contextlib.contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Within the block, this thread's computations go through ``observer``."""
    previous, mode.observer = mode.observer, observer
    try:
        yield
    finally:
        mode.observer = previous


def run(name: str, function: Callable, *args: Any, **options: Any) -> Any:
    """``function(*args, **options)``, which makes new arrays or numbers, as an observer has it."""
    if mode.observer is None:
        return function(*args, **options)
    return mode.observer.call(name, function, args, options)


def change(name: str, function: Callable, *args: Any) -> None:
    """``function(*args)``, which changes arrays or other state in place, as an observer has it."""
    if mode.observer is None:
        function(*args)
    else:
        mode.observer.change(name, function, args)


def phase(name: str, function: Callable, *args: Any) -> Any:
    """``function(*args)``, a part of the program whose computations an observer sees one by one."""
    if mode.observer is None:
        return function(*args)
    return mode.observer.phase(name, function, args)


def invoke(function: Callable, *args: Any) -> Any:
    """Call a hook or a rule of the user's, through the observer if there is one."""
    if mode.observer is None:
        return function(*args)
    return mode.observer.invoke(function, args)


def reading(tensor: Any, how: str) -> None:
    """Tell an observer that the host is about to look at values."""
    if mode.observer is not None:
        mode.observer.read(tensor, how)


def is_grad_enabled() -> bool:
    """Whether this thread records operations for differentiation."""
    return mode.enabled


class set_grad_enabled(contextlib.ContextDecorator):
    """Context manager or decorator: record operations in this thread, or do not."""

    def __init__(self, mode: bool):
        self.mode = mode

    def _recreate_cm(self) -> set_grad_enabled:
        return set_grad_enabled(self.mode)  # one state per call, so decorated functions nest

    def __enter__(self) -> None:
        self.previous, mode.enabled = mode.enabled, self.mode

    def __exit__(self, *exception: object) -> None:
        mode.enabled = self.previous


def no_grad(function: Callable | None = None) -> Any:
    """Context manager or decorator: operations in this thread are not recorded.

    ``with no_grad():``, ``@no_grad()`` or ``@no_grad``.
    """
    return _entered(False, function)


def enable_grad(function: Callable | None = None) -> Any:
    """Context manager or decorator: operations in this thread are recorded again."""
    return _entered(True, function)


def _entered(enabled: bool, function: Callable | None) -> Any:
    switch = set_grad_enabled(enabled)
    return switch if function is None else switch(function)
