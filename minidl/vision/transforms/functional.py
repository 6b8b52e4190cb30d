"""The transforms without their randomness, for one picture at a time.

A picture is a Pillow image or, where that makes sense, a tensor (..., height, width).
"""

from __future__ import annotations

import enum
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import ops
from minidl.tensor import Tensor
from minidl.vision import pillow
from minidl.vision.transforms.base import checked_size, colour


class InterpolationMode(enum.Enum):
    """How a value between pixels is found."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"


def get_image_size(picture: Any) -> tuple[int, int]:
    """(height, width) of a Pillow image or a tensor (..., height, width)."""
    if isinstance(picture, Tensor):
        if picture.ndim < 2:
            raise ValueError(f"a picture has a height and a width, got shape {picture.shape}")
        return picture.shape[-2:]
    require_image(picture, "a transform")
    return picture.height, picture.width


def require_image(picture: Any, who: str) -> None:
    """TypeError unless ``picture`` is a Pillow image."""
    if not pillow.is_picture(picture):
        pillow.require_pillow(who)
        hint = "; put it before ToTensor" if isinstance(picture, Tensor) else ""
        raise TypeError(f"{who} wants a Pillow image, got {type(picture).__name__}{hint}")


def require_tensor(picture: Any, who: str) -> None:
    """TypeError unless ``picture`` is a tensor of floats (channels, height, width)."""
    if not isinstance(picture, Tensor):
        raise TypeError(f"{who} wants a tensor, got {type(picture).__name__}; put ToTensor before")
    if picture.ndim < 3 or not picture.is_floating_point():
        raise TypeError(
            f"{who} wants floats of shape (channels, height, width), "
            f"got {picture.dtype}{list(picture.shape)}"
        )


def to_tensor(picture: Any) -> Tensor:
    """float32 (channels, height, width) in [0, 1] from a Pillow image or a uint8 array.

    Arrays are (height, width) or (height, width, channels); those that do not hold bytes
    keep their values and their dtype.
    """
    if isinstance(picture, np.ndarray):
        pixels = picture
    else:
        require_image(picture, "ToTensor")
        pixels = np.asarray(picture.convert("L") if picture.mode == "1" else picture)
    if pixels.ndim not in (2, 3):
        raise ValueError(f"a picture has 2 or 3 dimensions, got an array of {pixels.ndim}")
    planes = np.moveaxis(pixels[..., None] if pixels.ndim == 2 else pixels, -1, 0)
    if planes.dtype == np.uint8:
        return ops.from_numpy(np.ascontiguousarray(planes, np.float32) / np.float32(255))
    return ops.from_numpy(np.array(planes, order="C"))


def normalize(
    tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False
) -> Tensor:
    """``(tensor - mean) / std``, channel by channel."""
    require_tensor(tensor, "Normalize")
    mean, std = (
        ops.tensor(np.asarray(values, tensor.dtype).reshape(-1, 1, 1)) for values in (mean, std)
    )
    if inplace:
        return tensor.sub_(mean).div_(std)
    return (tensor - mean) / std


def hflip(picture: Any) -> Any:
    """Left and right exchanged."""
    if isinstance(picture, Tensor):
        return picture.flip(-1)
    require_image(picture, "hflip")
    return picture.transpose(pillow.Image.Transpose.FLIP_LEFT_RIGHT)


def vflip(picture: Any) -> Any:
    """Top and bottom exchanged."""
    if isinstance(picture, Tensor):
        return picture.flip(-2)
    require_image(picture, "vflip")
    return picture.transpose(pillow.Image.Transpose.FLIP_TOP_BOTTOM)


def rotate(
    picture: Any,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    fill: float | Sequence[float] = 0,
) -> Any:
    """Turned about its centre by ``angle`` degrees, counter-clockwise, at the same size."""
    require_image(picture, "rotate")
    return picture.rotate(angle, _filter(interpolation), fillcolor=_fill_of(picture, fill))


def crop(picture: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window with its upper left corner at (top, left), all of it within the picture."""
    if isinstance(picture, Tensor):
        return picture[..., top : top + height, left : left + width]
    require_image(picture, "crop")
    return picture.crop((left, top, left + width, top + height))


def pad(
    picture: Any,
    padding: tuple[int, int, int, int],
    fill: float | Sequence[float] = 0,
    padding_mode: str = "constant",
) -> Any:
    """A frame around the picture: left, top, right, bottom."""
    left, top, right, bottom = padding
    frame = ((top, bottom), (left, right))
    if isinstance(picture, Tensor):
        values = {"constant_values": fill} if padding_mode == "constant" else {}
        outer = ((0, 0),) * (picture.ndim - 2)
        return ops.from_numpy(np.pad(picture.numpy(), outer + frame, mode=padding_mode, **values))
    require_image(picture, "pad")
    if padding_mode == "constant":
        return pillow.ImageOps.expand(picture, padding, _fill_of(picture, fill))
    pixels = np.asarray(picture)
    inner = ((0, 0),) * (pixels.ndim - 2)
    return pillow.Image.fromarray(np.pad(pixels, frame + inner, mode=padding_mode))


def resize(
    picture: Any,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
) -> Any:
    """Scaled to (height, width), or so that the shorter side is ``size``."""
    require_image(picture, "Resize")
    if isinstance(size, numbers.Integral):
        shorter, longer = sorted(picture.size)
        scaled = int(size * longer / shorter)
        width, height = (size, scaled) if picture.width <= picture.height else (scaled, size)
    else:
        height, width = checked_size(size)
    return picture.resize((width, height), _filter(interpolation))


def adjust_brightness(picture: Any, factor: float) -> Any:
    """Every value times ``factor``."""
    require_image(picture, "adjust_brightness")
    return pillow.ImageEnhance.Brightness(picture).enhance(factor)


def adjust_contrast(picture: Any, factor: float) -> Any:
    """Every value's distance from the mean grey times ``factor``."""
    require_image(picture, "adjust_contrast")
    return pillow.ImageEnhance.Contrast(picture).enhance(factor)


def adjust_saturation(picture: Any, factor: float) -> Any:
    """Every value's distance from its pixel's grey times ``factor``."""
    require_image(picture, "adjust_saturation")
    return pillow.ImageEnhance.Color(picture).enhance(factor)


def adjust_hue(picture: Any, factor: float) -> Any:
    """The hue moved on by ``factor`` (-0.5 to 0.5) of a whole turn."""
    require_image(picture, "adjust_hue")
    if picture.mode == "L":
        return picture
    hue, saturation, value = picture.convert("HSV").split()
    shifted = (np.asarray(hue, np.int64) + int(factor * 255)) % 256
    hue = pillow.Image.fromarray(shifted.astype(np.uint8))
    return pillow.Image.merge("HSV", (hue, saturation, value)).convert(picture.mode)


def erase(
    tensor: Tensor,
    top: int,
    left: int,
    height: int,
    width: int,
    value: Any,
    inplace: bool = False,
) -> Tensor:
    """A rectangle replaced by ``value``, which must broadcast to it."""
    require_tensor(tensor, "erase")
    erased = tensor if inplace else tensor.clone()
    erased[..., top : top + height, left : left + width] = value
    return erased


def rotation(angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of rotations by ``angles`` degrees, rounded as Pillow rounds them."""
    radians = -np.asarray(angles, np.float64) * (math.pi / 180)
    turned = np.array([np.cos(radians), np.sin(radians)])
    return tuple(turned.round(15, out=turned))


def _filter(interpolation: InterpolationMode) -> Any:
    return pillow.Image.Resampling[InterpolationMode(interpolation).name]


def _fill_of(picture: Any, fill: float | Sequence[float]) -> int | tuple[int, ...]:
    values = colour(fill, len(picture.getbands()))
    return values[0] if len(values) == 1 else values
