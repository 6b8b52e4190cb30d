"""Watching: every computation of a thread is noted with its times and the shapes that it saw.

What is noted must be cheap, for it is noted in the middle of what is measured: a tuple for each
computation, which `minidl.profiler.events` reads when the profile has ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any, NamedTuple

import numpy as np

from minidl.autograd import Observer, TensorBase
from minidl.backend import device_of, is_array
from minidl.kernels.jit import Threaded
from minidl.profiler.gpu import Gpu, gpu_in_use

OPERATOR, KERNEL, RANGE, PHASE = "operator", "kernel", "range", "phase"
"""The kinds of events; a kernel is a launch inside an operator."""

_PLAIN = {int, float, bool, str, type(None), *np.sctypeDict.values()}
_ONE = (1,)
_Array = np.ndarray


class Note(NamedTuple):
    """How a computation is noted (as a plain tuple, which is made in less time).

    ``depth`` counts the computations around it; ``what`` is its name, of a kernel the function;
    times are in nanoseconds. ``given`` and ``made`` are its arguments and results: an array is a
    tuple (dtype, shape, and the value of a flag), a list or tuple a tuple of the same, what is
    neither a number nor a string is None. ``still`` says that no array was read or written.
    """

    depth: int
    kind: str
    what: Any
    start: int
    end: int
    given: Any = ()
    made: Any = ()
    still: bool = False


class Watcher(Observer):
    """Notes the computations of the thread, and has ``inner`` do them if there is one.

    Attributes
    ----------
    notes : list of tuple
        A `Note` each, in the order in which they ended.
    kinds : set of str
        The devices other than the CPU whose arrays were seen.
    """

    def __init__(self, inner: Observer | None, noted: Callable | None):
        self.inner = inner
        self.noted = noted
        self.notes: list[tuple] = []
        self.depth = 0
        self.kinds: set[str] = set()
        self.gpu: Gpu | None = gpu_in_use()
        self.running = True

    @property
    def recording(self) -> bool:
        return self.inner is not None and self.inner.recording

    @property
    def device(self) -> str:
        """Where it was computed: "cuda", "emulator" or, if no array was on either, "cpu"."""
        return min(self.kinds, default="cpu")

    def stop(self) -> None:
        """Note no more; ranges that are open stay unknown."""
        self.running = False
        if self.gpu is not None and self.gpu.open:
            self.gpu.pop_to(0)

    # ----------------------------------------------------------------- what the engine tells

    def call(self, name: str, function: Callable, args: tuple, options: dict[str, Any]) -> Any:
        given = self._all_seen(args)
        depth, gpu, result = self.depth, self.gpu, None
        self.depth = depth + 1
        opened = 0 if gpu is None else gpu.push(name)
        start = perf_counter_ns()
        try:
            if self.inner is None:
                result = function(*args, **options)
            else:
                result = self.inner.call(name, function, args, options)
            return result
        finally:
            if gpu is not None:
                gpu.pop_to(opened)
            end = perf_counter_ns()
            self.depth = depth
            still = _is_still(function, args, result)
            made = self.seen(result)
            self.notes.append((depth, OPERATOR, name, start, end, given, made, still))

    def change(self, name: str, function: Callable, args: tuple) -> None:
        if self.inner is None:
            self._timed(OPERATOR, name, function, args, self._all_seen(args))
        else:
            inner = name, function, args
            self._timed(OPERATOR, name, self.inner.change, inner, self._all_seen(args))

    def phase(self, name: str, function: Callable, args: tuple) -> Any:
        if self.inner is None:
            return self._timed(PHASE, name, function, args, ())
        return self._timed(PHASE, name, self.inner.phase, (name, function, args), ())

    def read(self, tensor: Any, how: str) -> None:
        if self.inner is not None:
            self.inner.read(tensor, how)

    def invoke(self, function: Callable, args: tuple) -> Any:
        return function(*args) if self.inner is None else self.inner.invoke(function, args)

    def takes(self, values: Iterable) -> None:
        if self.inner is not None:
            self.inner.takes(values)

    def accumulates(self, tensor: Any) -> None:
        if self.inner is not None:
            self.inner.accumulates(tensor)

    def _timed(self, kind: str, name: str, function: Callable, args: tuple, given: Any) -> Any:
        mark = self.begin(kind, name, given)
        try:
            return function(*args)
        finally:
            self.end(mark)

    # ----------------------------------------------------------------- ranges and launches

    def begin(self, kind: str, name: str, given: Any = (), made: Any = ()) -> tuple:
        """Begin an event; what is returned is for `end`."""
        depth, gpu = self.depth, self.gpu
        self.depth = depth + 1
        opened = 0 if gpu is None else gpu.push(name)
        return depth, kind, name, given, made, gpu, opened, perf_counter_ns()

    def end(self, mark: tuple) -> None:
        """End an event, unless the profile has ended before."""
        depth, kind, name, given, made, gpu, opened, start = mark
        if not self.running:
            return
        if gpu is not None:
            gpu.pop_to(opened)
        self.notes.append((depth, kind, name, start, perf_counter_ns(), given, made, False))
        self.depth = depth

    def launched(self, function: Callable, args: tuple) -> Callable[[], None]:
        """A launch begins; what is returned is to be called when it has ended."""
        also = None if self.noted is None else self.noted(function, args)
        given = self._all_seen(args[1:] if type(function) is Threaded else args)
        depth, gpu = self.depth, self.gpu
        self.depth = depth + 1
        opened = 0 if gpu is None else gpu.push(kernel_name(function))
        start = perf_counter_ns()

        def ended() -> None:
            if gpu is not None:
                gpu.pop_to(opened)
            self.notes.append((depth, KERNEL, function, start, perf_counter_ns(), given, (), False))
            self.depth = depth
            if also is not None:
                also()

        return ended

    # ----------------------------------------------------------------- arguments

    def seen(self, value: Any) -> Any:
        """How a value is noted, see `Note`."""
        kind = type(value)
        if kind is _Array:
            return _noted_array(value)
        if kind in _PLAIN:
            return value
        if isinstance(value, tuple):
            return value if _PLAIN.issuperset(map(type, value)) else self._all_seen(value)
        if isinstance(value, list):
            return self._all_seen(value)
        if isinstance(value, dict):
            return {key: item for key, item in value.items() if type(item) in _PLAIN}
        if isinstance(value, TensorBase):
            return self.seen(value.array)
        return self._seen_elsewhere(value) if is_array(value) else None

    def _all_seen(self, values: Any) -> tuple:
        noted = []
        for value in values:  # a comprehension of calls takes twice as long
            kind = type(value)
            if kind is _Array:
                shape = value.shape
                noted.append(_noted_array(value) if shape == _ONE else (value.dtype, shape))
            elif kind in _PLAIN:
                noted.append(value)
            else:
                noted.append(self.seen(value))
        return tuple(noted)

    def _seen_elsewhere(self, array: Any) -> Any:
        """An array that is not NumPy's own."""
        self.kinds.add(device_of(array).type)
        if self.gpu is None and "cuda" in self.kinds:
            self.gpu = gpu_in_use()
        return array.dtype, array.shape


def _noted_array(array: np.ndarray) -> tuple:
    shape, dtype = array.shape, array.dtype
    is_flag = shape == _ONE and dtype.char == "B"
    return (dtype, shape, int(array[0])) if is_flag else (dtype, shape)


def _is_still(function: Callable, args: tuple, result: Any) -> bool:
    """Whether the result is only another look at an argument's memory."""
    if args and result is args[0]:
        return True
    if not getattr(function, "is_view", False):
        return False
    results = result if isinstance(result, tuple) else (result,)
    return all(np.may_share_memory(part, args[0]) for part in results if is_array(part))


def kernel_name(function: Callable) -> str:
    """What a kernel is called: its file and its name, ``conv.flat.correlate``."""
    function = getattr(function, "py_func", function)
    name = getattr(function, "__name__", type(function).__name__).strip("_")
    module = getattr(function, "__module__", None)
    return f"{module.removeprefix('minidl.kernels.')}.{name}" if module else name


# --------------------------------------------------------------------------- this thread's


class _Watched(threading.local):
    """Who watches this thread for a profile, if anybody does."""

    watcher: Watcher | None = None


watched = _Watched()
