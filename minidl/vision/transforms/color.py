"""Random changes of colour."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.kernels.augment.program import ADJUSTMENTS, JITTER, NO_ADJUSTMENT, Step
from minidl.vision.transforms import functional as F
from minidl.vision.transforms.base import Transform, between

Range = tuple[float, float] | None


class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue changed by random factors, in random order.

    Parameters
    ----------
    brightness, contrast, saturation : number or pair of numbers
        The range of the factor; a single number x stands for (max(0, 1 - x), 1 + x), and 0
        for no change.
    hue : number or pair of numbers
        The range of the turn of the hue, within (-0.5, 0.5), where 1 is a whole turn; a single
        number x stands for (-x, x).
    """

    draws = 8  # four for the order, four for the factors

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ):
        self.brightness = _range("brightness", brightness)
        self.contrast = _range("contrast", contrast)
        self.saturation = _range("saturation", saturation)
        self.hue = _range("hue", hue, centre=0.0, low=-0.5, high=0.5)

    def __call__(self, picture: Any) -> Any:
        """The picture with other colours."""
        height, width = F.get_image_size(picture)
        values = self.parameters(self.draw(), height, width)[0]
        adjust = F.adjust_brightness, F.adjust_contrast, F.adjust_saturation, F.adjust_hue
        for kind in values[:4].astype(int).tolist():
            if kind != NO_ADJUSTMENT:
                picture = adjust[kind](picture, values[4 + kind].item())
        return picture

    def steps(self, channels: int, height: int, width: int) -> list[Step]:
        return [Step(JITTER, height, width)]

    def parameters(self, u: np.ndarray, height: int, width: int) -> np.ndarray:
        ranges = [getattr(self, name) for name in ADJUSTMENTS]
        off = [i for i, bounds in enumerate(ranges) if bounds is None]
        order = np.argsort(u[:, :4], axis=1, kind="stable")
        order[np.isin(order, off)] = NO_ADJUSTMENT
        factors = [between(u[:, 4 + i], *(bounds or (1, 1))) for i, bounds in enumerate(ranges)]
        return np.hstack([order, np.stack(factors, axis=1)])

    def __repr__(self) -> str:
        return "ColorJitter({})".format(
            ", ".join(f"{name}={getattr(self, name)}" for name in ADJUSTMENTS)
        )


def _range(
    name: str,
    value: float | Sequence[float],
    centre: float = 1.0,
    low: float = 0.0,
    high: float = float("inf"),
) -> Range:
    """The bounds of a factor; None if it can only be ``centre``."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"{name} must not be negative as a single number, got {value}")
        first, last = centre - value, centre + value
        first = first if name == "hue" else max(first, 0.0)
    elif len(value) == 2:
        first, last = map(float, value)
    else:
        raise ValueError(f"{name} must be a number or a pair of numbers, got {value!r}")
    if not low <= first <= last <= high:
        raise ValueError(f"{name} must lie within {(low, high)}, got {(first, last)}")
    return None if first == last == centre else (first, last)
