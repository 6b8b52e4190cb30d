"""The loader: batches of a data set, in the order of a sampler, fetched ahead of time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minidl.random import Generator, current_generator
from minidl.utils.data.blocks import Blocks, fetch_in_blocks
from minidl.utils.data.collate import collate_single, default_collate, default_convert
from minidl.utils.data.dataset import fetches_batches
from minidl.utils.data.epoch import Epoch
from minidl.utils.data.pin import pin_memory as in_pinned_memory
from minidl.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from minidl.utils.data.samples import SampleFetcher
from minidl.utils.data.workers import Job, fetch_in_workers

DEFAULT_PREFETCH = 2


class DataLoader:
    """Batches of ``dataset``: iterate over it once for each epoch.

    A data set that offers whole batches (see `minidl.utils.data.dataset`) is fetched in
    blocks of several batches, with workers by one background thread; batches are views of
    their block, and keeping one keeps the block's memory. Every other data set is fetched
    sample by sample, with workers by that many processes, which start with each epoch and end
    with it: also when the iterator is dropped, on an error, on Ctrl-C and when the loader's
    own process is killed.

    What is delivered depends on the generator's seed, not on ``num_workers``: within sample
    number p of an epoch, minidl's default generator is one for (the epoch's seed, p). Only
    Python's ``random`` and NumPy's global generator, seeded per worker process, go by workers.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``dataset[index]`` and ``len(dataset)``.
    batch_size : int, optional
        Samples in a batch. None: no batches, single samples, with arrays made tensors.
    shuffle : bool, optional
        Whether to read in a new random order each epoch.
    sampler : Sampler or iterable, optional
        The order of indices, in the place of ``shuffle``.
    batch_sampler : Sampler or iterable, optional
        Lists of indices, one for each batch, in the place of the four around it.
    num_workers : int
        0: fetch when asked. More: fetch ahead, in the background.
    collate_fn : callable, optional
        Makes a batch of a list of samples; `default_collate` if None.
    pin_memory : bool
        Whether to deliver batches in pinned memory, so that ``to("cuda", non_blocking=True)``
        need not wait. Blocks are pinned in the background, other batches when they are
        delivered. Without a GPU it has no effect, and a warning says so.
    drop_last : bool
        Whether to leave out a last batch that is smaller.
    timeout : float
        Seconds to wait for workers to deliver a batch before giving up; 0: for ever.
    worker_init_fn : callable, optional
        Called with the worker's number at the start of each worker process.
    generator : Generator, optional
        Where each epoch's seed is drawn from; the default generator if None.
    prefetch_factor : int, optional
        How many batches (of whole batches: blocks) each worker may be ahead; 2 if None.

    Raises
    ------
    ValueError, TypeError
        If arguments exclude each other or are out of range.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], None] | None = None,
        generator: Generator | None = None,
        prefetch_factor: int | None = None,
    ):
        if not hasattr(dataset, "__getitem__"):
            raise TypeError(
                f"DataLoader wants a data set with __getitem__ and __len__, which "
                f"{type(dataset).__name__} is not"
            )
        _check_workers(num_workers, timeout, prefetch_factor)
        _check_order(batch_size, shuffle, sampler, batch_sampler, drop_last)
        self.dataset = dataset
        self.batch_size = None if batch_sampler is not None else batch_size
        self.drop_last = drop_last
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.prefetch_factor = prefetch_factor or (DEFAULT_PREFETCH if num_workers else None)
        if sampler is None and batch_sampler is None:
            sampler = RandomSampler(dataset) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self._epoch: Epoch | None = None
        self._resuming = False

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)

    def __iter__(self) -> Iterator[Any]:
        """Begin an epoch, or go on with the one that `load_state_dict` has put back."""
        if not self._resuming:
            source = self.generator or current_generator()
            # The seed is drawn first: the states are then those that the samplers begin with.
            self._epoch = Epoch(int(source.integers(0, 2**63 - 1)), self._generator_states())
        self._resuming = False
        return self._deliver(self._epoch)

    def _deliver(self, epoch: Epoch) -> Iterator[Any]:
        with contextlib.closing(self._fetch(epoch)) as batches:
            for batch in batches:
                epoch.delivered += 1
                yield in_pinned_memory(batch) if self.pin_memory else batch
        if self._epoch is epoch:
            self._epoch = None

    def _fetch(self, epoch: Epoch) -> Iterator[Any]:
        """What is left of the epoch's batches, by the way that suits the data set."""
        single = self.batch_sampler is None
        sampler = BatchSampler(self.sampler, 1, False) if single else self.batch_sampler
        if not single and self.collate_fn is None and fetches_batches(self.dataset):
            ahead = self.prefetch_factor if self.num_workers else 0
            blocks = Blocks(self.dataset, epoch.seed, self.pin_memory)
            return fetch_in_blocks(blocks, epoch, sampler, ahead, self.timeout)
        collate = self.collate_fn or (default_convert if single else default_collate)
        if single:
            collate = partial(collate_single, collate)
        fetch, requests = SampleFetcher(self.dataset, collate, epoch.seed), epoch.requests(sampler)
        if not self.num_workers:
            return (fetch(request) for request in requests)
        job = Job(self.num_workers, fetch, self.worker_init_fn, epoch.seed, self.dataset)
        return fetch_in_workers(job, requests, self.prefetch_factor, self.timeout)

    # ----------------------------------------------------------------- its state

    def state_dict(self) -> dict[str, Any]:
        """Where the consumer is, in plain numbers: enough to go on with the very next batch.

        Within an epoch: its ``seed``, the number of ``batches`` received (not those fetched
        ahead), and the states that the ``generators`` of the loader and its samplers had when
        it began. Once the iterator has ended, and before the first epoch: no seed, and their
        states as they are. The default generator is not part of it.
        """
        epoch = self._epoch
        if epoch is None:
            return {"seed": None, "batches": 0, "generators": self._generator_states()}
        return {"seed": epoch.seed, "batches": epoch.delivered, "generators": epoch.states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Have the next iteration deliver what was still to come when ``state`` was taken.

        The loader must have the same data set, batches and samplers; ``num_workers`` may differ.
        """
        if set(state) != {"seed", "batches", "generators"}:
            raise ValueError(
                "a loader's state has the keys seed, batches and generators, got "
                + ", ".join(map(repr, state))
            )
        generators = self._generators()
        if len(state["generators"]) != len(generators):
            raise ValueError(
                f"the state is of a loader with {len(state['generators'])} generators of its own "
                f"or its samplers', this one has {len(generators)}"
            )
        for generator, numbers in zip(generators, state["generators"]):
            generator.set_state(np.array(numbers, np.uint64))
        self._resuming = state["seed"] is not None
        self._epoch = None
        if self._resuming:
            self._epoch = Epoch(state["seed"], self._generator_states(), state["batches"])

    def _generators(self) -> list[Generator]:
        """The generators that belong to the loader and its samplers, each once."""
        owners = [self, self.sampler, self.batch_sampler, getattr(self.batch_sampler, "sampler", 0)]
        found = [getattr(owner, "generator", None) for owner in owners]
        return list({id(g): g for g in found if isinstance(g, Generator)}.values())

    def _generator_states(self) -> list[list[int]]:
        return [generator.get_state().tolist() for generator in self._generators()]


def _check_workers(num_workers: int, timeout: float, prefetch_factor: int | None) -> None:
    if num_workers < 0:
        raise ValueError(
            "num_workers option should be non-negative; use num_workers=0 to fetch in this process"
        )
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and (timeout or prefetch_factor is not None):
        raise ValueError("the options timeout and prefetch_factor need num_workers > 0")
    if prefetch_factor is not None and prefetch_factor < 1:
        raise ValueError("prefetch_factor option should be positive")


def _check_order(
    batch_size: int | None,
    shuffle: bool | None,
    sampler: Iterable | None,
    batch_sampler: Iterable | None,
    drop_last: bool,
) -> None:
    if sampler is not None and shuffle:
        raise ValueError("sampler option is mutually exclusive with shuffle")
    if batch_sampler is not None:
        if batch_size != 1 or shuffle or sampler is not None or drop_last:
            raise ValueError(
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler "
                "and drop_last"
            )
    elif batch_size is None and drop_last:
        raise ValueError(
            "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
        )
