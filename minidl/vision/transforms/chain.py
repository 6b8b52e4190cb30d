"""A chain of transforms as a program for whole batches of pictures in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl import kernels
from minidl.kernels.augment import program as instructions
from minidl.kernels.augment.program import NORMALIZE, TO_FLOAT, Step
from minidl.vision.transforms.base import Transform
from minidl.vision.transforms.compose import Compose

_BLOCK = 4  # words: every draw from a generator begins at a fresh block


@dataclass(frozen=True)
class Chain:
    """Transforms and the program that they amount to.

    Attributes
    ----------
    stages : list of (Transform, int, int)
        Each transform with the height and width of the pictures that it sees.
    program : float64 array
        See `minidl.kernels.augment.program`.
    table : float32 array (channels, 256)
        The float that each byte becomes.
    """

    stages: list[tuple[Transform, int, int]]
    program: np.ndarray
    table: np.ndarray

    def __call__(
        self, pictures: np.ndarray, indices: np.ndarray, seed: int, first: int
    ) -> np.ndarray:
        """Transform ``pictures[indices]``, uint8 (N, H, W, C), into float32 (B, C, H', W').

        The result is made on the device of ``pictures``; random numbers come from the host.
        Picture i draws its random numbers from ``Generator(seed).spawn(first + i)``, so the
        result is the one that the transforms give picture by picture with that generator as
        the default one, and does not depend on where a batch begins.
        """
        parameters = self._parameters(len(indices), seed, first)
        return kernels.augment_pictures(pictures, indices, self.program, parameters, self.table)

    def _parameters(self, count: int, seed: int, first: int) -> np.ndarray:
        blocks = sum(_blocks(transform) for transform, _, _ in self.stages)
        bits = np.empty((count, 4 * blocks), np.uint32)
        kernels.stream_bits(bits, seed & 0xFFFFFFFFFFFFFFFF, first)
        # As Generator.uniform makes float32 numbers.
        bits >>= np.uint32(8)
        u = bits.astype(np.float32)
        u *= np.float32(2.0**-24)
        columns, start = [np.empty((count, 0))], 0
        for transform, height, width in self.stages:
            columns.append(transform.parameters(u[:, start:][:, : transform.draws], height, width))
            start += _BLOCK * _blocks(transform)
        return np.concatenate(columns, axis=1)


def compile_chain(transform: Any, channels: int, height: int, width: int) -> Chain | None:
    """The chain for pictures of this size; None if it can only be run picture by picture.

    That is so if a transform does not describe itself, or if there is no `ToTensor`, with
    transforms of pictures before it and transforms of tensors after it.
    """
    stages, steps = [], []
    for member in _flat(transform):
        described = member.steps(channels, height, width) if _describes(member) else None
        if described is None:
            return None
        stages.append((member, height, width))
        steps += described
        height, width = steps[-1].height, steps[-1].width
    compiled = _assembled(tuple(steps), channels)
    return None if compiled is None else Chain(stages, *compiled)


@functools.lru_cache(maxsize=64)  # a data set asks before each block, lest a transform has changed
def _assembled(steps: tuple[Step, ...], channels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The program of ``steps`` and its table; None if they are not in order."""
    if not instructions.in_order([step.opcode for step in steps]):
        return None
    steps, table = _fold_normalization(steps, channels)
    return instructions.assemble(steps), table


def _flat(transform: Any) -> list[Callable]:
    if type(transform) is Compose:
        return [leaf for member in transform.transforms for leaf in _flat(member)]
    return [transform]


def _describes(member: Any) -> bool:
    """Whether it is a `Transform` whose description goes with its ``__call__``.

    A subclass that changes what a transform does, but not what it says, is run as it is.
    """
    if not isinstance(member, Transform):
        return False
    classes = type(member).__mro__
    saying = next(i for i, cls in enumerate(classes) if "steps" in vars(cls))
    doing = next(i for i, cls in enumerate(classes) if "__call__" in vars(cls))
    return saying <= doing


def _blocks(transform: Transform) -> int:
    return -(-transform.draws // _BLOCK)


def _fold_normalization(
    steps: tuple[Step, ...], channels: int
) -> tuple[tuple[Step, ...], np.ndarray]:
    """The table of floats, with the normalisations that directly follow `ToTensor` in it."""
    table = np.tile(np.arange(256, dtype=np.float32) / np.float32(255), (channels, 1))
    after = 1 + next(i for i, step in enumerate(steps) if step.opcode == TO_FLOAT)
    while after < len(steps) and steps[after].opcode == NORMALIZE:
        mean, std = (
            np.array(values[:channels], np.float32)[:, None]
            for values in (steps[after].first, steps[after].second)
        )
        table = (table - mean) / std
        steps = steps[:after] + steps[after + 1 :]
    return steps, table
