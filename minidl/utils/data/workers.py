"""The loader's side of its worker processes: starting them, waiting for them, ending them.

Each worker has one pipe, shared with nobody. There are no locks or queues between
processes, so a worker can die at any moment and leaves nothing locked behind: the loader
waits for pipes and for the deaths of processes at the same time.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

from minidl.utils.data.epoch import Request
from minidl.utils.data.transport import Failure, receive
from minidl.utils.data.worker import WorkerInfo, run_worker

GRACE_SECONDS = 1.0  # for a worker whose pipe is closed to end
# A process that a worker has forked keeps the worker's pipe and sentinel open when it dies.
CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class Job:
    """What the workers of an epoch are to do.

    Attributes
    ----------
    count : int
        How many workers there are.
    fetch : callable
        Makes the batch of a `Request`.
    init : callable or None
        Called by each worker with its number when it starts.
    seed : int
        Worker i's Python and NumPy generators start from ``seed + i``.
    dataset : Dataset
        What `get_worker_info` shows.
    """

    count: int
    fetch: Callable[[Request], Any]
    init: Callable[[int], None] | None
    seed: int
    dataset: Any


def fetch_in_workers(
    job: Job, requests: Iterator[Request], prefetch: int, timeout: float
) -> Iterator[Any]:
    """The requested batches in order, by worker processes, which end with the iterator.

    Batch i is made by worker ``i % job.count``, so that what a data set draws from Python's or
    NumPy's own generators is the same in every run. No worker is more than ``prefetch``
    batches ahead.

    Raises
    ------
    RuntimeError
        If a worker dies, or a batch does not come within ``timeout`` seconds (0: any time).
    Exception
        What the data set, ``collate_fn`` or ``worker_init_fn`` raised in a worker.
    """
    tasks = enumerate(requests)
    sent, arrived = 0, {}
    workers = Workers()
    try:
        workers.start(job)
        for wanted in itertools.count():
            room = wanted + prefetch * job.count - sent
            for number, request in itertools.islice(tasks, room):
                workers.send(number % job.count, (number, request))
                sent += 1
            if wanted == sent:
                return
            if wanted not in arrived:
                arrived.update(workers.receive_until(wanted, timeout))
            yield _unwrapped(arrived.pop(wanted))
    finally:
        workers.close()


def _unwrapped(batch: Any) -> Any:
    if isinstance(batch, Failure):
        batch.reraise()
    return batch


class Workers:
    """Worker processes, and a pipe to each."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.processes: list[multiprocessing.Process] = []
        self.connections: list[Connection] = []

    def start(self, job: Job) -> None:
        """Start all workers of ``job``."""
        context = multiprocessing.get_context(_start_method())
        for number in range(job.count):
            ours, theirs = context.Pipe()
            self.connections.append(ours)
            inherited = self.connections if context.get_start_method() == "fork" else []
            info = WorkerInfo(number, job.count, job.seed + number, job.dataset)
            process = context.Process(
                target=run_worker,
                args=(info, job.fetch, job.init, theirs, inherited, self.owner),
                name=f"minidl-loader-{number}",
                daemon=True,
            )
            _start_quietly(process)
            self.processes.append(process)
            theirs.close()

    def send(self, number: int, task: tuple[int, Request]) -> None:
        """Give worker ``number`` a task; it never waits, for workers always empty their pipes."""
        try:
            self.connections[number].send(task)
        except OSError:
            self._raise_death(number)

    def receive(self, timeout: float) -> list[tuple[int, Any]]:
        """At most one (number, batch) of each worker; none if none comes within ``timeout``."""
        sentinels = [process.sentinel for process in self.processes]
        ready = wait([*self.connections, *sentinels], timeout)
        messages = []
        for number, connection in enumerate(self.connections):
            if connection in ready:
                try:
                    messages.append(receive(connection))
                except (EOFError, OSError):
                    self._raise_death(number)
        for number, process in enumerate(self.processes):
            if process.exitcode is not None:
                self._raise_death(number)
        return messages

    def receive_until(self, wanted: int, timeout: float) -> dict[int, Any]:
        """All that arrives until batch ``wanted`` does; RuntimeError if it is late."""
        deadline = time.monotonic() + (timeout or math.inf)
        arrived: dict[int, Any] = {}
        while wanted not in arrived:
            left = deadline - time.monotonic()
            if left <= 0:
                raise RuntimeError(
                    f"DataLoader timed out after {timeout} seconds: worker "
                    f"{wanted % len(self.processes)} has not delivered batch {wanted}"
                )
            arrived.update(self.receive(min(left, CHECK_SECONDS)))
        return arrived

    def close(self) -> None:
        """End all workers at once, whatever they are doing."""
        if os.getpid() != self.owner:
            return  # a copy of this object in a process that was forked from the loader's
        for process in self.processes:
            process.kill()  # a closed pipe would do, had not other workers copies of its end
        for process in self.processes:
            process.join()
        for connection in self.connections:
            connection.close()

    def _raise_death(self, number: int) -> NoReturn:
        process = self.processes[number]
        process.join(GRACE_SECONDS)
        raise RuntimeError(
            f"DataLoader worker {number} (pid {process.pid}) {_end(process.exitcode)}"
        )


def _start_method() -> str:
    """Fork where it is safe: a data set need not be picklable, and starting takes no time."""
    # The system libraries of macOS do not survive a fork; Python's default there is spawn.
    forkable = "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
    return "fork" if forkable else "spawn"


def _start_quietly(process: multiprocessing.Process) -> None:
    with warnings.catch_warnings():
        # Python 3.12 warns of any fork beside other threads, as NumPy's and Numba's: a lock
        # that one of them holds stays locked in the child. Workers use neither's threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()


def _end(exitcode: int | None) -> str:
    """How a process ended, in words."""
    if exitcode is None:
        return "has closed its pipe and does not end"
    if exitcode >= 0:
        return f"exited unexpectedly with code {exitcode}"
    name = signal.Signals(-exitcode).name
    hint = "; the system may have run out of memory" if name == "SIGKILL" else ""
    return f"was killed by {name}{hint}"
