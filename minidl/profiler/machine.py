"""Ceilings: the most that a machine computes and moves in a second, measured."""

from __future__ import annotations

import functools
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minidl import backend, cuda
from minidl.backend import Device, xp_of


class Ceilings(NamedTuple):
    """What a machine can do at best.

    Attributes
    ----------
    processor : str
        Its name and, of a CPU, the cores that this process may use.
    flops : float
        Floating-point operations a second of a large float32 product of matrices.
    bandwidth : float
        Bytes read and written a second by a large copy.
    """

    processor: str
    flops: float
    bandwidth: float


_SIZE = 1536  # of the matrices: 7 billion operations
_GPU_SIZE = 8192
_BYTES = 1 << 27  # of the copy: more than caches hold
_REPEATS = 10


def ceilings(device: Device | str = "cpu") -> Ceilings:
    """Measure what ``device`` can do at best, once in a process.

    On the CPU it is a product by NumPy's BLAS and a copy, both on all cores: it takes about a
    second and 256 MB. A GPU's are those of CuPy. ValueError for the emulator, which has none.
    """
    place = backend.device(device)
    if place.type == "emulator":
        raise ValueError("ceilings: the emulator's speed says nothing of a GPU's")
    if place.type == "cpu":
        return _of_cpu()
    return _of_gpu(cuda.current_device() if place.index is None else place.index)


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor() -> str:
    """The processor's name and the cores that this process may use."""
    return f"{_model()}, {cores()} cores"


def _model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@functools.cache
def _of_cpu() -> Ceilings:
    a = np.ones((_SIZE, _SIZE), np.float32)
    result = np.empty_like(a)
    product = _seconds(lambda: np.matmul(a, a, out=result))
    # BLAS's threads wait for more work at full speed: not during the copy
    time.sleep(0.05)
    count = cores()
    sources = np.array_split(np.ones(_BYTES, np.uint8), count)
    targets = np.array_split(np.empty(_BYTES, np.uint8), count)
    with ThreadPoolExecutor(count) as threads:
        copy = _seconds(lambda: list(threads.map(np.copyto, targets, sources)))
    return Ceilings(processor(), 2 * _SIZE**3 / product, 2 * _BYTES / copy)


@functools.cache
def _of_gpu(index: int) -> Ceilings:
    with cuda.device(index):
        xp = xp_of(Device("cuda", index))
        a = xp.ones((_GPU_SIZE, _GPU_SIZE), np.float32)
        product = _seconds(lambda: xp.matmul(a, a), cuda.synchronize)
        source, target = xp.ones((2, _BYTES), np.uint8)
        copy = _seconds(lambda: xp.copyto(target, source), cuda.synchronize)
        name = cuda.get_device_name(index)
        return Ceilings(name, 2 * _GPU_SIZE**3 / product, 2 * _BYTES / copy)


def _seconds(work: Callable[[], Any], wait: Callable[[], None] = lambda: None) -> float:
    """The shortest time of some, after one that does not count."""
    times = []
    for _ in range(_REPEATS + 1):
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return min(times[1:])
