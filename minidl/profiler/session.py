"""The profile of a block of code."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from time import perf_counter_ns

from minidl.autograd import observed_by
from minidl.autograd.mode import mode
from minidl.kernels.launch import tape, told
from minidl.profiler.averages import averaged, summarized
from minidl.profiler.events import Event, tree
from minidl.profiler.phases import with_phases
from minidl.profiler.table import Averages
from minidl.profiler.trace import write_trace
from minidl.profiler.watch import Watcher, watched


class profile:
    """``with profile() as prof:`` notes what this thread computes in the block, and how long.

    It sees operators, gradients, changes in place and optimizers' steps, and the compiled
    kernels inside them; `minidl.profiler.record_function` gives names to parts of the program.
    Other threads are not watched, and wait for nothing.

    On a GPU every operator and kernel waits until it is done, so that times are its own; that
    keeps host and GPU from working side by side, and the whole takes longer than without a
    profile. Each is also an NVTX range, which Nsight shows by the same names.

    Noting an event takes 2 to 4 µs, which counts as Python between operators (of a kernel, as
    time of the operator around it).

    Parameters
    ----------
    record_shapes : bool
        Show the shapes of arguments in the Chrome trace.

    Raises
    ------
    RuntimeError
        If this thread is being profiled already.
    """

    def __init__(self, *, record_shapes: bool = False):
        self.record_shapes = record_shapes
        self._watcher: Watcher | None = None
        self._stack = contextlib.ExitStack()
        self._begin = self._end = 0
        self._thread = 0, ""

    def __enter__(self) -> profile:
        if watched.watcher is not None:
            raise RuntimeError("profile: this thread is being profiled already; one block will do")
        watcher = Watcher(mode.observer, tape.note)
        self.__dict__.pop("_events", None)
        self._watcher = watched.watcher = watcher
        self._thread = threading.get_native_id(), threading.current_thread().name
        self._stack.enter_context(observed_by(watcher))
        self._stack.enter_context(told(watcher.launched))
        self._begin = perf_counter_ns()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end = perf_counter_ns()
        self._stack.close()
        watched.watcher.stop()
        watched.watcher = None

    @functools.cached_property
    def _events(self) -> list[Event]:
        return with_phases(tree(self._ended("events").notes))

    def _ended(self, what: str) -> Watcher:
        """The watcher of the block; RuntimeError unless that has been run to its end."""
        if self._watcher is None:
            raise RuntimeError(f"{what}: nothing has been profiled: with {type(self).__name__}():")
        if self._watcher.running:
            raise RuntimeError(f"{what}: the profile goes on until the end of its with block")
        return self._watcher

    def key_averages(self, group_by_input_shape: bool = False) -> Averages:
        """All events of a name together; with ``group_by_input_shape``, of a name and shapes.

        RuntimeError if the block has not ended.
        """
        watcher = self._ended("key_averages")
        summary = summarized(self._events, self._end - self._begin, watcher.device)
        return Averages(averaged(self._events, group_by_input_shape), summary)

    def export_chrome_trace(self, path: str | os.PathLike) -> None:
        """Write all events to a JSON file for https://ui.perfetto.dev or chrome://tracing.

        The file is written whole or not at all.

        Raises
        ------
        RuntimeError
            If the block has not ended.
        OSError
            If the file cannot be written.
        """
        self._ended("export_chrome_trace")
        write_trace(path, self._events, self._begin, self._thread, self.record_shapes)
