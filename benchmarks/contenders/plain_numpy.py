"""NumPy: a ceiling for products by the BLAS it comes with, and for copies."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks import data


class Plain:
    """Each call one call of NumPy."""

    def product(self, size: int) -> Callable:
        """The product of two square matrices."""
        a, b = data.normal(size, size), data.normal(size, size, seed=1)
        return lambda: a @ b

    def copy(self, count: int) -> Callable:
        """A copy of ``count`` float32 numbers, a part of it by each core."""
        source = data.normal(count)
        target = np.empty_like(source)
        cores = os.cpu_count() or 1
        parts = list(zip(np.array_split(target, cores), np.array_split(source, cores)))
        pool = ThreadPoolExecutor(cores)

        def run() -> None:
            list(pool.map(lambda part: np.copyto(*part), parts))

        return run


CONTENDERS = {"NumPy": Plain()}
