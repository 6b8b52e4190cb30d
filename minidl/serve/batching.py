"""Dynamic batching: what many clients ask for at the same time is computed together.

Each model has one thread that computes. While it does, requests wait in a queue; then it takes as
many as fit into a batch. The queue is bounded: who comes when it is full is told to come again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minidl.serve.errors import RequestError


@dataclass
class Settings:
    """How requests are batched.

    Attributes
    ----------
    max_batch : int
        Pictures in a batch at most.
    max_wait : float
        Seconds that the first request of a batch waits for others.
    capacity : int
        Pictures that may wait.
    timeout : float
        Seconds after which a request that waits is given up.
    """

    max_batch: int = 32
    max_wait: float = 0.001
    capacity: int = 256
    timeout: float = 10.0


@dataclass(eq=False)
class _Job:
    pictures: np.ndarray
    done: asyncio.Future
    asked: float


@dataclass
class Answer:
    """Logits, and the seconds that the request waited and that its batch was computed."""

    logits: np.ndarray
    queued: float
    computed: float


class Batcher:
    """Computes batches in a thread of its own.

    ``compute`` makes logits of a batch; ``observe(size, waiting)`` is told of each batch. It
    belongs to the event loop in which it is made.
    """

    def __init__(
        self,
        compute: Callable[[np.ndarray], np.ndarray],
        settings: Settings,
        observe: Callable[[int, int], None] = lambda size, waiting: None,
    ):
        self.compute, self.settings, self.observe = compute, settings, observe
        self.loop = asyncio.get_running_loop()
        self.jobs: deque[_Job] = deque()
        self.waiting = 0  # pictures in the queue
        self.closed = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._work, daemon=True, name="minidl-serve")
        self.thread.start()

    async def submit(self, pictures: np.ndarray) -> Answer:
        """The answer for float32 (n, C, H, W) pictures.

        RequestError 503 if the queue is full, 504 if it took too long, 500 if the model failed.
        """
        if self.waiting + len(pictures) > self.settings.capacity:
            raise RequestError(503, "the queue is full: come again", {"Retry-After": "1"})
        job = _Job(pictures, self.loop.create_future(), time.perf_counter())
        with self.changed:
            self.jobs.append(job)
            self.waiting += len(pictures)
            self.changed.notify()
        try:
            return await asyncio.wait_for(job.done, self.settings.timeout)
        except asyncio.TimeoutError:
            raise RequestError(504, "the model took too long") from None

    def close(self) -> None:
        """Take no more; what waits is still computed. Returns when that is done."""
        with self.changed:
            self.closed = True
            self.changed.notify()
        self.thread.join()

    # ----------------------------------------------------------------- in the thread

    def _work(self) -> None:
        while jobs := self._next():
            wanted = [job for job in jobs if not job.done.done()]  # the others' clients have gone
            if wanted:
                self._run(wanted)

    def _next(self) -> list[_Job]:
        """The jobs of the next batch, none when all is done."""
        with self.changed:
            while not self.jobs and not self.closed:
                self.changed.wait()
            if self.jobs and self.settings.max_wait and self.settings.max_batch > 1:
                end = self.jobs[0].asked + self.settings.max_wait
                while self.waiting < self.settings.max_batch and not self.closed:
                    left = end - time.perf_counter()
                    if left <= 0 or not self.changed.wait(left):
                        break
            jobs, size = [], 0
            while self.jobs and (
                not jobs or size + len(self.jobs[0].pictures) <= self.settings.max_batch
            ):
                jobs.append(self.jobs.popleft())
                size += len(jobs[-1].pictures)
            self.waiting -= size
            return jobs

    def _run(self, jobs: list[_Job]) -> None:
        started = time.perf_counter()
        pictures = (
            jobs[0].pictures if len(jobs) == 1 else np.concatenate([j.pictures for j in jobs])
        )
        most = self.settings.max_batch
        try:
            parts = [self.compute(pictures[i : i + most]) for i in range(0, len(pictures), most)]
            logits = parts[0] if len(parts) == 1 else np.concatenate(parts)
            failure = None
        except Exception as error:  # whatever a model does, the others go on
            logits, failure = None, error
        took = time.perf_counter() - started
        self.loop.call_soon_threadsafe(self._deliver, jobs, logits, failure, started, took)

    # ----------------------------------------------------------------- in the loop

    def _deliver(
        self,
        jobs: list[_Job],
        logits: np.ndarray | None,
        failure: Exception | None,
        started: float,
        took: float,
    ) -> None:
        self.observe(sum(len(job.pictures) for job in jobs), self.waiting)
        at = 0
        for job in jobs:
            rows, at = slice(at, at + len(job.pictures)), at + len(job.pictures)
            if job.done.done():
                continue
            if failure is not None:
                kind = type(failure).__name__
                job.done.set_exception(RequestError(500, f"the model failed: {kind}"))
            else:
                job.done.set_result(Answer(logits[rows], started - job.asked, took))
