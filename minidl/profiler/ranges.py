"""Ranges by name in a profile, and computations that do not pass through the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from minidl.kernels.jit import Threaded
from minidl.profiler.watch import OPERATOR, RANGE, Watcher, watched


class record_function(contextlib.ContextDecorator):
    """``with record_function("data"):`` (or as a decorator) shows the block under this name.

    Parameters
    ----------
    name : str
        What it is called in the table, in the trace and in Nsight.

    In a thread that is not profiled it does nothing.
    """

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise TypeError(f"record_function: a name is a string, got {type(name).__name__}")
        self.name = name
        self.begun: tuple[Watcher, tuple] | None = None

    def _recreate_cm(self) -> record_function:
        return record_function(self.name)  # one state per call, so decorated functions nest

    def __enter__(self) -> record_function:
        watcher = watched.watcher
        self.begun = None if watcher is None else (watcher, watcher.begin(RANGE, self.name))
        return self

    def __exit__(self, *exception: object) -> None:
        if self.begun is not None:
            watcher, mark = self.begun
            watcher.end(mark)


def active() -> bool:
    """Whether this thread is being profiled."""
    return watched.watcher is not None


def record(name: str, function: Callable, *args: Any, **options: Any) -> Any:
    """``function(*args, **options)``, in a profile as the operator ``name``.

    This is for what repeats computations past the engine, such as a compiled step. A compiled
    kernel reports itself.
    """
    watcher = watched.watcher
    if watcher is None or isinstance(function, Threaded):
        return function(*args, **options)
    return watcher.call(name, function, args, options)


@contextlib.contextmanager
def computation(name: str, given: tuple = (), made: Any = ()) -> Iterator[None]:
    """Show what is launched in the block as the operator ``name``.

    ``given`` are the operator's arguments and ``made`` its results, by which its operations and
    bytes are counted.
    """
    watcher = watched.watcher
    if watcher is None:
        yield
        return
    mark = watcher.begin(OPERATOR, name, watcher.seen(given), watcher.seen(made))
    try:
        yield
    finally:
        watcher.end(mark)
