"""The C library's heap: freed memory stays with the process.

A training step frees and allocates the same large arrays again and again. By default glibc
gives their memory back to the system, which then hands out fresh pages and clears each of them
at its first use: at batch 128 the article's step spent more than half of its time on that.
So blocks of up to 32 MB, the most that glibc allows, come from the heap, and up to half a GB of
free memory stays at its end. It holds for the whole process. Other C libraries have no such
switch, and whoever sets ``MALLOC_TRIM_THRESHOLD_`` in the environment has decided already.
"""

from __future__ import annotations

import ctypes
import os

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h


def keep_freed_memory() -> bool:
    """Have malloc keep what is freed; whether it does."""
    if "MALLOC_TRIM_THRESHOLD_" in os.environ:
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc
        return False
    return bool(mallopt(_MMAP_THRESHOLD, 32 << 20) and mallopt(_TRIM_THRESHOLD, 512 << 20))
