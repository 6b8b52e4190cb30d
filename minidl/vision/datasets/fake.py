"""Noise in the place of pictures, to try a program out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.random import Generator
from minidl.vision import pillow
from minidl.vision.datasets.base import VisionDataset


class FakeData(VisionDataset):
    """Pictures of noise with labels of chance, made when asked for and always the same.

    Parameters
    ----------
    size : int
        How many.
    image_size : (channels, height, width)
        1 or 3 channels.
    num_classes : int
        Labels are 0 to ``num_classes - 1``.
    transform, target_transform : callable, optional
        What is done to a picture and to a label on the way out.
    random_offset : int
        Another number gives other pictures.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: tuple[int, int, int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        random_offset: int = 0,
    ):
        super().__init__(None, transform, target_transform)
        if len(image_size) != 3 or image_size[0] not in (1, 3):
            raise ValueError(
                f"image_size is (channels, height, width) with 1 or 3 channels, got {image_size}"
            )
        self.size = size
        self.num_classes = num_classes
        self.image_size = image_size
        self.random_offset = random_offset

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The picture, as Pillow's image unless the transform changes that, and its label."""
        generator = Generator(self._checked_index(index)).spawn(self.random_offset)
        channels, height, width = self.image_size
        pixels = generator.integers(0, 256, (height, width, channels)).astype(np.uint8)
        target = generator.integers(0, self.num_classes).item()
        return self._transformed(pillow.to_picture(pixels), target)
