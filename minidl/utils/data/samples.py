"""Fetching sample by sample, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.random import Generator, using
from minidl.utils.data.epoch import SAMPLES, Request


class SampleFetcher:
    """Makes the batch of a request: what ``collate_fn`` makes of its samples.

    Within sample number p of an epoch the default generator depends on (seed, p) alone, within
    the collation of a batch on (seed, position of its first sample).

    Parameters
    ----------
    dataset : Dataset
        Anything with ``dataset[index]``.
    collate_fn : callable
        Makes a batch of a list of samples.
    seed : int
        The epoch's.
    """

    def __init__(self, dataset: Any, collate_fn: Callable[[list], Any], seed: int):
        self.dataset, self.collate_fn = dataset, collate_fn
        self.stream = Generator(seed).spawn(SAMPLES).initial_seed()

    def __call__(self, request: Request) -> Any:
        """The batch of ``request``."""
        samples = []
        keys = self._keys(request.first, len(request.indices))
        with using(Generator()) as generator:
            for index, (key, _) in zip(request.indices, keys):
                generator.manual_seed(key)
                samples.append(self.dataset[index])
            generator.manual_seed(keys[0][1])
            return self.collate_fn(samples)

    def _keys(self, first: int, count: int) -> list[list[int]]:
        """For each position two keys: of its sample, and of a batch that begins there."""
        # A block of the stream's bits is four words, and its number can be chosen: one draw
        # for the batch costs far less than to spawn a generator for each sample.
        stream = Generator().set_state(np.array([self.stream, first], np.uint64))
        return stream.bits(4 * count).view(np.uint64).reshape(count, 2).tolist()
