"""Frames around pictures and windows into them."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.kernels.augment.program import CONSTANT, PADDING_MODES, WINDOW, Step
from minidl.vision.transforms import functional as F
from minidl.vision.transforms.base import Transform, checked_size, colour, three

Frame = tuple[int, int, int, int]  # left, top, right, bottom


class Pad(Transform):
    """A frame around the picture; for Pillow images and tensors.

    Parameters
    ----------
    padding : int, pair or four ints
        For all sides; for left and right, and top and bottom; or left, top, right, bottom.
    fill : number or a number per channel
        The frame's colour if ``padding_mode`` is "constant".
    padding_mode : str
        "constant", "edge", "reflect" or "symmetric", as in `numpy.pad`.
    """

    def __init__(
        self,
        padding: int | Sequence[int],
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
    ):
        self._frame = _frame(padding)
        self.padding = padding
        self.fill = fill
        self.padding_mode = _checked_mode(padding_mode)

    def __call__(self, picture: Any) -> Any:
        """The picture in its frame."""
        return F.pad(picture, self._frame, self.fill, self.padding_mode)

    def steps(self, channels: int, height: int, width: int) -> list[Step]:
        return [_framed(self, self._frame, channels, height, width)]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        return np.tile([-self._frame[1], -self._frame[0]], (len(u), 1)).astype(np.float64)

    def __repr__(self) -> str:
        return f"Pad(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class CenterCrop(Transform):
    """The middle of the picture, in black if it is too small; for Pillow images and tensors.

    Parameters
    ----------
    size : int or pair of ints
        Height and width of the result.
    """

    def __init__(self, size: int | Sequence[int]):
        self.size = checked_size(size)

    def __call__(self, picture: Any) -> Any:
        """The picture's middle."""
        height, width = F.get_image_size(picture)
        lacking = max(0, self.size[0] - height), max(0, self.size[1] - width)
        if any(lacking):
            above, before = lacking[0] // 2, lacking[1] // 2
            picture = F.pad(picture, (before, above, lacking[1] - before, lacking[0] - above))
            height, width = F.get_image_size(picture)
        return F.crop(picture, *self._corner(height, width), *self.size)

    def steps(self, channels: int, height: int, width: int) -> list[Step]:
        return [Step(WINDOW, *self.size, option=CONSTANT)]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        return np.tile(self._corner(height, width), (len(u), 1)).astype(np.float64)

    def _corner(self, height: int, width: int) -> tuple[int, int]:
        return _middle(height, self.size[0]), _middle(width, self.size[1])

    def __repr__(self) -> str:
        return f"CenterCrop(size={self.size})"


class RandomCrop(Transform):
    """A window whose place is uniform among all that fit; for Pillow images and tensors.

    Parameters
    ----------
    size : int or pair of ints
        The window's height and width.
    padding : int, pair or four ints, optional
        A frame that is put around the picture first, as in `Pad`.
    pad_if_needed : bool
        Put a frame around pictures that are too small, which are a ValueError otherwise.
    fill, padding_mode
        What is in the frames, as in `Pad`.
    """

    draws = 2

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | Sequence[float] = 0,
        padding_mode: str = "constant",
    ):
        self.size = checked_size(size)
        self._frame = None if padding is None else _frame(padding)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode = _checked_mode(padding_mode)

    def __call__(self, picture: Any) -> Any:
        """A window of the picture."""
        frames, height, width = self._frames(*F.get_image_size(picture))
        for frame in frames:
            picture = F.pad(picture, frame, self.fill, self.padding_mode)
        top, left = self._corners(self.draw(), height, width)[0].astype(int).tolist()
        return F.crop(picture, top, left, *self.size)

    def steps(self, channels: int, height: int, width: int) -> list[Step]:
        steps = []
        for frame in self._frames(height, width)[0]:
            steps.append(_framed(self, frame, channels, height, width))
            height, width = steps[-1].height, steps[-1].width
        return [*steps, Step(WINDOW, *self.size)]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        frames, height, width = self._frames(height, width)
        fixed = [offset for frame in frames for offset in (-frame[1], -frame[0])]
        return np.hstack([np.tile(fixed, (len(u), 1)), self._corners(u, height, width)])

    def _frames(self, height: int, width: int) -> tuple[list[Frame], int, int]:
        """The frames to put around a picture, and its size within them."""
        frames = [] if self._frame is None else [self._frame]
        framed_height, framed_width = _outer(frames, height, width)
        if self.pad_if_needed and framed_width < self.size[1]:
            frames.append((self.size[1] - framed_width, 0) * 2)
        if self.pad_if_needed and framed_height < self.size[0]:
            frames.append((0, self.size[0] - framed_height) * 2)
        height, width = _outer(frames, height, width)
        if height < self.size[0] or width < self.size[1]:
            raise ValueError(
                f"RandomCrop: a window of {self.size} does not fit into a picture of "
                f"{(height, width)}; give a padding or pad_if_needed=True"
            )
        return frames, height, width

    def _corners(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        places = height - self.size[0] + 1, width - self.size[1] + 1
        return np.floor(u.astype(np.float64) * places)

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


def _frame(padding: int | Sequence[int]) -> Frame:
    sides = (padding,) if isinstance(padding, numbers.Integral) else tuple(padding)
    if len(sides) not in (1, 2, 4) or not all(
        isinstance(side, numbers.Integral) and side >= 0 for side in sides
    ):
        raise ValueError(f"padding must be 1, 2 or 4 integers that are not negative: {padding!r}")
    return tuple(int(side) for side in sides) * (4 // len(sides))


def _checked_mode(padding_mode: str) -> str:
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            f"padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}"
        )
    return padding_mode


def _framed(
    transform: Pad | RandomCrop, frame: Frame, channels: int, height: int, width: int
) -> Step:
    mode = PADDING_MODES.index(transform.padding_mode)
    outside = three(colour(transform.fill, channels)) if mode == CONSTANT else (0, 0, 0)
    return Step(WINDOW, *_outer([frame], height, width), option=mode, first=outside)


def _outer(frames: list[Frame], height: int, width: int) -> tuple[int, int]:
    for left, top, right, bottom in frames:
        height, width = height + top + bottom, width + left + right
    return height, width


def _middle(length: int, window: int) -> int:
    """Where a window begins that is centred in ``length``: negative if it is the larger one."""
    if window > length:
        return -((window - length) // 2)
    return round((length - window) / 2)
