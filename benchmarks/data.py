"""The numbers that every library computes with: the same in each process, never zeros."""

from __future__ import annotations

import zlib

import numpy as np


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    """float32 numbers of the normal distribution."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def labels(count: int, classes: int = 10, seed: int = 0) -> np.ndarray:
    """int64 classes (count,)."""
    return np.random.default_rng(seed).integers(0, classes, count)


def batches(size: int, count: int = 8) -> list[tuple[np.ndarray, np.ndarray]]:
    """``count`` different batches of pictures (size, 3, 32, 32) in [0, 1) and labels (size,)."""
    rng = np.random.default_rng(1)
    return [
        (rng.random((size, 3, 32, 32), np.float32), rng.integers(0, 10, size)) for _ in range(count)
    ]


def parameter(name: str, shape: tuple[int, ...], nudged: bool = False) -> np.ndarray:
    """A network's initial parameter, which depends on its name and shape alone.

    Filters and matrices are scaled as for ReLU; scales of normalisations are about 1 and biases
    about 0. ``nudged`` numbers are the next ones that float32 has.
    """
    numbers = normal(*shape, seed=zlib.crc32(name.encode()))
    if len(shape) > 1:
        numbers *= np.float32(np.sqrt(2 / np.prod(shape[1:])))
    else:
        numbers = numbers * np.float32(0.1) + np.float32(name.endswith("weight"))
    return np.nextafter(numbers, np.float32(9), dtype=np.float32) if nudged else numbers


def pictures(count: int) -> np.ndarray:
    """uint8 pictures (count, 32, 32, 3)."""
    return np.random.default_rng(2).integers(0, 256, (count, 32, 32, 3), np.uint8)


def convolution(
    batch: int,
    inputs: int,
    outputs: int,
    kernel: int,
    size: int,
    stride: int,
    padding: int,
    groups: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The input, the filters and the gradient of the result of a convolution."""
    height = (size + 2 * padding - kernel) // stride + 1
    x = normal(batch, inputs, size, size)
    w = normal(outputs, inputs // groups, kernel, kernel, seed=1)
    g = normal(batch, outputs, height, height, seed=2)
    return x, w, g
