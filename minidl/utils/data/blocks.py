"""Fetching whole batches, several with one call, from data sets that offer it.

A call covers a block: as many batches as make it worth while to wake all threads. The
batches are views of the block's rows, so nothing is copied after `fetch_batch`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import itertools
import operator
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minidl import ops
from minidl.autograd import TensorBase, wrap
from minidl.backend import CPU, device_of, pinned
from minidl.kernels import single_threaded
from minidl.utils.data.epoch import Request

BLOCK_SAMPLES = 512
BLOCK_BYTES = 1 << 25  # large pictures: a block should not take much memory either


def fetch_in_blocks(
    blocks: Blocks, requests: Iterable[Request], ahead: int, timeout: float
) -> Iterator[list]:
    """The requested batches, lists of tensors, in order.

    With ``ahead`` > 0 a background thread fetches up to that many blocks in advance; a block
    that it does not deliver within ``timeout`` seconds (0: any time) is a RuntimeError.
    """
    if ahead:
        fetched = _in_background(blocks.fetch, blocks.cut(requests), ahead, timeout)
    else:
        fetched = (blocks.fetch(block) for block in blocks.cut(requests))
    with contextlib.closing(fetched):
        for batches in fetched:
            yield from batches


class Blocks:
    """Cuts an epoch of ``dataset`` into blocks, and fetches them, into pinned memory if asked."""

    def __init__(self, dataset: Any, seed: int, pin_memory: bool):
        self.dataset, self.seed, self.pin_memory = dataset, seed, pin_memory
        self.samples = 1  # to a block: one batch only, until one shows how large samples are

    def cut(self, requests: Iterable[Request]) -> Iterator[list[Request]]:
        """Neighbouring requests, as many as make a block."""
        block, size = [], 0
        for request in requests:
            block.append(request)
            size += len(request.indices)
            if size >= self.samples:
                yield block
                block, size = [], 0
        if block:
            yield block

    def fetch(self, block: list[Request]) -> list[list]:
        """The batches of a block."""
        indices = [operator.index(i) for request in block for i in request.indices]
        columns = self.dataset.fetch_batch(np.array(indices, np.int64), self.seed, block[0].first)
        if any(len(column) != len(indices) for column in columns):
            raise RuntimeError(
                f"{type(self.dataset).__name__}.fetch_batch was asked for {len(indices)} samples "
                f"and returned {', '.join(str(len(column)) for column in columns)} rows"
            )
        row = sum(column.nbytes for column in columns) // len(indices)
        self.samples = min(BLOCK_SAMPLES, BLOCK_BYTES // max(row, 1))
        if self.pin_memory:
            columns = [pinned(c) if device_of(c) == CPU else c for c in columns]
        ends = itertools.accumulate((len(request.indices) for request in block), initial=0)
        return [
            [_tensor_of(column[start:end]) for column in columns]
            for start, end in itertools.pairwise(ends)
        ]


def _tensor_of(array: Any) -> TensorBase:
    return ops.from_numpy(array) if device_of(array) == CPU else wrap(array)


def _in_background(
    fetch: Callable, blocks: Iterator, ahead: int, timeout: float
) -> Iterator[list[list]]:
    """``fetch(block)`` for each block, in order, by a thread that is up to ``ahead`` in front."""
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="minidl-loader")
    pending: deque[concurrent.futures.Future] = deque()
    try:
        while True:
            for block in itertools.islice(blocks, ahead + 1 - len(pending)):
                pending.append(pool.submit(_fetch_alone, fetch, block))
            if not pending:
                return
            future = pending.popleft()
            if not concurrent.futures.wait([future], timeout or None).done:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _fetch_alone(fetch: Callable, block: list[Request]) -> list[list]:
    # The consumer's kernels run at the same time: two sets of threads would only compete.
    with single_threaded():
        return fetch(block)
