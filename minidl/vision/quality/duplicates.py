"""Pictures that are there twice: the same pixels, or nearly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from minidl.vision.quality.pictures import Pictures

_ROWS = 1024  # pictures that are compared with all others at a time
_FLAT = 1.0  # a thumbnail that varies less, in units of 1/255, shows nothing to compare


class Duplicates(NamedTuple):
    """Groups of pictures that show the same.

    Attributes
    ----------
    exact, near : list of list of int
        Groups of two or more positions, each from the lowest up; a group of ``near`` may hold
        groups of ``exact``.
    """

    exact: list[list[int]]
    near: list[list[int]]


def find_duplicates(pictures: Pictures, similarity: float = 0.98) -> Duplicates:
    """The pictures among ``pictures`` that are there more than once.

    Two are near duplicates if the correlation of their thumbnails, the mean colours of an 8x8
    grid less each channel's mean, is at least ``similarity``. Recoded, slightly moved, brightened
    or tinted copies are found, mirrored or turned ones are not. In CIFAR-10 nearly all pairs
    above 0.98 show one photograph, and half of those at 0.96. All pairs are compared: 60,000
    pictures take some seconds, ten times as many a hundred times as long.

    Raises
    ------
    ValueError
        If the similarity is not between 0 and 1.
    """
    if not 0 < similarity <= 1:
        raise ValueError(f"the similarity of near duplicates lies in (0, 1], got {similarity}")
    readable = np.flatnonzero(pictures.count)
    exact = _equal(pictures.digests[readable], readable)
    groups = Groups(len(pictures.count))
    for group in exact:
        groups.join(group)
    for first, second in _correlated(pictures.thumbnails[readable], similarity):
        groups.join([int(readable[first]), int(readable[second])])
    return Duplicates(exact, groups.of_several())


def _correlated(thumbnails: np.ndarray, least: float) -> Iterator[tuple[int, int]]:
    """The pairs of thumbnails whose correlation is at least ``least``; not those of one colour."""
    vectors = (thumbnails - thumbnails.mean((1, 2), keepdims=True)).reshape(len(thumbnails), -1)
    lengths = np.sqrt((vectors * vectors).sum(1, keepdims=True))
    vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > _FLAT)
    starts = range(0, len(vectors), _ROWS)
    for start in tqdm(starts, "comparing", unit=" block", leave=False):
        found = vectors[start : start + _ROWS] @ vectors[start:].T
        for i, j in zip(*np.nonzero(found >= least)):
            if i < j:
                yield start + int(i), start + int(j)


def _equal(keys: np.ndarray, positions: np.ndarray) -> list[list[int]]:
    """The positions in groups of equal keys, without those that are alone."""
    order = np.argsort(keys, kind="stable")
    ends = np.flatnonzero(np.diff(keys[order])) + 1
    groups = np.split(positions[order], ends)
    return sorted(group.tolist() for group in groups if len(group) > 1)


class Groups:
    """Positions that were joined, directly or by others between them."""

    def __init__(self, size: int):
        self.leader = np.arange(size)

    def join(self, positions: list[int]) -> None:
        """Put the groups of all ``positions`` together."""
        leaders = sorted({self.find(i) for i in positions})
        for leader in leaders[1:]:
            self.leader[leader] = leaders[0]

    def find(self, position: int) -> int:
        """The lowest position of the group."""
        while self.leader[position] != position:
            self.leader[position] = self.leader[self.leader[position]]
            position = int(self.leader[position])
        return position

    def of_several(self) -> list[list[int]]:
        """The groups of two or more."""
        positions = np.arange(len(self.leader))
        return _equal(np.array([self.find(int(i)) for i in positions]), positions)
