"""A process for each library, which does a round of work when it is told to.

Libraries in one process are not measured as their users have them. They share the C library's
heap: on two cores, minidl's step of the article's network at batch 128 took 10.6 ms in a process
of its own and 8.8 ms beside PyTorch and JAX, because less memory went back to the system between
steps (1,290 page faults a step instead of 1,730). And after a parallel piece of work their
threads wait for the next one at full speed, on the cores of the library whose turn it is. The
spread of the rounds was the same both ways. A process that has nothing to do waits at its pipe
and takes no time.
"""

from __future__ import annotations

import importlib
import multiprocessing
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

import numpy as np

from benchmarks.contenders import LIBRARIES
from benchmarks.contenders.unavailable import Unavailable

_LIMIT = 300.0  # seconds for an answer; torch.compile takes a minute for a large network
_WARM_UP = 3  # calls at least: the third is the first that minidl.compile repeats

Digest = list[tuple[tuple[int, ...], float, float]]
"""Of each array in a result: its shape, its norm, and its product with random numbers."""


class Failed(Exception):
    """Work that raised an error, or whose process died; the message says how."""


class Workers:
    """The processes, by library; each starts when it is first asked for something."""

    def __init__(self) -> None:
        self._processes: dict[str, _Process] = {}

    def ask(self, contender: str, task: str, *args: Any) -> Any:
        """Have a contender's process do a task of `_Desk`; Unavailable or Failed if it cannot."""
        library = LIBRARIES[contender]
        if library not in self._processes:
            self._processes[library] = _Process(library)
        return self._processes[library].ask(task, contender, *args)

    def clear(self) -> None:
        """Drop all work that has been prepared."""
        for process in self._processes.values():
            process.ask("clear", "")

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self._processes.values():
            process.end()


class _Process:
    """One library's process, and the pipe to it."""

    def __init__(self, library: str):
        self.library = library
        self._start()

    def _start(self) -> None:
        # a forked process would inherit this one's threads as corpses
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, self.library))
        self.process.start()
        theirs.close()

    def ask(self, *request: Any) -> Any:
        try:
            self.pipe.send(request)
            if not self.pipe.poll(_LIMIT):
                raise EOFError
            kind, answer = self.pipe.recv()
        except (EOFError, OSError):
            self.end()
            code = self.process.exitcode
            self._start()  # for the work that comes after
            raise Failed(f"no answer, the process ended with {code}") from None
        if kind is not None:
            raise kind(answer)
        return answer

    def end(self) -> None:
        """Stop the process, at the latest after ten seconds."""
        self.pipe.close()
        self.process.join(1.0)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(10.0)


def serve(pipe: Connection, library: str) -> None:
    """What the process does until its pipe is closed."""
    # the libraries' own processes start as they do in any program, not as this one did
    multiprocessing.set_start_method(None, force=True)
    desk = _Desk(library)
    while True:
        try:
            task, *args = pipe.recv()
        except EOFError:
            return
        try:
            answer = None, getattr(desk, task)(*args)
        except Unavailable as reason:
            answer = Unavailable, str(reason)
        except ImportError as error:
            answer = Unavailable, f"not installed ({error})"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            message = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            answer = Failed, f"{message} ({where.filename}:{where.lineno})"
        pipe.send(answer)


class _Desk:
    """The tasks; each takes the contender's name first."""

    def __init__(self, library: str):
        self.library = library
        self.work: dict[str, Callable] = {}

    def prepare(self, contender: str, kind: str, options: dict, calls: int, seconds: float) -> list:
        """Make the work and call it until all is compiled and warm; the first results' digests.

        ``calls`` is of how many calls; there are more, until so many seconds are over.
        """
        work = self.work[contender] = self._make(contender, kind, options)
        digests = []
        start, count = time.perf_counter(), 0
        while count < max(calls, _WARM_UP) or time.perf_counter() - start < seconds:
            result = work()
            if count < calls:
                digests.append(digest(result))
            count += 1
        return digests

    def round(self, contender: str, seconds: float) -> float:
        """The median time of a call, of as many as fit into these seconds, or of one."""
        work, times = self.work[contender], []
        left = seconds
        while not times or left > 0:
            start = time.perf_counter()
            work()
            times.append(time.perf_counter() - start)
            left -= times[-1]
        return median(times)

    def clear(self, _contender: str) -> None:
        """Drop all work."""
        self.work.clear()

    def _make(self, contender: str, kind: str, options: dict) -> Callable:
        module = importlib.import_module(f"benchmarks.contenders.{self.library}")
        return getattr(module.CONTENDERS[contender], kind)(**options)


def digest(result: Any) -> float | Digest:
    """What is left of a result to compare: a number itself, else see `Digest`."""
    if isinstance(result, float):
        return result
    digests = []
    for part in result if isinstance(result, tuple | list) else [result]:
        array = np.asarray(part.detach() if hasattr(part, "detach") else part, np.float64)
        numbers = np.random.default_rng(0).standard_normal(array.shape)
        norm, product = np.linalg.norm(array), np.vdot(array, numbers)
        digests.append((array.shape, float(norm), float(product)))
    return digests
