"""The kernels at real sizes: what to run, what it should give, and PyTorch's version of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.gpu_machine import COPY, FLOAT16, FLOAT32
from benchmarks.gpu_timing import Timer
from minidl import kernels
from minidl.backend import device, to_device, to_host

try:
    import torch
except ImportError:  # the peer is optional
    torch = None


@dataclass(frozen=True)
class Sizes:
    """How large the work is: batch sizes and the number of elements of what memory bounds."""

    convolution_batch: int
    elements: int
    classes: int
    step_batches: tuple[int, ...]
    resnet_batch: int


REAL = Sizes(256, 1 << 26, 1000, (4, 128, 1024), 512)
TINY = Sizes(1, 1 << 9, 10, (2,), 2)

# The layers of VGG and ResNet-18 for 32x32 pictures: channels, filters, size, kernel, stride.
LAYERS = {
    "VGG 3->64, 32x32": (3, 64, 32, 3, 1),
    "VGG 64->128, 16x16": (64, 128, 16, 3, 1),
    "ResNet 64->64, 32x32": (64, 64, 32, 3, 1),
    "ResNet 128->128, 16x16": (128, 128, 16, 3, 1),
    "ResNet 256->256, 8x8": (256, 256, 8, 3, 1),
    "ResNet 512->512, 4x4": (512, 512, 4, 3, 1),
    "ResNet 64->128, 32x32, stride 2": (64, 128, 32, 3, 2),
    "ResNet 64->128, 1x1, stride 2": (64, 128, 32, 1, 2),
}
_TINY_LAYERS = {"3->4, 6x6": (3, 4, 6, 3, 1), "4->8, 6x6, stride 2": (4, 8, 6, 3, 2)}
_ALLOWED = {"float16": 4e-3, "float32": 2e-4}  # of the largest number in the result


@dataclass(frozen=True)
class Work:
    """One row of the page.

    ``ours`` and ``theirs`` do the work; ``error`` says by how much our result is off, in
    relation to the largest number in it (None where there is nothing to compare); ``amount``
    is in floating-point operations or, for a ``ceiling`` in GB/s, in bytes.
    """

    name: str
    ours: Callable
    theirs: Callable | None
    error: Callable[[], float] | None
    allowed: float
    amount: float
    ceiling: str | None


def row(work: Work, timer: Timer, ceilings: dict[str, float]) -> dict:
    """The measurement of one piece of work."""
    error = None if work.error is None else float(work.error())
    ours, theirs = timer.seconds(work.ours, work.theirs)
    rate = work.amount / median(ours) / (1e9 if work.ceiling == COPY else 1e12)
    return {
        "work": work.name,
        "error": error,
        "wrong": error is not None and not error <= work.allowed,
        "seconds": ours,
        "peer_seconds": theirs,
        "reached": rate if work.ceiling else None,
        "unit": "GB/s" if work.ceiling == COPY else "TFLOP/s",
        "share_of_ceiling": rate / ceilings[work.ceiling] if work.ceiling else None,
        "times_the_peers_speed": median(theirs) / median(ours) if theirs else None,
    }


def line(found: dict) -> str:
    """A row as text."""
    error = "" if found["error"] is None else f"{found['error']:.1e}"
    reached = share = peer = ""
    if found["reached"] is not None:
        reached = f"{found['reached']:.4g} {found['unit']}"
        share = f"{found['share_of_ceiling']:.0%}"
    if found["peer_seconds"]:
        peer = f"{found['times_the_peers_speed']:.2f} x its speed"
    milliseconds = 1000 * median(found["seconds"])
    return (
        f"{found['work']:44} {error:>8} {milliseconds:9.4f} {reached:>14} {share:>8} {peer:>14}"
        + ("  WRONG" if found["wrong"] else "")
    )


def peer_available(place: str) -> bool:
    """Whether PyTorch is installed and sees a GPU."""
    return place == "cuda" and torch is not None and torch.cuda.is_available()


# --------------------------------------------------------------------------- convolution


def convolutions(place: str, sizes: Sizes) -> Iterator[Work]:
    """Forward and both gradients of each layer, in float32 (without TF32) and float16."""
    layers = _TINY_LAYERS if place == "emulator" else LAYERS
    for dtype in ("float32", "float16"):
        for name, shape in layers.items():
            yield from _convolution(place, sizes.convolution_batch, name, shape, dtype)


def _convolution(place: str, batch: int, name: str, shape: tuple, dtype: str) -> Iterator[Work]:
    channels, filters, size, k, stride = shape
    pad = k // 2
    out = (size + 2 * pad - k) // stride + 1
    x = random(place, (batch, channels, size, size), dtype)
    w = random(place, (filters, channels, k, k), dtype)
    g = random(place, (batch, filters, out, out), dtype)
    how = (stride, stride), (pad, pad, pad, pad), (1, 1), 1
    flops = 2.0 * batch * filters * out * out * channels * k * k
    peers = _torch_convolution(x, w, g, stride, pad) if peer_available(place) else [None] * 3
    calls = (
        ("forward", kernels.conv2d, (x, w, None, *how)),
        ("input gradient", kernels.conv2d_input_grad, (g, w, x.shape, *how)),
        ("weight gradient", kernels.conv2d_weight_grad, (g, x, w.shape, *how)),
    )
    for (kind, kernel, args), peer in zip(calls, peers):
        ceiling = FLOAT32 if dtype == "float32" else FLOAT16
        yield kernel_work(f"{name}, {dtype}, {kind}", kernel, args, peer, flops, ceiling)


def _torch_convolution(x: Any, w: Any, g: Any, stride: int, pad: int) -> list[Callable]:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    x, w, g = (torch.as_tensor(a, device="cuda") for a in (x, w, g))
    how = {"stride": stride, "padding": pad}
    return [
        lambda: torch.nn.functional.conv2d(x, w, **how),
        lambda: torch.nn.grad.conv2d_input(x.shape, w, g, **how),
        lambda: torch.nn.grad.conv2d_weight(x, w.shape, g, **how),
    ]


def kernel_work(
    name: str,
    kernel: kernels.Kernel,
    args: tuple,
    peer: Callable | None,
    amount: float,
    ceiling: str,
) -> Work:
    """A kernel's row; its error is the distance from its reference on the same arrays."""
    dtype = next(a.dtype.name for a in args if hasattr(a, "dtype"))

    def error() -> float:
        found, expected = kernel(*args), kernel.reference(*args)
        if isinstance(expected, tuple):
            found, expected = found[0], expected[0]
        found, expected = (to_host(array).astype("float64") for array in (found, expected))
        return np.abs(found - expected).max() / np.abs(expected).max()

    return Work(name, lambda: kernel(*args), peer, error, _ALLOWED[dtype], amount, ceiling)


# --------------------------------------------------------------------------- bound by memory


def memory_bound(place: str, sizes: Sizes) -> Iterator[Work]:
    """Pooling, softmax, norms, activation and optimizers; bytes as the work itself needs."""
    with_peer = peer_available(place)
    count, item = sizes.elements, 4
    channels = 64 if count > 1 << 12 else 2
    side = 32 if count > 1 << 12 else 4
    x = random(place, (count // (channels * side * side), channels, side, side), "float32")
    t = torch.as_tensor(x, device="cuda") if with_peer else None
    functional = torch.nn.functional if with_peer else None

    def peer(function: Callable) -> Callable | None:
        return (lambda: function(t)) if with_peer else None

    pool = (x, (2, 2), (2, 2), (0, 0), (1, 1), (side // 2, side // 2))
    yield kernel_work(
        "max pool 2x2",
        kernels.max_pool2d,
        pool,
        peer(lambda t: functional.max_pool2d(t, 2, return_indices=True)),
        count * item * 1.25 + count * 2,  # reads x, writes a quarter of it and int64 indices
        COPY,
    )
    relu = peer(lambda t: functional.relu(t))
    yield kernel_work("ReLU", kernels.relu, (x,), relu, 2 * count * item, COPY)
    yield from _norms(place, x, peer)
    yield from _cross_entropy(place, sizes)
    yield from _optimizers(place, sizes)


def _norms(place: str, x: Any, peer: Callable) -> Iterator[Work]:
    channels = x.shape[1]
    ones = to_device(np.ones(channels, np.float32), device(place))
    zeros = to_device(np.zeros(channels, np.float32), device(place))
    running = [torch.zeros(channels, device="cuda") for _ in range(2)] if peer(abs) else None
    yield kernel_work(
        "batch norm, training",
        kernels.normalize,
        (x, ones, zeros, 1e-5),
        peer(lambda t: torch.nn.functional.batch_norm(t, *running, training=True)),
        3 * x.nbytes,  # reads x twice: once for the statistics
        COPY,
    )


def _cross_entropy(place: str, sizes: Sizes) -> Iterator[Work]:
    rows = sizes.elements // sizes.classes
    scores = random(place, (rows, sizes.classes), "float32")
    labels = to_device(np.arange(rows) % sizes.classes, device(place))
    weights = to_device(np.ones(sizes.classes, np.float32), device(place))
    peer = None
    if peer_available(place):
        t, target = (torch.as_tensor(a, device="cuda") for a in (scores, labels))
        peer = functools.partial(torch.nn.functional.cross_entropy, t, target, reduction="none")
    args = (scores, labels, weights, 0.0, -100)
    name = f"softmax + cross-entropy, {sizes.classes} classes"
    yield kernel_work(name, kernels.cross_entropy, args, peer, scores.nbytes, COPY)


def _optimizers(place: str, sizes: Sizes) -> Iterator[Work]:
    """One update of 64 parameters; the error is covered by the tests, as it changes its input."""
    parts = [math.ceil(sizes.elements / 64)] * 64
    params, grads, first, second = (
        [random(place, (n,), "float32") for n in parts] for _ in range(4)
    )
    second = [abs(array) for array in second]
    peers: list[Callable | None] = [None, None]
    if peer_available(place):
        theirs = [torch.as_tensor(array, device="cuda").clone() for array in params]
        for tensor, grad in zip(theirs, grads):
            tensor.grad = torch.as_tensor(grad, device="cuda")
        peers = [
            torch.optim.SGD(theirs, lr=1e-6, momentum=0.9, fused=True).step,
            torch.optim.Adam(theirs, lr=1e-6, fused=True).step,
        ]
    total = sum(parts) * 4
    yield Work(
        "SGD with momentum, 64 parameters",
        lambda: kernels.sgd(params, grads, first, 1e-6, 0.9, 0.0, 0.0, False),
        peers[0],
        None,
        0.0,
        5 * total,  # reads parameter, gradient, velocity; writes two of them
        COPY,
    )
    steps = [1] * len(params)
    yield Work(
        "Adam, 64 parameters",
        lambda: kernels.adam(
            params, grads, first, second, None, steps, 1e-6, 0.9, 0.999, 1e-8, 0.0, False
        ),
        peers[1],
        None,
        0.0,
        7 * total,
        COPY,
    )


def random(place: str, shape: tuple, dtype: str) -> Any:
    """Numbers of the normal distribution on the device."""
    numbers = np.random.default_rng(0).standard_normal(shape, np.float32).astype(dtype)
    return to_device(numbers, device(place))
