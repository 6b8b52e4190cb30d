"""Memory planning: offsets of arrays in one block, shared by those with disjoint live ranges."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from minidl.backend import xp

_ALIGNMENT = 64  # a cache line, and the widest vector


def root(array: Any) -> Any:
    """The array whose memory ``array`` looks into."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "dtype"):
        array = array.base
    return array


class Placement(NamedTuple):
    """Places in one block for arrays, in the order in which they are asked for."""

    offsets: list[int]
    sizes: list[int]

    def total(self) -> int:
        """The bytes of the block."""
        return max((start + size for start, size in zip(*self)), default=0)


class Allocations:
    """Records what a dry run allocates; with a placement, from one block.

    Without one `allocate` gives fresh arrays. `placement` then places them, knowing from when
    to when each is needed. With one the same requests come in the same order, and get their
    places.
    """

    def __init__(self, placement: Placement | None = None) -> None:
        self.places = placement
        self.block = _block(0 if placement is None else placement.total())
        self.arrays: list[Any] = []
        self.roots: Counter[int] = Counter()

    @property
    def size(self) -> int:
        """The bytes of the block."""
        return self.block.nbytes

    def allocate(self, shape: Any, dtype: Any, like: Any) -> Any:
        """What `minidl.kernels.launch.empty` returns during a dry run.

        Arrays of a device have memory of their own.
        """
        if like is not None and type(like) is not np.ndarray:
            array = xp(like).empty(shape, dtype)
        elif self.places is None:
            array = np.empty(shape, dtype)
        else:
            array = self._in_block(shape, dtype)
        self.arrays.append(array)
        self.roots[id(root(array))] += 1
        return array

    def _in_block(self, shape: Any, dtype: Any) -> np.ndarray:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        i, size = len(self.arrays), math.prod(shape) * np.dtype(dtype).itemsize
        if i >= len(self.places.sizes) or _up(size) != self.places.sizes[i]:
            raise RuntimeError(
                f"a kernel asks for other memory than when its step was scheduled: {size} bytes"
            )
        if not size:  # a view of no bytes would have other strides
            return np.empty(shape, dtype)
        start = self.places.offsets[i]
        return self.block[start : start + size].view(dtype).reshape(shape)

    def owns(self, array: Any) -> bool:
        """Whether ``array`` is a view of what was allocated here."""
        return id(root(array)) in self.roots

    def mark(self) -> int:
        """A point to go back to."""
        return len(self.arrays)

    def forget_since(self, mark: int) -> None:
        """Take back what was allocated since `mark`."""
        for array in self.arrays[mark:]:
            key = id(root(array))
            self.roots[key] -= 1
            if not self.roots[key]:
                del self.roots[key]
        del self.arrays[mark:]

    def placement(self, lives: list[tuple[int, int]]) -> Placement:
        """Place array i, which is needed from time ``lives[i][0]`` to ``lives[i][1]``."""
        sizes = [_up(a.nbytes) if type(a) is np.ndarray else 0 for a in self.arrays]
        return Placement(placed(sizes, lives), sizes)


def _block(size: int) -> np.ndarray:
    raw = np.empty(size + _ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : start + size]


def _up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


# --------------------------------------------------------------------------- places


def placed(sizes: list[int], lives: list[tuple[int, int]]) -> list[int]:
    """An offset for each size, such that none overlaps another that lives at the same time.

    The largest first, each at the lowest place that is free during its life.
    """
    # of two lives that meet, one begins within the other: no other times matter
    times = sorted({first for first, _ in lives})
    taken = _Taken(len(times))
    offsets = [0] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        if not sizes[i]:
            break
        first, last = bisect_left(times, lives[i][0]), bisect_right(times, lives[i][1]) - 1
        offsets[i] = taken.lowest_gap(sizes[i], first, last)
        taken.add(offsets[i], offsets[i] + sizes[i], first, last)
    return offsets


class _Taken:
    """Which memory is taken at what times: a tree whose leaves are times.

    A node covers the times of the leaves below it, and a live range is a union of few nodes,
    at most about twice the tree's depth. Memory is a sorted list of bounds: where taken memory
    begins, where it ends, and so on in turn.

    Attributes
    ----------
    whole : list of list of int
        For each node the memory of those lives that it is one of the few nodes of.
    below : list of list of int
        For each node this memory and that of all nodes below it.
    """

    def __init__(self, times: int):
        self.leaf = 1 << max(times - 1, 0).bit_length()
        self.whole: list[list[int]] = [[] for _ in range(2 * self.leaf)]
        self.below: list[list[int]] = [[] for _ in range(2 * self.leaf)]

    def add(self, start: int, end: int, first: int, last: int) -> None:
        """Take the memory from ``start`` to ``end`` at the times from ``first`` to ``last``."""
        for node in self._nodes(first, last):
            _take(self.whole[node], start, end)
            # where all of it was taken already, it was so further up
            while node and _take(self.below[node], start, end):
                node //= 2

    def lowest_gap(self, size: int, first: int, last: int) -> int:
        """The lowest place for ``size`` that is free at all times from ``first`` to ``last``."""
        found = [self.below[node] for node in self._nodes(first, last)]
        left, right = (first + self.leaf) // 2, (last + self.leaf) // 2
        while left:
            found.append(self.whole[left])
            if left != right:
                found.append(self.whole[right])
            left, right = left // 2, right // 2
        return _lowest_gap(size, [bounds for bounds in found if bounds])

    def _nodes(self, first: int, last: int) -> list[int]:
        """The nodes that the times from ``first`` to ``last`` are put together of."""
        nodes, left, right = [], first + self.leaf, last + self.leaf + 1
        while left < right:
            if left & 1:
                nodes.append(left)
                left += 1
            if right & 1:
                right -= 1
                nodes.append(right)
            left, right = left // 2, right // 2
        return nodes


def _take(bounds: list[int], start: int, end: int) -> bool:
    """Take memory; whether any of it was free."""
    low, high = bisect_left(bounds, start), bisect_right(bounds, end)
    # an odd number of bounds before it: it begins, or ends, in what is taken already
    new = [start][low % 2 :] + [end][high % 2 :]
    if bounds[low:high] == new:
        return False
    bounds[low:high] = new
    return True


def _lowest_gap(size: int, taken: list[list[int]]) -> int:
    """The lowest place for ``size`` that is free in each of ``taken``."""
    place, before = 0, -1
    while place != before:
        before = place
        for bounds in taken:
            i = bisect_right(bounds, place) // 2 * 2
            while i < len(bounds) and bounds[i] < place + size:
                place = bounds[i + 1]
                i += 2
    return place
