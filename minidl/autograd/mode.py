"""Whether this thread records operations for differentiation."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any


class _Mode(threading.local):
    enabled = True


mode = _Mode()
"""This thread's grad mode; operators read it on every call."""


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
