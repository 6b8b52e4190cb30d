"""What transforms have in common: how they draw and how they describe themselves."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.kernels.augment.program import Step
from minidl.random import current_generator


class Transform:
    """A step from one picture to another.

    A subclass says what it does twice. ``__call__`` does it to one picture. `steps` and
    `parameters` describe it for the kernel that augments whole batches: the steps are the
    same for all pictures, the parameters are each picture's own, made from `draws` random
    numbers. ``__call__`` makes its parameters from as many, so that one picture and a batch
    of pictures are treated alike.
    """

    draws = 0
    """How many random numbers one picture takes."""

    def __call__(self, picture: Any) -> Any:
        """The transformed picture."""
        raise NotImplementedError(f"{type(self).__name__} has no __call__")

    def steps(self, channels: int, height: int, width: int) -> list[Step] | None:
        """What it does to pictures of this size; None if only ``__call__`` can do it."""
        return None

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        """The parameters of `steps`, (B, K), from numbers ``u`` in [0, 1), (B, `draws`)."""
        return np.empty((len(u), 0))

    def draw(self) -> np.ndarray:
        """The random numbers of one picture, (1, `draws`), from the default generator."""
        return current_generator().uniform((1, self.draws))


def between(u: np.ndarray, low: float, high: float) -> np.ndarray:
    """Numbers in [low, high) from numbers in [0, 1), in float64."""
    return low + u.astype(np.float64) * (high - low)


def checked_probability(p: float) -> float:
    """``p``, or ValueError if it is no probability."""
    if not isinstance(p, numbers.Real) or not 0 <= p <= 1:
        raise ValueError(f"p must be a probability, a number from 0 to 1, got {p!r}")
    return p


def checked_size(size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) from an integer or a pair, or ValueError."""
    pair = (size, size) if isinstance(size, numbers.Integral) else tuple(size)
    pair = pair * 2 if len(pair) == 1 else pair
    if len(pair) != 2 or not all(isinstance(n, numbers.Integral) and n > 0 for n in pair):
        raise ValueError(f"size must be a positive integer or a pair of them, got {size!r}")
    return int(pair[0]), int(pair[1])


def colour(fill: float | Sequence[float], channels: int) -> tuple[int, ...]:
    """A byte per channel from one number for all channels or a number each."""
    values = (fill,) * channels if isinstance(fill, numbers.Number) else tuple(fill)
    values = values * channels if len(values) == 1 else values
    if len(values) != channels or not all(0 <= value <= 255 for value in values):
        raise ValueError(
            f"fill must be a number from 0 to 255, or one for each of {channels} channels, "
            f"got {fill!r}"
        )
    return tuple(int(value) for value in values)


def three(values: Sequence[float]) -> tuple[float, float, float]:
    """One or three channels' values, as the kernel wants them: always three."""
    return tuple(values) if len(values) == 3 else tuple(values) * 3
