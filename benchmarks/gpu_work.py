"""A row of the GPU page: work, whether its result is right, how fast it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np

from benchmarks.gpu_machine import COPY
from benchmarks.gpu_timing import Timer
from minidl.backend import device, is_array, to_device, to_host
from minidl.kernels import Kernel
from minidl.random import Generator

try:
    import torch
except ImportError:  # the peer is optional
    torch = None

ALLOWED = {"float16": 4e-3, "float32": 2e-4}
"""By dtype, how far a result may be off in relation to the largest number in it."""

ON_HOST = {"augment_pictures"}
"""Kernels whose reference goes picture by picture, and so runs on the host."""


@dataclass(frozen=True)
class Sizes:
    """How large the work is: batch sizes, and the elements of what memory bounds."""

    convolution_batch: int
    elements: int
    classes: int
    step_batches: tuple[int, ...]
    resnet_batch: int


REAL = Sizes(256, 1 << 26, 1000, (4, 128, 1024), 512)
TINY = Sizes(1, 1 << 9, 10, (2,), 2)


@dataclass(frozen=True)
class Work:
    """One row of the page.

    ``ours`` and, by name, ``peers`` do the work; ``error`` says by how much our result is off, in
    relation to the largest number in it (None where there is nothing to compare); ``amount``
    is in floating-point operations or, where the ``ceiling`` is `COPY`, in bytes.
    """

    name: str
    ours: Callable
    peers: Mapping[str, Callable] = field(default_factory=dict)
    error: Callable[[], float] | None = None
    allowed: float = 0.0
    amount: float = 0.0
    ceiling: str | None = None


def kernel_work(
    name: str, kernel: Kernel, args: tuple, peer: Callable | None, flops: float, ceiling: str
) -> Work:
    """A kernel's row; without ``flops``, what counts is the bytes it must read and write."""
    dtype = next((a.dtype.name for a in arrays_in(args) if a.dtype.name in ALLOWED), "float32")
    amount = flops or bytes_moved(kernel, args)
    return Work(
        name,
        lambda: kernel(*args),
        {} if peer is None else {"PyTorch": peer},
        lambda: relative_error(kernel, args),
        ALLOWED[dtype],
        amount,
        ceiling,
    )


def relative_error(kernel: Kernel, args: tuple) -> float:
    """How far the kernel is from its reference, results and arrays changed in place alike."""
    mine, its = mapped(args, copy), mapped(args, to_host if kernel.name in ON_HOST else copy)
    found = [*arrays_in(kernel(*mine)), *arrays_in(mine)]
    expected = [*arrays_in(kernel.reference(*its)), *arrays_in(its)]
    return max(_distance(to_host(a), to_host(b)) for a, b in zip(found, expected, strict=True))


def _distance(found: np.ndarray, expected: np.ndarray) -> float:
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return float("inf")
    if expected.dtype.kind != "f":
        return 0.0 if np.array_equal(found, expected) else float("inf")
    found, expected = found.astype("float64"), expected.astype("float64")
    largest = np.abs(expected).max(initial=0.0) or 1.0
    return float(np.abs(found - expected).max(initial=0.0) / largest)


def bytes_moved(kernel: Kernel, args: tuple) -> int:
    """Bytes of all arguments and results, those changed in place twice."""
    mine = mapped(args, copy)
    results = [*arrays_in(kernel(*mine))]
    for before, after in zip(arrays_in(args), arrays_in(mine)):
        if not bool((before == after).all()):
            results.append(after)
    return sum(array.nbytes for array in (*arrays_in(args), *results))


def arrays_in(value: Any) -> list:
    """All arrays in a value, lists and tuples included."""
    if is_array(value):
        return [value]
    if isinstance(value, list | tuple):
        return [array for item in value for array in arrays_in(item)]
    return []


def mapped(value: Any, function: Callable) -> Any:
    """The value with ``function`` applied to every array in it."""
    if is_array(value):
        return function(value)
    if isinstance(value, list) or type(value) is tuple:
        return type(value)(mapped(item, function) for item in value)
    return value


def copy(array: Any) -> Any:
    """The array's own copy."""
    return array.copy()


def row(work: Work, timer: Timer, ceilings: dict[str, float]) -> dict:
    """The measurement of one piece of work."""
    error = None if work.error is None else work.error()
    ours, *theirs = timer.seconds(work.ours, *work.peers.values())
    rate = work.amount / median(ours) / (1e9 if work.ceiling == COPY else 1e12)
    return {
        "work": work.name,
        "error": error,
        "wrong": error is not None and not error <= work.allowed,
        "seconds": ours,
        "peer_seconds": dict(zip(work.peers, theirs)),
        "reached": rate if work.ceiling else None,
        "unit": "GB/s" if work.ceiling == COPY else "TFLOP/s",
        "share_of_ceiling": rate / ceilings[work.ceiling] if work.ceiling else None,
        "times_the_peers_speed": {
            name: median(seconds) / median(ours) for name, seconds in zip(work.peers, theirs)
        },
    }


HEADER = (
    f"{'work':46} {'error':>8} {'ms':>9} {'reached':>16} {'of ceiling':>10}   times the speed of"
)


def line(found: dict) -> str:
    """A row as text."""
    error = "" if found["error"] is None else f"{found['error']:.1e}"
    reached = share = ""
    if found["reached"] is not None:
        reached = f"{found['reached']:.3g} {found['unit']}"
        share = f"{found['share_of_ceiling']:.0%}"
    peers = ", ".join(
        f"{times:.2f}x {name}" for name, times in found["times_the_peers_speed"].items()
    )
    milliseconds = f"{1000 * median(found['seconds']):.4f}"
    text = f"{found['work']:46} {error:>8} {milliseconds:>9} {reached:>16} {share:>10}   {peers}"
    return text.rstrip() + ("  WRONG" if found["wrong"] else "")


def peer_available(place: str) -> bool:
    """Whether PyTorch is installed and sees a GPU."""
    return place == "cuda" and torch is not None and torch.cuda.is_available()


def random(place: str, shape: tuple, dtype: str = "float32", seed: int = 0) -> Any:
    """Numbers of the normal distribution on the device."""
    return Generator(seed).normal(shape, device=device(place)).astype(dtype)


def on_device(place: str, array: np.ndarray) -> Any:
    """The array on the device."""
    return to_device(array, device(place))
