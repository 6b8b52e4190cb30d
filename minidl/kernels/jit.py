"""How kernels are compiled for the CPU, and when they use threads.

``@jit`` compiles one function, ``@inner`` one that only other compiled ones call, ``@threaded``
the same function twice: with threads and without, which is well for a short loop. ``@shared``
compiles once a kernel that deals out its work, see `minidl.kernels.share`. All are cached on
disk by Numba, compile at the first call and never at import, and say so when they do. The
results must not depend on the number of threads: split the work by its size, never by the
thread count.

Numba looks only at a kernel's own file when it decides whether its cache is stale: keep
a kernel and the jitted functions that it calls in one file.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
import types
from collections.abc import Callable, Iterator

import numba
import numpy as np
from numba.core import event
from tqdm import tqdm

from minidl.kernels.launch import noted, running, tape
from minidl.kernels.share import ALONE, team

# Allow sums to be reordered and multiply-adds to be fused, but keep NaN and infinity.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}

_OPTIONS = {
    "cache": True,
    "nogil": True,
    "fastmath": FASTMATH,
    "error_model": "numpy",
    "no_cfunc_wrapper": True,  # nothing calls them from C
}

jit = numba.njit(**_OPTIONS)
parallel_jit = numba.njit(**_OPTIONS, parallel=True)

FLOATS = np.dtype(np.float32), np.dtype(np.float64)
"""What the CPU's kernels compute in; of other dtypes the reference sees to."""

# Below about this many multiply-adds, waking a second thread costs more than it saves. With one
# thread the build for several runs all the same: two builds may round in two ways.
THREAD_WORK = 200_000 if numba.config.NUMBA_NUM_THREADS > 1 else sys.maxsize


def _threads_mix() -> bool:
    """Whether kernels may use threads in several Python threads at once."""
    try:
        importlib.import_module("numba.np.ufunc.omppool")
    except ImportError:  # then Numba falls back on a pool that aborts the process
        return False
    return True


class _State(threading.local):
    def __init__(self) -> None:
        main = threading.current_thread() is threading.main_thread()
        self.serial = not (main or _threads_mix())


_state = _State()


def is_single_threaded() -> bool:
    """Whether kernels called by this thread may start no others."""
    return _state.serial


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Kernels called by this thread start no others (background loaders, worker processes).

    Worker processes need it: a process forked from one that ran GNU OpenMP may not use it.
    """
    previous, _state.serial = _state.serial, True
    try:
        yield
    finally:
        _state.serial = previous


def set_num_threads(count: int) -> None:
    """Let kernels use up to ``count`` threads (at most as many as at import)."""
    limit = numba.config.NUMBA_NUM_THREADS
    if not 1 <= count <= limit:
        raise ValueError(f"set_num_threads({count}): this process can use 1 to {limit} threads")
    numba.set_num_threads(count)


def get_num_threads() -> int:
    """How many threads a kernel may use."""
    return numba.get_num_threads()


class Inner:
    """A function for kernels alone; a third less to compile, as Python cannot call it."""

    def __init__(self, function: Callable):
        self._dispatcher = numba.njit(**_OPTIONS, no_cpython_wrapper=True)(function)
        self._numba_type_ = self._dispatcher._numba_type_
        functools.update_wrapper(self, function)

    def __call__(self, *_args: object) -> None:
        raise TypeError(f"{self.__name__} is for compiled kernels alone")


def inner(function: Callable) -> Inner:
    """Compile a function that compiled kernels call, and nothing else."""
    return Inner(function)


class Threaded:
    """A kernel that runs with threads or without; the size of the work decides.

    ``run(work, *args)`` is what a launch of it does, for when it is a part of another launch.
    """

    def __init__(self, function: Callable, run: Callable):
        self.__name__ = function.__name__
        self.py_func = function  # as Numba calls it
        self.run = run

    def __call__(self, work: int, *args: object) -> None:
        """Run on ``args``; ``work`` is about the number of multiply-adds."""
        if running and tape.note is not None:
            noted(self, (work, *args), self.run, (work, *args))
        else:
            self.run(work, *args)


def threaded(function: Callable) -> Threaded:
    """Compile a function that loops over ``prange``, with threads and without."""
    parallel = parallel_jit(function)
    serial = jit(_renamed(function, function.__name__ + "_serial"))

    def run(work: int, *args: object) -> None:
        if work < THREAD_WORK or _state.serial:
            serial(*args)
        else:
            parallel(*args)

    return Threaded(function, run)


def shared(function: Callable) -> Threaded:
    """Compile, once, a function ``(team, ...)`` that deals out its work by `share`."""
    kernel = jit(function)

    def run(work: int, *args: object) -> None:
        kernel(ALONE if work < THREAD_WORK or _state.serial else team(), *args)

    return Threaded(function, run)


def _renamed(function: Callable, name: str) -> Callable:
    # Numba's cache knows a function by file, name and line: two builds need two names.
    twin = types.FunctionType(
        function.__code__, function.__globals__, name, function.__defaults__, function.__closure__
    )
    twin.__qualname__ = name
    twin.__module__ = function.__module__
    return twin


class _CompileNotice(event.Listener):
    """Says what is compiled, so that a first run does not look as if it hung.

    A kernel is named, the functions that are compiled on its way are not.
    """

    depth = 0  # Numba compiles one thing at a time, whatever the number of threads

    def on_start(self, event: event.Event) -> None:
        function = event.data["dispatcher"].py_func
        if self.depth == 0 and function.__module__.startswith("minidl."):
            kernel = f"{function.__module__.removeprefix('minidl.kernels.')}.{function.__name__}"
            # above a progress bar, if there is one
            tqdm.write(f"minidl: compiling {kernel} (once, then cached)", file=sys.stderr)
        self.depth += 1

    def on_end(self, event: event.Event) -> None:
        self.depth -= 1


event.register("numba:compile", _CompileNotice())
