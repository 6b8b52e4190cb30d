"""Pillow: pictures one by one, as torchvision transforms them."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image

from benchmarks import data


class Pillow:
    """Flip and rotation by Pillow, conversion by NumPy."""

    def augmentation(self, count: int) -> Callable:
        """Flip, rotation and conversion of ``count`` pictures."""
        images = [Image.fromarray(picture) for picture in data.pictures(count)]

        def run() -> None:
            for image in images:
                _transform(image)

        return run


def _transform(image: Image.Image) -> np.ndarray:
    """float32 (3, height, width) in [0, 1]."""
    if random.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    image = image.rotate(random.uniform(-10, 10), Image.Resampling.NEAREST)
    pixels = np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))
    return pixels.astype(np.float32) / np.float32(255)


CONTENDERS = {"Pillow": Pillow()}
