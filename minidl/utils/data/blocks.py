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
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl import ops
from minidl.autograd import wrap
from minidl.backend import CPU, device_of, pinned
from minidl.kernels import single_threaded
from minidl.utils.data.epoch import Epoch, Request

BLOCK_SAMPLES = 512
BLOCK_BYTES = 1 << 25  # large pictures: a block should not take much memory either


class Block(NamedTuple):
    """Neighbouring batches: their samples, where in those each batch ends, the first's position."""

    indices: np.ndarray
    ends: Sequence[int]
    first: int


def fetch_in_blocks(
    blocks: Blocks, epoch: Epoch, batch_sampler: Iterable, ahead: int, timeout: float
) -> Iterator[list]:
    """The batches of an epoch that are still to come, lists of tensors, in order.

    With ``ahead`` > 0 a background thread fetches up to that many blocks in advance; a block
    that it does not deliver within ``timeout`` seconds (0: any time) is a RuntimeError.
    """
    cut = blocks.cut(epoch, batch_sampler)
    if ahead:
        fetched = _in_background(blocks.fetch, cut, ahead, timeout)
    else:
        fetched = (blocks.fetch(block) for block in cut)
    with contextlib.closing(fetched):
        for ends, columns in fetched:
            start = 0
            for end in ends:
                yield [wrap(column[start:end]) for column in columns]
                start = end


class Blocks:
    """Cuts an epoch of ``dataset`` into blocks, and fetches them, into pinned memory if asked."""

    def __init__(self, dataset: Any, seed: int, pin_memory: bool):
        self.dataset, self.seed, self.pin_memory = dataset, seed, pin_memory
        self.samples = 1  # to a block: one batch only, until one shows how large samples are

    def cut(self, epoch: Epoch, batch_sampler: Iterable) -> Iterator[Block]:
        """What is left of ``epoch`` in blocks: neighbouring batches, as many as make one."""
        order = epoch.order(batch_sampler)
        if order is None:
            yield from self._cut_requests(epoch.requests(batch_sampler))
        else:
            size = batch_sampler.batch_size
            if batch_sampler.drop_last:
                order = order[: len(order) // size * size]
            yield from self._cut_order(order, size, epoch.delivered * size)

    def _cut_order(self, order: np.ndarray, size: int, first: int) -> Iterator[Block]:
        """What follows on position ``first``, batches of ``size``, with no look at each of them."""
        while first < len(order):
            batches = -(-self.samples // size)
            indices = order[first : first + batches * size]
            yield Block(indices, [*range(size, len(indices), size), len(indices)], first)
            first += len(indices)

    def _cut_requests(self, requests: Iterable[Request]) -> Iterator[Block]:
        batches, size = [], 0
        for request in requests:
            batches.append(request)
            size += len(request.indices)
            if size >= self.samples:
                yield _joined(batches)
                batches, size = [], 0
        if batches:
            yield _joined(batches)

    def fetch(self, block: Block) -> tuple[Sequence[int], list]:
        """Where the batches of a block end, and its columns: arrays that tensors may hold."""
        count = len(block.indices)
        columns = self.dataset.fetch_batch(block.indices, self.seed, block.first)
        if any(len(column) != count for column in columns):
            raise RuntimeError(
                f"{type(self.dataset).__name__}.fetch_batch was asked for {count} samples "
                f"and returned {', '.join(str(len(column)) for column in columns)} rows"
            )
        row = sum(column.nbytes for column in columns) // count
        self.samples = min(BLOCK_SAMPLES, BLOCK_BYTES // max(row, 1))
        return block.ends, [self._ready(column) for column in columns]

    def _ready(self, column: Any) -> Any:
        if device_of(column) != CPU:
            return column
        return ops.from_numpy(pinned(column) if self.pin_memory else column).array


def _joined(requests: list[Request]) -> Block:
    indices = [operator.index(i) for request in requests for i in request.indices]
    ends = itertools.accumulate(len(request.indices) for request in requests)
    return Block(np.array(indices, np.int64), list(ends), requests[0].first)


def _in_background(fetch: Callable, blocks: Iterator, ahead: int, timeout: float) -> Iterator[Any]:
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


def _fetch_alone(fetch: Callable, block: Block) -> Any:
    # The consumer's kernels run at the same time: two sets of threads would only compete.
    with single_threaded():
        return fetch(block)
