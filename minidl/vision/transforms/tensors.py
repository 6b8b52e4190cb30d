"""From pictures to tensors, and what is done to tensors."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.kernels.augment.program import ERASE, NORMALIZE, TO_FLOAT, Step
from minidl.random import current_generator
from minidl.tensor import Tensor
from minidl.vision.transforms import functional as F
from minidl.vision.transforms.base import Transform, between, checked_probability, three


class ToTensor(Transform):
    """A Pillow image or a uint8 array as float32 (channels, height, width) in [0, 1]."""

    def __call__(self, picture: Any) -> Tensor:
        """The picture as a tensor."""
        return F.to_tensor(picture)

    def steps(self, channels: int, height: int, width: int) -> list[Step]:
        return [Step(TO_FLOAT, height, width)]

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize(Transform):
    """``(tensor - mean) / std``, channel by channel.

    Parameters
    ----------
    mean, std : sequence of numbers
        One per channel; no std may be 0.
    inplace : bool
        Change the tensor itself.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False):
        if np.size(mean) != np.size(std) or not np.size(mean):
            raise ValueError(f"mean and std must be as long as each other, got {mean} and {std}")
        if not np.all(std):
            raise ValueError(f"std must not be 0, got {std}")
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor, normalised."""
        return F.normalize(tensor, self.mean, self.std, self.inplace)

    def steps(self, channels: int, height: int, width: int) -> list[Step] | None:
        mean, std = (np.ravel(values).tolist() for values in (self.mean, self.std))
        if len(mean) not in (1, channels):
            return None
        return [Step(NORMALIZE, height, width, first=three(mean), second=three(std))]

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class RandomErasing(Transform):
    """A random rectangle replaced by a value; for tensors.

    Parameters
    ----------
    p : float
        How likely that is.
    scale : pair of numbers
        The range of the rectangle's share of the picture's area.
    ratio : pair of numbers
        The range of its height divided by its width; the logarithm is uniform. Ten
        rectangles are tried, and none is erased if all were too large.
    value : number, a number per channel, or "random"
        What comes in its place. "random" is normal noise, on single pictures only.
    inplace : bool
        Change the tensor itself.
    """

    _TRIES = 10
    draws = 3 + 2 * _TRIES  # whether at all, the place, and area and ratio of each try

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | Sequence[float] | str = 0,
        inplace: bool = False,
    ):
        self.p = checked_probability(p)
        self.scale = _increasing("scale", scale, 0, 1)
        self.ratio = _increasing("ratio", ratio, 0, float("inf"))
        if self.ratio[0] <= 0:
            raise ValueError(f"ratio must be positive, got {ratio}")
        if isinstance(value, str) and value != "random":
            raise ValueError(f'value must be a number, a sequence or "random", got {value!r}')
        self.value = value
        self.inplace = inplace

    def __call__(self, tensor: Tensor) -> Tensor:
        """The tensor, with a rectangle erased or not."""
        F.require_tensor(tensor, "RandomErasing")
        channels, height, width = tensor.shape[-3:]
        values = self.parameters(self.draw(), height, width)[0]
        top, left, rows, columns = values.astype(int).tolist()
        if not rows:
            return tensor
        if self.value == "random":
            value = current_generator().normal((channels, rows, columns))
        else:
            value = np.reshape(self._values(channels), (channels, 1, 1))
        return F.erase(tensor, top, left, rows, columns, value.astype(tensor.dtype), self.inplace)

    def steps(self, channels: int, height: int, width: int) -> list[Step] | None:
        if self.value == "random":
            return None
        return [Step(ERASE, height, width, first=three(self._values(channels).tolist()))]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        shares, ratios = np.split(u[:, 3:], 2, axis=1)
        area = height * width * between(shares, *self.scale)
        ratio = np.exp(between(ratios, *np.log(self.ratio)))
        rows, columns = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
        fits = (rows < height) & (columns < width)
        each, tried = np.arange(len(u)), fits.argmax(axis=1)
        wanted = (u[:, 0] < self.p) & fits[each, tried]
        rows, columns = (np.where(wanted, sizes[each, tried], 0) for sizes in (rows, columns))
        top = np.floor(u[:, 1].astype(np.float64) * (height - rows + 1))
        left = np.floor(u[:, 2].astype(np.float64) * (width - columns + 1))
        return np.stack([top, left, rows, columns], axis=1)

    def _values(self, channels: int) -> np.ndarray:
        values = np.ravel(self.value).astype(np.float64)
        if len(values) not in (1, channels):
            raise ValueError(
                f"RandomErasing: {len(values)} values for a picture of {channels} channels"
            )
        return np.broadcast_to(values, channels)

    def __repr__(self) -> str:
        return (
            f"RandomErasing(p={self.p}, scale={self.scale}, ratio={self.ratio}, "
            f"value={self.value}, inplace={self.inplace})"
        )


def _increasing(name: str, bounds: Sequence[float], low: float, high: float) -> Sequence[float]:
    if isinstance(bounds, numbers.Number) or len(bounds) != 2:
        raise TypeError(f"{name} must be a pair of numbers, got {bounds!r}")
    if not low <= bounds[0] <= bounds[1] <= high:
        raise ValueError(f"{name} must be an increasing pair within {(low, high)}, got {bounds}")
    return bounds
