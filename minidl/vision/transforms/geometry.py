"""Flips, rotations and changes of size."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl.kernels.augment import program
from minidl.kernels.augment.program import Step
from minidl.vision.transforms import functional as F
from minidl.vision.transforms.base import (
    Transform,
    between,
    checked_probability,
    checked_size,
    colour,
    three,
)
from minidl.vision.transforms.functional import InterpolationMode


class _RandomFlip(Transform):
    draws = 1
    flip: Callable
    opcode: int

    def __init__(self, p: float = 0.5):
        self.p = checked_probability(p)

    def __call__(self, picture: Any) -> Any:
        """The picture, flipped or not."""
        F.get_image_size(picture)
        return self.flip(picture) if self.draw() < self.p else picture

    def steps(self, channels: int, height: int, width: int) -> list[Step]:
        return [Step(self.opcode, height, width)]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        return (u < self.p).astype(np.float64)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomHorizontalFlip(_RandomFlip):
    """Left and right exchanged with probability ``p``; for Pillow images and tensors."""

    flip = staticmethod(F.hflip)
    opcode = program.FLIP_HORIZONTAL


class RandomVerticalFlip(_RandomFlip):
    """Top and bottom exchanged with probability ``p``; for Pillow images and tensors."""

    flip = staticmethod(F.vflip)
    opcode = program.FLIP_VERTICAL


class RandomRotation(Transform):
    """A turn about the centre by an angle that is uniform in a range; the size stays.

    Parameters
    ----------
    degrees : number or pair of numbers
        The range, counter-clockwise; a single number stands for (-degrees, degrees).
    interpolation : InterpolationMode
        ``NEAREST`` or ``BILINEAR``; others work on single pictures only.
    fill : number or a number per channel
        The colour, 0 to 255, of what comes in from outside.
    """

    draws = 1

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        *,
        fill: float | Sequence[float] = 0,
    ):
        if isinstance(degrees, numbers.Number):
            if degrees < 0:
                raise ValueError(f"degrees must not be negative as a single number, got {degrees}")
            degrees = (-degrees, degrees)
        if len(degrees) != 2 or not degrees[0] <= degrees[1]:
            raise ValueError(f"degrees must be a number or a pair (low, high), got {degrees}")
        self.degrees = [float(degree) for degree in degrees]
        self.interpolation = InterpolationMode(interpolation)
        self.fill = fill

    def __call__(self, picture: Any) -> Any:
        """The picture, turned."""
        F.require_image(picture, "RandomRotation")
        angle = between(self.draw(), *self.degrees).item()
        return F.rotate(picture, angle, self.interpolation, self.fill)

    def steps(self, channels: int, height: int, width: int) -> list[Step] | None:
        opcodes = {
            InterpolationMode.NEAREST: program.ROTATE_NEAREST,
            InterpolationMode.BILINEAR: program.ROTATE_BILINEAR,
        }
        if self.interpolation not in opcodes:
            return None
        outside = three(colour(self.fill, channels))
        return [Step(opcodes[self.interpolation], height, width, first=outside)]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        return np.concatenate(F.rotation(between(u, *self.degrees)), axis=1)

    def __repr__(self) -> str:
        return (
            f"RandomRotation(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand=False, fill={self.fill})"
        )


class Resize(Transform):
    """Scaled to a size; it works on single pictures only, with Pillow's antialiasing filters.

    Parameters
    ----------
    size : int or pair of ints
        The length of the shorter side, or (height, width).
    interpolation : InterpolationMode
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    ):
        pair = checked_size(size)
        self.size = pair[0] if isinstance(size, numbers.Integral) or len(size) == 1 else pair
        self.interpolation = InterpolationMode(interpolation)

    def __call__(self, picture: Any) -> Any:
        """The picture, scaled."""
        return F.resize(picture, self.size, self.interpolation)

    def __repr__(self) -> str:
        return (
            f"Resize(size={self.size}, interpolation={self.interpolation.value}, max_size=None, "
            "antialias=True)"
        )
