"""Convolutions of VGG and ResNet-18 on 32x32 pictures, forward and both gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.gpu_machine import FLOAT16, FLOAT32
from benchmarks.gpu_work import Sizes, Work, kernel_work, peer_available, random, torch
from minidl import kernels

# channels, filters, size, kernel, stride
_LAYERS = {
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


def convolutions(place: str, sizes: Sizes) -> Iterator[Work]:
    """Each layer in float32 (PyTorch's without TF32) and in float16."""
    layers = _TINY_LAYERS if place == "emulator" else _LAYERS
    for dtype in ("float32", "float16"):
        for name, layer in layers.items():
            yield from _convolution(place, sizes.convolution_batch, name, layer, dtype)


def _convolution(place: str, batch: int, name: str, layer: tuple, dtype: str) -> Iterator[Work]:
    channels, filters, size, k, stride = layer
    pad = k // 2
    out = (size + 2 * pad - k) // stride + 1
    x = random(place, (batch, channels, size, size), dtype)
    w = random(place, (filters, channels, k, k), dtype, seed=1)
    g = random(place, (batch, filters, out, out), dtype, seed=2)  # times x it would be large
    how = (stride, stride), (pad, pad, pad, pad), (1, 1), 1
    flops = 2.0 * batch * filters * out * out * channels * k * k
    peers = _on_torch(x, w, g, stride, pad) if peer_available(place) else [None] * 3
    calls = (
        ("forward", kernels.conv2d, (x, w, None, *how)),
        ("dx", kernels.conv2d_input_grad, (g, w, x.shape, *how)),
        ("dw", kernels.conv2d_weight_grad, (g, x, w.shape, *how)),
    )
    ceiling = FLOAT32 if dtype == "float32" else FLOAT16
    for (kind, kernel, args), peer in zip(calls, peers):
        yield kernel_work(f"{name}, {dtype}, {kind}", kernel, args, peer, flops, ceiling)


def _on_torch(x: Any, w: Any, g: Any, stride: int, pad: int) -> list[Callable]:
    torch.backends.cudnn.allow_tf32 = False
    x, w, g = (torch.as_tensor(a, device="cuda") for a in (x, w, g))
    how = {"stride": stride, "padding": pad}
    return [
        lambda: torch.nn.functional.conv2d(x, w, **how),
        lambda: torch.nn.grad.conv2d_input(x.shape, w, g, **how),
        lambda: torch.nn.grad.conv2d_weight(x, w.shape, g, **how),
    ]
