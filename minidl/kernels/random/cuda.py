"""Philox on a GPU, the same bits as the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import xp
from minidl.kernels.cuda import Source, address, grid_for

_source = Source(__file__, "philox.cu", [{}])
_THREADS = 256


def philox(words: Any, key: int, counter: int, domain: int) -> None:
    """See `minidl.kernels.random.reference.philox`."""
    if not words.size:
        return
    in_place = words.flags.c_contiguous and address(words) % 16 == 0
    filled = words if in_place else xp(words).empty(words.shape, words.dtype)
    numbers = *map(np.uint64, (key, counter, domain)), np.int64(len(words))
    kernel = _source.kernel("philox", words)
    kernel(grid_for(len(words), _THREADS), (_THREADS,), (filled, *numbers))
    if not in_place:
        words[...] = filled
