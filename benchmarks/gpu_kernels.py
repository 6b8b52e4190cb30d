"""Every kernel but the convolutions, at sizes that fill the chip.

`ARGUMENTS` has an entry for each kernel that has a CUDA version; `PEERS` PyTorch's version of
some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gpu_convolutions import convolutions
from benchmarks.gpu_machine import COPY, FLOAT32
from benchmarks.gpu_work import Sizes, Work, kernel_work, on_device, peer_available, random, torch
from minidl.kernels.augment import program as instructions
from minidl.kernels.registry import kernels

COMPOSED = {"conv2d_grads", "linear", "linear_grad", "quantized_linear"}
"""Kernels that on a GPU are made of others."""

ELSEWHERE = {"conv2d", "conv2d_input_grad", "conv2d_weight_grad"} | COMPOSED
"""Kernels that `gpu_convolutions` measures, and those made of others."""


class Inputs:
    """Arrays on the device that the kernels take, made when first asked for."""

    def __init__(self, place: str, sizes: Sizes):
        self.place, self.classes = place, sizes.classes
        self.real = sizes.elements > 1 << 12
        self.count = sizes.elements
        self.channels, self.side = (64, 32) if self.real else (2, 4)
        self.batch = self.count // (self.channels * self.side**2)
        self.rows = self.count // self.classes

    def pictures(self) -> Any:
        """(N, channels, side, side)."""
        return random(self.place, (self.batch, self.channels, self.side, self.side))

    def pooled(self) -> Any:
        """What a 2x2 pooling makes of the pictures."""
        half = self.side // 2
        return random(self.place, (self.batch, self.channels, half, half))

    def by_channel(self, value: float = 1.0) -> Any:
        """One number a channel."""
        return on_device(self.place, np.full(self.channels, value, np.float32))

    def by_sample(self, value: float = 1.0) -> Any:
        """One number for each picture, as the statistics of one group."""
        return on_device(self.place, np.full((self.batch, 1), value, np.float32))

    def scores(self) -> Any:
        """(rows, classes)."""
        return random(self.place, (self.rows, self.classes))

    def by_row(self) -> Any:
        """One number a row of the scores."""
        return random(self.place, (self.rows,))

    def labels(self) -> Any:
        """A class for each row of the scores."""
        return on_device(self.place, np.arange(self.rows) % self.classes)

    def parameters(self) -> list:
        """64 parameters of one size."""
        return [random(self.place, (-(-self.count // 4 // 64),)) for _ in range(64)]

    def squares(self) -> list:
        """Like the parameters, and positive."""
        return [array * array for array in self.parameters()]


def _windows(i: Inputs) -> tuple:
    """The windows of a 2x2 average pooling: rows, columns and scale, made on the host."""
    start = np.arange(i.side // 2) * 2
    places = np.stack((start, start + 2), 1)
    scale = on_device(i.place, np.full((i.side // 2, i.side // 2), 0.25, np.float32))
    return places, places, scale


def _max_pool(i: Inputs) -> tuple:
    half = i.side // 2
    return i.pictures(), (2, 2), (2, 2), (0, 0), (1, 1), (half, half)


def _indices(i: Inputs) -> Any:
    return kernels["max_pool2d"](*_max_pool(i))[1]


def _augmentation(i: Inputs) -> tuple:
    """Flip, rotation and conversion of 32x32 pictures, half of them flipped, each turned."""
    count = 4096 if i.real else 2
    side = 32 if i.real else 6
    steps = [
        instructions.Step(instructions.FLIP_HORIZONTAL, side, side),
        instructions.Step(instructions.ROTATE_NEAREST, side, side),
        instructions.Step(instructions.TO_FLOAT, side, side),
    ]
    rng = np.random.default_rng(0)
    angles = rng.uniform(-0.2, 0.2, count)
    parameters = np.stack([np.arange(count) % 2, np.cos(angles), np.sin(angles)], 1)
    table = np.tile(np.arange(256, dtype=np.float32) / np.float32(255), (3, 1))
    pictures = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    return (
        on_device(i.place, pictures),
        on_device(i.place, np.arange(count)),
        instructions.assemble(steps),
        parameters,
        table,
    )


def _integers(i: Inputs) -> tuple:
    """A 3x3 convolution of 8-bit integers, as many channels out as in."""
    rng = np.random.default_rng(0)
    weight = rng.integers(-128, 128, (i.channels, i.channels, 3, 3)).astype(np.int8)
    scale, zero_point = np.asarray(np.float32(0.05)), np.asarray(np.int8(0))
    numbers = (on_device(i.place, each) for each in (scale, zero_point, weight))
    return (
        *(i.pictures(), *numbers, i.by_channel(0.01), None),
        *((1, 1), (1, 1, 1, 1), (1, 1), 1),
    )


ARGUMENTS: dict[str, Callable[[Inputs], tuple]] = {
    "activation": lambda i: (i.pictures(), i.by_channel(), "gelu", ()),
    "activation_grad": lambda i: (i.pictures(), i.pictures(), i.by_channel(), "gelu", ()),
    "adam": lambda i: (
        *(i.parameters(), i.parameters(), i.parameters(), i.squares(), None, [1] * 64),
        *(1e-6, 0.9, 0.999, 1e-8, 0.0, False),
    ),
    "augment_pictures": _augmentation,
    "avg_pool2d": lambda i: (i.pictures(), *_windows(i)),
    "avg_pool2d_grad": lambda i: (i.pooled(), *_windows(i), (i.side, i.side)),
    "channel_dot": lambda i: (i.pictures(), i.pictures()),
    "cross_entropy": lambda i: (i.scores(), i.labels(), None, 0.1, -100),
    "cross_entropy_grad": lambda i: (
        *(i.by_row(), i.scores(), i.labels(), None, 0.1, -100),
        kernels["cross_entropy"](i.scores(), i.labels(), None, 0.1, -100)[1],
    ),
    "dropout": lambda i: (i.pictures(), 0.5, 1, 2),
    "erf": lambda i: (i.pictures(),),
    "group_normalize": lambda i: (i.pictures(), i.by_channel(), i.by_channel(), 1, 1e-5),
    "group_normalize_grad": lambda i: (
        *(i.pictures(), i.pictures(), i.by_sample(0.0), i.by_sample(), i.by_channel(), 1),
    ),
    "log_softmax": lambda i: (i.scores(), 1),
    "log_softmax_grad": lambda i: (i.scores(), i.scores(), 1),
    "matmul": lambda i: _factors(i),
    "max_pool2d": _max_pool,
    "max_pool2d_gather": lambda i: (i.pictures(), _indices(i)),
    "max_pool2d_scatter": lambda i: (
        *(i.pooled(), _indices(i), (i.side, i.side)),
        ((2, 2), (2, 2), (0, 0), (1, 1)),
    ),
    "move_running": lambda i: (i.by_channel(), i.by_channel(), i.by_channel(0.0), None, 0.1, 9),
    "normalize": lambda i: (i.pictures(), i.by_channel(), i.by_channel(), 1e-5),
    "normalize_grad": lambda i: (
        *(i.pictures(), i.pictures(), i.by_channel(0.0), i.by_channel(), i.by_channel()),
    ),
    "philox": lambda i: (on_device(i.place, np.zeros((i.count // 4, 4), np.uint32)), 1, 2, 0),
    "quantized_conv2d": _integers,
    "reduce_max": lambda i: (i.pictures(), (0, 2, 3), False),
    "reduce_mean": lambda i: (i.pictures(), (2, 3), False, np.dtype("float32")),
    "reduce_min": lambda i: (i.scores(), (1,), False),
    "reduce_sum": lambda i: (i.pictures(), (0, 1, 2, 3), False, np.dtype("float32")),
    "relu": lambda i: (i.pictures(),),
    "relu_grad": lambda i: (i.pictures(), i.pictures()),
    "scale_shift": lambda i: (i.pictures(), i.by_channel(), i.by_channel()),
    "sgd": lambda i: (i.parameters(), i.parameters(), i.parameters(), 1e-6, 0.9, 0, 0, False),
    "softmax": lambda i: (i.scores(), 1),
    "softmax_grad": lambda i: (i.scores(), i.scores(), 1),
    "weighted_mean": lambda i: (i.by_row(), i.labels(), None, -100),
}
"""What each kernel is called with."""


def _factors(i: Inputs) -> tuple:
    size = 4096 if i.real else 12
    return random(i.place, (size, size)), random(i.place, (size, size))


# --------------------------------------------------------------------------- PyTorch's


def _functional(name: str, *more: Any, **options: Any) -> Callable:
    """PyTorch's function of the kernel's first arguments and of ``more``."""

    def make(args: tuple) -> Callable:
        return partial(getattr(torch.nn.functional, name), _tensor(args[0]), *more, **options)

    return make


def _tensor(array: Any) -> Any:
    return torch.as_tensor(array, device="cuda")


def _batch_norm(args: tuple) -> Callable:
    x, weight, bias = map(_tensor, args[:3])
    return partial(torch.batch_norm, x, weight, bias, None, None, True, 0.1, args[3], True)


def _cross_entropy(args: tuple) -> Callable:
    scores, labels = map(_tensor, args[:2])
    function = torch.nn.functional.cross_entropy
    return partial(function, scores, labels, reduction="none", label_smoothing=args[3])


def _optimizer(kind: str, **options: Any) -> Callable:
    def make(args: tuple) -> Callable:
        params = [_tensor(array).clone() for array in args[0]]
        for param, grad in zip(params, args[1]):
            param.grad = _tensor(grad)
        return getattr(torch.optim, kind)(params, lr=1e-6, fused=True, **options).step

    return make


def _reduction(name: str) -> Callable:
    return lambda args: partial(getattr(torch, name), _tensor(args[0]), args[1])


PEERS: dict[str, Callable[[tuple], Callable]] = {
    "activation": _functional("gelu"),
    "adam": _optimizer("Adam"),
    "avg_pool2d": _functional("avg_pool2d", 2),
    "cross_entropy": _cross_entropy,
    "dropout": _functional("dropout", 0.5),
    "group_normalize": _functional("group_norm", 1),
    "log_softmax": _functional("log_softmax", 1),
    "matmul": lambda args: partial(torch.matmul, *map(_tensor, args[:2])),
    "max_pool2d": _functional("max_pool2d", 2, return_indices=True),
    "normalize": _batch_norm,
    "reduce_max": _reduction("amax"),
    "reduce_mean": _reduction("mean"),
    "reduce_min": _reduction("amin"),
    "reduce_sum": _reduction("sum"),
    "relu": _functional("relu"),
    "sgd": _optimizer("SGD", momentum=0.9),
    "softmax": _functional("softmax", 1),
}
"""From a kernel's arguments to PyTorch's work on the same arrays."""


def other_kernels(place: str, sizes: Sizes) -> Iterator[Work]:
    """A row for each kernel of `ARGUMENTS`."""
    inputs = Inputs(place, sizes)
    for name, arguments in ARGUMENTS.items():
        args = arguments(inputs)
        peer = PEERS[name](args) if name in PEERS and peer_available(place) else None
        product = name == "matmul"
        flops = 2.0 * len(args[0]) ** 3 if product else 0.0
        yield kernel_work(name, kernels[name], args, peer, flops, FLOAT32 if product else COPY)


def all_kernels(place: str, sizes: Sizes) -> Iterator[Work]:
    """The convolutions and all others."""
    yield from convolutions(place, sizes)
    yield from other_kernels(place, sizes)
