"""What is remembered of an argument: of an array its shape and dtype, never the array."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np


class Spec(NamedTuple):
    """An array as it was seen: its dtype, its shape and, of a flag, the value."""

    dtype: np.dtype
    shape: tuple[int, ...]
    value: int | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes that all elements take."""
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]"


def read(noted: Any) -> Any:
    """What `minidl.profiler.watch.Watcher` noted of a structure, with a `Spec` for each array."""
    if not isinstance(noted, tuple):
        return noted
    return Spec(*noted) if noted and isinstance(noted[0], np.dtype) else tuple(map(read, noted))


def specs(structure: Any) -> Iterator[Spec]:
    """The arrays in nested tuples."""
    if isinstance(structure, Spec):
        yield structure
    elif isinstance(structure, tuple):
        for part in structure:
            yield from specs(part)
