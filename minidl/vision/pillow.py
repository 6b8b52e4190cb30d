"""Pillow, where it is installed: the only file that imports it."""

from __future__ import annotations

from typing import Any

import numpy as np

try:
    from PIL import Image, ImageEnhance, ImageOps
except ImportError:
    Image = ImageEnhance = ImageOps = None


def require_pillow(purpose: str) -> None:
    """ImportError that says how to install Pillow, if it is missing."""
    if Image is None:
        raise ImportError(
            f"{purpose} needs Pillow: pip install minidl[vision]. Data sets in memory can do "
            "without it: a DataLoader applies ToTensor and most transforms to whole batches"
        )


def is_picture(candidate: Any) -> bool:
    """Whether it is a Pillow image."""
    return Image is not None and isinstance(candidate, Image.Image)


def to_picture(pixels: np.ndarray) -> Any:
    """The Pillow image of a uint8 array (height, width, 1 or 3 channels)."""
    require_pillow("a single picture")
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
