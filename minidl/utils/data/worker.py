"""The worker's side: a process that fetches batches until its loader closes the pipe."""

from __future__ import annotations

import contextlib
import os
import queue
import random
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import numpy as np

from minidl.kernels import single_threaded
from minidl.random import Generator, using
from minidl.utils.data.epoch import Request
from minidl.utils.data.transport import Failure, pack, send

PARENT_CHECK_SECONDS = 3.0


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker process knows of itself.

    Attributes
    ----------
    id, num_workers : int
        Which worker it is, of how many.
    seed : int
        The seed of this worker's Python and NumPy generators in this epoch.
    dataset : Dataset
        The worker's own copy of the data set.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process, which one it is; None elsewhere."""
    return _info


def run_worker(
    info: WorkerInfo,
    fetch: Callable[[Request], Any],
    init: Callable[[int], None] | None,
    connection: Connection,
    inherited: Sequence[Connection],
    parent: int,
) -> None:
    """The worker's whole life: it ends with the process.

    Parameters
    ----------
    info : WorkerInfo
        Who it is.
    fetch : callable
        Makes a batch of a request.
    init : callable, optional
        The user's preparations, called with the worker's id.
    connection : Connection
        Its end of the pipe: (number, request) comes in, (number, batch) goes out.
    inherited : sequence of Connection
        The loader's ends of pipes that a fork has copied into this process.
    parent : int
        The loader's process id.
    """
    global _info
    _info = info
    for copy in inherited:
        copy.close()  # as long as they are open here, no worker sees the loader's end closed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the loader's: it ends its workers
    tasks: queue.SimpleQueue = queue.SimpleQueue()
    results: queue.SimpleQueue = queue.SimpleQueue()
    threading.Thread(target=_take_in, args=(connection, tasks, parent), daemon=True).start()
    threading.Thread(target=_give_out, args=(connection, results), daemon=True).start()
    random.seed(info.seed)
    np.random.seed(info.seed % 2**32)
    with single_threaded(), using(Generator(info.seed)):
        fetch = _prepared(fetch, init, info.id)
        while True:
            number, request = tasks.get()
            results.put(_answer(fetch, number, request))


def _take_in(connection: Connection, tasks: queue.SimpleQueue, parent: int) -> None:
    """Empty the pipe, so that the loader never waits to send; end the process when it closes.

    An unrelated process forked by the loader may hold a copy of its end, and then the pipe
    stays open when the loader dies: look for the loader itself now and then.
    """
    try:
        while True:
            if connection.poll(PARENT_CHECK_SECONDS):
                tasks.put(connection.recv())
            elif os.getppid() != parent:
                return
    except (EOFError, OSError):
        return
    finally:
        os._exit(0)  # at once, whatever the other thread is doing


def _give_out(connection: Connection, results: queue.SimpleQueue) -> None:
    """Send results as the loader takes them, while the next ones are being made."""
    while True:
        parts = results.get()
        with contextlib.suppress(OSError):
            print(end="", flush=True)  # what the data set printed: the process may end any time
        try:
            send(connection, parts)
        except OSError:
            os._exit(1)  # the loader has closed its end


def _prepared(fetch: Callable, init: Callable | None, number: int) -> Callable:
    """``fetch`` after ``init`` has run; if it failed, a function that fails likewise."""
    try:
        if init is not None:
            init(number)
    except Exception as error:
        return partial(_fail, error)
    return fetch


def _fail(error: Exception, request: Request) -> NoReturn:
    raise error


def _answer(fetch: Callable, number: int, request: Request) -> list:
    try:
        return pack((number, fetch(request)))
    except Exception as error:
        return pack((number, Failure(error, f"DataLoader worker {get_worker_info().id}")))
