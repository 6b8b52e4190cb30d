"""In which order samples are read, and how they are grouped into batches.

A sampler is anything that can be iterated over and yields indices; a batch sampler yields
lists of them. A sampler without a ``generator`` draws from the default generator; the
loader puts one in its place that belongs to the epoch.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from minidl.random import Generator, current_generator

Index = TypeVar("Index", covariant=True)


class Sampler(Generic[Index]):
    """An order of indices; a subclass defines ``__iter__`` and, where it can, ``__len__``."""

    def __iter__(self) -> Iterator[Index]:
        raise NotImplementedError(f"{type(self).__name__} does not define __iter__")


def whole_order(batch_sampler: Any) -> np.ndarray | None:
    """The indices of all batches of a `BatchSampler` in one int64 array, else None.

    It is drawn as a pass over the sampler would draw it. None, if only a pass can tell: the
    sampler is not one of this file, or a subclass has changed how one of the two iterates.
    """
    if type(batch_sampler).__iter__ is not BatchSampler.__iter__:
        return None
    sampler = batch_sampler.sampler
    for cls in (SequentialSampler, RandomSampler):
        if type(sampler).__iter__ is cls.__iter__:
            return sampler._order()
    return None


class SequentialSampler(Sampler[int]):
    """0, 1, 2 ... up to the size of ``data_source``."""

    def __init__(self, data_source: Any):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def _order(self) -> np.ndarray:
        return np.arange(len(self.data_source))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """Indices of ``data_source`` in random order.

    Parameters
    ----------
    data_source : sized
        What the indices are for.
    replacement : bool
        Whether an index may come several times in a row of draws. Without replacement
        every index comes once before any comes again.
    num_samples : int, optional
        How many indices to draw; by default the size of ``data_source``.
    generator : Generator, optional
        Where the random numbers come from; the default generator if None.

    Raises
    ------
    ValueError
        If ``num_samples`` is not positive, as with an empty data set.
    """

    def __init__(
        self,
        data_source: Any,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ):
        self.data_source = data_source
        self.replacement = _checked_bool(replacement, "replacement")
        self._num_samples = num_samples
        self.generator = generator
        _checked_positive(self.num_samples, "num_samples")
        if not len(data_source):
            raise ValueError("RandomSampler has nothing to draw from: the data set is empty")

    @property
    def num_samples(self) -> int:
        """How many indices an epoch has."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator, count = self.generator or current_generator(), len(self.data_source)
        if self.replacement:
            yield from generator.integers(0, count, self.num_samples).tolist()
            return
        for start in range(0, self.num_samples, count):
            yield from generator.permutation(count)[: self.num_samples - start].tolist()

    def _order(self) -> np.ndarray | None:
        """One random order, or a part of it; None where there is more than one."""
        if self.replacement or self.num_samples > len(self.data_source):
            return None
        generator = self.generator or current_generator()
        return generator.permutation(len(self.data_source))[: self.num_samples]

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given ``indices`` in random order."""

    def __init__(self, indices: Sequence[int], generator: Generator | None = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or current_generator()
        for i in generator.permutation(len(self.indices)).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """``num_samples`` indices, index i drawn with a probability proportional to ``weights[i]``.

    Parameters
    ----------
    weights : sequence of float
        One for each sample, not negative; they need not sum to 1.
    num_samples : int
        How many indices to draw.
    replacement : bool
        Whether an index may be drawn again. Without replacement, draws go by what is left:
        the indices with the smallest ``-log(u_i) / weights[i]``, u_i uniform.
    generator : Generator, optional
        Where the random numbers come from; the default generator if None.

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are 0, or there are too few that are not.

    Notes
    -----
    Source: P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", 2006.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ):
        self.weights = np.array(weights, np.float64)
        self.num_samples = _checked_positive(num_samples, "num_samples")
        self.replacement = _checked_bool(replacement, "replacement")
        self.generator = generator
        if self.weights.ndim != 1:
            raise ValueError(f"weights must be a flat sequence, got shape {self.weights.shape}")
        if not (np.isfinite(self.weights).all() and (self.weights >= 0).all()):
            raise ValueError("weights must be finite and not negative")
        drawable = np.count_nonzero(self.weights)
        if drawable < (1 if replacement else num_samples):
            raise ValueError(
                f"cannot draw {num_samples} indices {'with' if replacement else 'without'} "
                f"replacement: {drawable} weights are positive"
            )

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or current_generator()
        (drawable,) = self.weights.nonzero()
        weights = self.weights[drawable]
        if self.replacement:
            bounds = weights.cumsum()
            points = generator.uniform(self.num_samples, dtype=np.float64) * bounds[-1]
            places = np.searchsorted(bounds[:-1], points, side="right")
        else:
            keys = -np.log1p(-generator.uniform(len(weights), dtype=np.float64)) / weights
            places = keys.argsort(kind="stable")[: self.num_samples]
        return iter(drawable[places].tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list]):
    """Lists of ``batch_size`` indices from ``sampler``.

    Parameters
    ----------
    sampler : Sampler or iterable
        Where the indices come from.
    batch_size : int
        How many make a batch; ValueError unless positive.
    drop_last : bool
        Whether to leave out a last batch that is smaller.
    """

    def __init__(self, sampler: Iterable, batch_size: int, drop_last: bool):
        self.sampler = sampler
        self.batch_size = _checked_positive(batch_size, "batch_size")
        self.drop_last = _checked_bool(drop_last, "drop_last")

    def __iter__(self) -> Iterator[list]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)


def _checked_positive(value: int, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value <= 0:
        raise ValueError(f"{name} should be a positive integer value, but got {name}={value}")
    return int(value)


def _checked_bool(value: bool, name: str) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} should be a boolean value, but got {name}={value}")
    return value
