"""One pass through a data set: its seed, its order, and how far it has come.

Everything random about an epoch follows from its seed: the order of the samples, and for
each sample and each batch a stream of its own, by position. So neither the number of
workers nor a break in the middle changes what is delivered.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from minidl.random import Generator, using
from minidl.utils.data.sampler import whole_order

ORDER, SAMPLES = range(2)
"""What a stream derived from an epoch's seed is for."""


class Request(NamedTuple):
    """The samples of one batch, and the position of the first of them in the epoch."""

    indices: list
    first: int


@dataclass
class Epoch:
    """Where an epoch began and what the consumer has had of it.

    Attributes
    ----------
    seed : int
        What the streams of the epoch are derived from.
    states : list of list of int
        The states that generators owned by the loader and its samplers had at the beginning.
    delivered : int
        The number of batches that the consumer has received.
    """

    seed: int
    states: list[list[int]]
    delivered: int = 0

    def requests(self, batch_sampler: Iterable) -> Iterator[Request]:
        """The batches of ``batch_sampler`` that are still to be delivered."""
        order = self._generator()
        number, received, first = 0, self.delivered, 0
        with using(order):
            batches = iter(batch_sampler)
        while True:
            with using(order):
                batch = next(batches, None)
            if batch is None:
                return
            indices = list(batch)
            if not indices:
                raise ValueError(f"the batch sampler's batch {number} is empty")
            if number >= received:
                yield Request(indices, first)
            first += len(indices)
            number += 1

    def order(self, batch_sampler: Iterable) -> np.ndarray | None:
        """The indices of all its batches at once, if it can tell them: see `whole_order`."""
        with using(self._generator()):
            return whole_order(batch_sampler)

    def _generator(self) -> Generator:
        return Generator(self.seed).spawn(ORDER)
