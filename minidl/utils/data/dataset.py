"""What a data set is, and data sets made of others.

A data set is anything with ``len(dataset)`` and ``dataset[index]``. One that can make whole
batches faster than sample by sample offers two things more:

``batched : bool``
    Whether it can, as it stands.
``fetch_batch(indices, seed, first) -> tuple of ndarray``
    The samples ``indices`` (int64), one row each: a tuple of new arrays, what
    `default_collate` would have made of them, on any device. Random numbers must be keyed by
    ``(seed, first + i)`` for row i, its position in the epoch, so that the result does not
    depend on how an epoch is cut into calls.
"""

from __future__ import annotations

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from minidl.autograd import TensorBase
from minidl.backend import device_of, to_device, xp
from minidl.random import Generator, current_generator

Sample = TypeVar("Sample", covariant=True)


class Dataset(Generic[Sample]):
    """A collection of samples; a subclass defines ``__getitem__`` and ``__len__``."""

    def __getitem__(self, index: int) -> Sample:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


def fetches_batches(dataset: Any) -> bool:
    """Whether ``dataset`` offers whole batches, and they are those of its ``__getitem__``.

    A subclass that changes ``__getitem__`` alone makes the inherited ``fetch_batch`` outdated.
    """
    for cls in type(dataset).__mro__:
        if "fetch_batch" in vars(cls):
            return bool(dataset.batched)
        if "__getitem__" in vars(cls):
            return False
    return False


class TensorDataset(Dataset[tuple]):
    """Sample i is row i of every tensor.

    Parameters
    ----------
    *tensors : Tensor
        Their first dimensions must agree, else ValueError.
    """

    def __init__(self, *tensors: Any):
        for tensor in tensors:
            if not isinstance(tensor, TensorBase):
                raise TypeError(
                    f"TensorDataset wants tensors, got {type(tensor).__name__}; "
                    "use minidl.from_numpy for an array"
                )
        if not tensors or not all(tensor.shape for tensor in tensors):
            raise ValueError("TensorDataset wants one tensor or more, with a dimension of samples")
        if len({len(tensor) for tensor in tensors}) > 1:
            raise ValueError(
                "TensorDataset: the first dimensions differ, in shapes "
                + ", ".join(str(tensor.shape) for tensor in tensors)
            )
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple:
        return tuple(tensor[index] for tensor in self.tensors)

    def __len__(self) -> int:
        return len(self.tensors[0])

    @property
    def batched(self) -> bool:
        """Whether the rows can be taken from plain arrays: no tensor requires a gradient."""
        return not any(tensor.requires_grad for tensor in self.tensors)

    def fetch_batch(self, indices: np.ndarray, seed: int, first: int) -> tuple[np.ndarray, ...]:
        """The rows ``indices`` of every tensor."""
        arrays = (tensor.array for tensor in self.tensors)
        return tuple(array[to_device(indices, device_of(array))] for array in arrays)


class Subset(Dataset[Sample]):
    """The samples of ``dataset`` at ``indices``, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: int) -> Sample:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def batched(self) -> bool:
        """Whether the data set fetches whole batches."""
        return fetches_batches(self.dataset)

    def fetch_batch(self, indices: np.ndarray, seed: int, first: int) -> tuple[np.ndarray, ...]:
        """The data set's batch of the samples at ``self.indices[indices]``."""
        theirs = np.array([self.indices[i] for i in indices.tolist()], np.int64)
        return self.dataset.fetch_batch(theirs, seed, first)


class ConcatDataset(Dataset[Sample]):
    """The samples of several data sets, one set after the other."""

    def __init__(self, datasets: Iterable[Any]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset wants one data set or more")
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __getitem__(self, index: int) -> Sample:
        part, index = self._locate(index)
        return self.datasets[part][index]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def _locate(self, index: int) -> tuple[int, int]:
        """Which data set holds the sample, and where."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"ConcatDataset: no sample {index} among {len(self)}")
        index %= len(self)
        part = bisect.bisect_right(self.cumulative_sizes, index)
        return part, index - (self.cumulative_sizes[part - 1] if part else 0)

    @property
    def batched(self) -> bool:
        """Whether every data set fetches whole batches."""
        return all(map(fetches_batches, self.datasets))

    def fetch_batch(self, indices: np.ndarray, seed: int, first: int) -> tuple[np.ndarray, ...]:
        """The batches of the data sets, joined; one call per run of samples from one set."""
        # Only neighbours go into one call: its rows must have consecutive positions.
        pieces = []
        located = map(self._locate, indices.tolist())
        for part, run in itertools.groupby(located, key=lambda place: place[0]):
            theirs = np.array([index for _, index in run], np.int64)
            pieces.append(self.datasets[part].fetch_batch(theirs, seed, first))
            first += len(theirs)
        columns = zip(*pieces, strict=True)
        return tuple(xp(column[0]).concatenate(column) for column in columns)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    """Split ``dataset`` at random into parts that share no sample.

    Parameters
    ----------
    dataset : Dataset
        What to split.
    lengths : sequence of int or of float
        The number of samples of each part, or fractions that sum to 1: a part gets
        ``floor(fraction * len(dataset))`` samples, and what is left over goes to the first
        parts, one each.
    generator : Generator, optional
        Where the random order comes from; the default generator if None.

    Raises
    ------
    ValueError
        If the lengths are negative or do not sum to the size of the data set.
    """
    sizes = [int(length) for length in lengths]
    if math.isclose(sum(lengths), 1):
        sizes = _sizes(lengths, len(dataset))
    elif sizes != list(lengths):
        raise ValueError(f"random_split: lengths are integers or sum to 1, got {list(lengths)}")
    if min(sizes, default=0) < 0 or sum(sizes) != len(dataset):
        raise ValueError(
            f"random_split: lengths {sizes} sum to {sum(sizes)}, not to the data set's "
            f"{len(dataset)} samples, or one is negative"
        )
    order = (generator or current_generator()).permutation(len(dataset)).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes)]


def _sizes(fractions: Sequence[float], total: int) -> list[int]:
    """Numbers of samples from fractions of ``total``."""
    if min(fractions) < 0:
        raise ValueError(f"random_split: fractions lie in [0, 1], got {list(fractions)}")
    sizes = [math.floor(total * fraction) for fraction in fractions]
    for i in range(total - sum(sizes)):
        sizes[i % len(sizes)] += 1
    if 0 in sizes:
        warnings.warn(f"random_split: part {sizes.index(0)} is empty", stacklevel=3)
    return sizes
