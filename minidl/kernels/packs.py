"""Weights in the order of a kernel, kept from call to call while the weights stay the same.

To bring a deep layer's filters into order takes longer than to convolve one picture with them.
Kernels know arrays and not whether somebody has changed one, tensors do: an operator that gets a
tensor without a graph, for inference, tells by `watch` which counter counts the changes of its
array. Of other arrays nothing is kept.

No pack is used unread: each time, `Pack.refresh` compares the counter. A tensor's changes all
count, whatever view or other handle of it they go through. Memory that NumPy's code can write,
too (``numpy()``, ``from_numpy``), is marked so in the counter, and packed anew every time.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Hashable, Iterator

import numpy as np


class Pack:
    """The numbers of one array in another order.

    Attributes
    ----------
    numbers : ndarray
        Flat; arbitrary before the first `refresh`.
    """

    def __init__(self, size: int, dtype: np.dtype, version: list[int]):
        self.numbers = np.empty(size, dtype)
        self._version = version
        self._packed = -1  # the count of changes that ``numbers`` has seen

    def refresh(self, fill: Callable[..., None], *args: object) -> None:
        """``fill(*args)``, which is to fill ``numbers``, if they are not what it would make."""
        changes, _, shared = self._version
        if shared or self._packed != changes:
            fill(*args)
            self._packed = changes


class _Watched:
    """An array that lives, its counter, and its packs."""

    def __init__(self, array: np.ndarray, version: list[int]):
        key = id(array)
        self.array = weakref.ref(array, lambda _: _watched.pop(key, None))
        self.version = version
        self.packs: dict[Hashable, Pack] = {}


class _State(threading.local):
    keeps = True


_watched: dict[int, _Watched] = {}
_state = _State()


def watch(array: np.ndarray, version: list[int]) -> None:
    """Have packs of ``array`` kept; ``version`` is the counter of the tensors that share it."""
    known = _watched.get(id(array))
    if known is None or known.version is not version:
        _watched[id(array)] = _Watched(array, version)


def pack_of(array: np.ndarray, key: Hashable, size: int) -> Pack | None:
    """The pack of ``array`` in the order that ``key`` says; None if it cannot be kept."""
    watched = _watched.get(id(array)) if _state.keeps else None
    if watched is None:
        return None
    pack = watched.packs.get(key)
    if pack is None:
        pack = watched.packs[key] = Pack(size, array.dtype, watched.version)
    return pack


@contextlib.contextmanager
def none_kept() -> Iterator[None]:
    """Within the block, this thread's kernels get no packs."""
    previous, _state.keeps = _state.keeps, False
    try:
        yield
    finally:
        _state.keeps = previous
