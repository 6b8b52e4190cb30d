"""Fetching sample by sample, each with random numbers of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minidl.random import Generator, using
from minidl.utils.data.epoch import BATCH, SAMPLE, Request


def fetch_samples(dataset: Any, collate_fn: Callable, seed: int, request: Request) -> Any:
    """The batch that ``collate_fn`` makes of ``dataset[i]`` for each index i.

    Within sample number p of the epoch the default generator depends on (seed, p) alone.
    """
    streams = Generator(seed).spawn(SAMPLE)
    samples = []
    for position, index in enumerate(request.indices, request.first):
        with using(streams.spawn(position)):
            samples.append(dataset[index])
    with using(Generator(seed).spawn(BATCH, request.first)):
        return collate_fn(samples)
