"""Pinned memory: pages of the host that stay in their place, so that a GPU can read them itself.

A copy out of pinned memory goes on while the host and the GPU do something else. The pages
must then live until it is done, whoever forgets them before: they wait here.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections import deque
from typing import Any

import numpy as np

from minidl.backend.cupy import CudaUnavailable, load_cupy

_under_way: deque[tuple[Any, np.ndarray]] = deque()
"""Of each copy that may not be done yet the event behind it, and the memory it reads."""

_lock = threading.Lock()


def pinned(array: np.ndarray) -> np.ndarray:
    """A copy of ``array`` in pinned memory, or itself if it lies there already.

    Without a GPU nothing can be pinned: then it is ``array`` itself, and a warning says so.
    """
    if is_pinned(array):
        return array
    try:
        cuda = load_cupy().cuda
    except CudaUnavailable as reason:
        _warn_once(f"pin_memory has no effect: {reason}")
        return array
    pages = cuda.alloc_pinned_memory(max(array.nbytes, 1))
    copy = np.ndarray(array.shape, array.dtype, pages)
    copy[...] = array
    return copy


@functools.cache
def _warn_once(message: str) -> None:
    warnings.warn(message, stacklevel=4)


def is_pinned(array: Any) -> bool:
    """Whether ``array`` looks into memory that `pinned` made."""
    while isinstance(array, np.ndarray):
        array = array.base
    return type(array).__name__ == "PinnedMemoryPointer"


def to_gpu(array: np.ndarray, non_blocking: bool) -> Any:
    """A copy of ``array``, of the host, on the current GPU."""
    cupy = load_cupy()
    if not (non_blocking and is_pinned(array) and array.flags.c_contiguous):
        return cupy.asarray(array)
    stream = cupy.cuda.get_current_stream()
    copy = cupy.empty(array.shape, array.dtype)
    copy.set(array, stream)
    with _lock:
        while _under_way and _under_way[0][0].done:
            _under_way.popleft()
        _under_way.append((stream.record(), array))
    return copy
