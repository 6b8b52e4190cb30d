"""Memory of a plan: where its arrays lie, so that those that live at different times share it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minidl.backend import xp

_ALIGNMENT = 64  # a cache line, and the widest vector


def root(array: Any) -> Any:
    """The array whose memory ``array`` looks into."""
    while getattr(array, "base", None) is not None and hasattr(array.base, "dtype"):
        array = array.base
    return array


class Allocations:
    """Notes what is allocated while a plan is laid out; the second time from one block.

    The first time `allocate` gives fresh arrays. `settle` then places them, knowing from when
    to when each is needed. The second time the same requests come in the same order, and get
    their places.
    """

    def __init__(self) -> None:
        self.arrays: list[np.ndarray] = []
        self.places: list[int] | None = None
        self.block = np.empty(0, np.uint8)
        self.roots: set[int] = set()

    @property
    def size(self) -> int:
        """The bytes of the block."""
        return self.block.nbytes

    def allocate(self, shape: Any, dtype: Any, like: Any) -> Any:
        """What `minidl.kernels.launch.empty` returns while the plan is laid out.

        Arrays of a device have memory of their own.
        """
        if like is not None and type(like) is not np.ndarray:
            array = xp(like).empty(shape, dtype)
        elif self.places is None:
            array = np.empty(shape, dtype)
        else:
            array = self._in_block(shape, dtype)
        self.arrays.append(array)
        self.roots.add(id(root(array)))
        return array

    def _in_block(self, shape: Any, dtype: Any) -> np.ndarray:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        start, size = self.places[len(self.arrays)], math.prod(shape) * np.dtype(dtype).itemsize
        return self.block[start : start + size].view(dtype).reshape(shape)

    def owns(self, array: Any) -> bool:
        """Whether ``array`` lies in what was allocated here."""
        return id(root(array)) in self.roots

    def mark(self) -> int:
        """A point to go back to."""
        return len(self.arrays)

    def forget_since(self, mark: int) -> None:
        """Take back what was allocated since `mark`."""
        del self.arrays[mark:]
        self.roots = {id(root(array)) for array in self.arrays}

    def settle(self, lives: list[tuple[int, int]]) -> None:
        """Place array i, which is needed from line ``lives[i][0]`` to ``lives[i][1]``."""
        sizes = [_up(a.nbytes) if type(a) is np.ndarray else 0 for a in self.arrays]
        self.places = placed(sizes, lives)
        total = max((place + size for place, size in zip(self.places, sizes)), default=0)
        raw = np.empty(total + _ALIGNMENT, np.uint8)
        start = -raw.ctypes.data % _ALIGNMENT
        self.block = raw[start : start + total]
        self.arrays, self.roots = [], set()


def placed(sizes: list[int], lives: list[tuple[int, int]]) -> list[int]:
    """An offset for each size, such that none overlaps another that lives at the same time.

    The largest first, each at the lowest place that is free during its life.
    """
    offsets = [0] * len(sizes)
    done: list[int] = []
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        first, last = lives[i]
        taken = (
            (offsets[j], offsets[j] + sizes[j])
            for j in done
            if lives[j][0] <= last and first <= lives[j][1]
        )
        offsets[i] = _lowest_gap(sizes[i], sorted(taken))
        done.append(i)
    return offsets


def _lowest_gap(size: int, taken: Iterable[tuple[int, int]]) -> int:
    place = 0
    for start, end in taken:
        if start - place >= size:
            break
        place = max(place, end)
    return place


def _up(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
