"""Watching a thread compute: what a profiler sees and what `minidl.compile` records.

Every computation of the engine is one of three things, and all of them go through the
observer that the thread has, if it has one: a call that makes new arrays, a change of arrays
in place, and a look of the host at values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class Observer:
    """Lets everything pass; a subclass does something about it."""

    recording = False
    """Whether it wants each computation itself, not a repetition of recorded ones."""

    def call(self, name: str, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        """Return ``function(*args, **options)``: new arrays (or, of a generator, numbers)."""
        return function(*args, **options)

    def change(self, name: str, function: Callable, args: tuple) -> None:
        """Call ``function(*args)``, which changes some of its arguments or its object."""
        function(*args)

    def read(self, tensor: Any, how: str) -> None:
        """The host is about to look at the values of ``tensor``, by ``how`` ("item()")."""

    def phase(self, name: str, function: Callable, args: tuple) -> Any:
        """Return ``function(*args)``: a part of the program, which computes by calls of its own."""
        return function(*args)

    def invoke(self, function: Callable, args: tuple) -> Any:
        """Return ``function(*args)``: a hook or a rule of the user's, which works on tensors."""
        return function(*args)

    def takes(self, values: Iterable) -> None:
        """The engine is about to compute with ``values``: tensors, and anything else."""

    def accumulates(self, tensor: Any) -> None:
        """The engine is about to set or to change the gradient of ``tensor``, a leaf."""
