"""The matrix product by NumPy's BLAS, with one BLAS thread and threads of our own.

A BLAS keeps threads of its own, and after a product OpenBLAS's wait for the next one at
full speed for some 25 ms: on a small machine they take the cores away from the kernels that
come next. (Training a CNN of four 3x3 layers on two cores, a step took 148 ms with them and
104 ms without.) So BLAS gets one thread while it works for us, and a large product is cut
into blocks of its longer side. How it is cut depends on its size only, so the result does not
depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

from minidl.kernels.jit import get_num_threads, is_single_threaded
from minidl.kernels.launch import empty, launch, planned, unplanned
from minidl.kernels.matmul import reference

# Up to about this many multiply-adds BLAS starts no threads anyway.
_SMALL = 250_000
# The multiply-adds that pay for handing a block to another thread and packing b again.
_BLOCK = 8_000_000
_MOST_BLOCKS = 16


class _OneThread:
    """While any of our threads is inside, BLAS has one thread; then what it had before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.blas: ThreadpoolController | None = None
        self.inside = 0

    def __enter__(self) -> None:
        with self.lock:
            if self.blas is None:  # looking for the libraries takes a few milliseconds
                self.blas = ThreadpoolController().select(user_api="blas")
            if self.inside == 0:
                self.limit = self.blas.limit(limits=1)
            self.inside += 1

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


_one_thread = _OneThread()
_pool: ThreadPoolExecutor | None = None


def _forget() -> None:
    """A forked process has none of its parent's threads, and may find the lock closed."""
    global _one_thread, _pool
    _one_thread, _pool = _OneThread(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _threads() -> ThreadPoolExecutor:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="minidl-matmul")
    return _pool


@planned
def matmul(a: np.ndarray, b: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    """See `minidl.kernels.matmul.reference.matmul`."""
    if min(a.ndim, b.ndim) < 2 or a.dtype != b.dtype or a.shape[-1] != b.shape[-2]:
        return unplanned(reference.matmul, a, b, bias)
    batch = () if a.ndim == b.ndim == 2 else np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    result = empty((*batch, a.shape[-2], b.shape[-1]), a.dtype)
    launch(_multiply, a, b, result)
    if bias is not None:
        launch(np.add, result, bias, result)
    return result


def _multiply(a: np.ndarray, b: np.ndarray, result: np.ndarray) -> None:
    """The product into ``result``."""
    work = a.size * b.shape[-1]
    if a.dtype == np.float16:
        result[...] = reference.matmul(a, b)
    elif work <= _SMALL or a.dtype.kind != "f":
        np.matmul(a, b, result)
    else:
        blocks = min(_MOST_BLOCKS, work // _BLOCK, max(result.shape[-2:]))
        with _one_thread:
            if blocks < 2 or a.ndim != 2 or b.ndim != 2:
                np.matmul(a, b, result)
            else:
                _in_blocks(a, b, blocks, result)


def _in_blocks(a: np.ndarray, b: np.ndarray, blocks: int, result: np.ndarray) -> None:
    """The product of matrices, in ``blocks`` parts of its longer side, one by one or side by side.

    Each part reads all of the factor that belongs to the shorter side: that is the smaller one.
    """
    rows, columns = result.shape
    bounds = np.linspace(0, max(rows, columns), blocks + 1).astype(int).tolist()

    def multiply(start: int, stop: int) -> None:
        if columns > rows:
            np.matmul(a, b[:, start:stop], out=result[:, start:stop])
        else:
            np.matmul(a[start:stop], b, out=result[start:stop])

    each = map if is_single_threaded() or get_num_threads() == 1 else _threads().map
    list(each(multiply, bounds[:-1], bounds[1:]))
