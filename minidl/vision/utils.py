"""Many pictures in one, and pictures as files."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl import ops
from minidl.tensor import Tensor
from minidl.vision import pillow


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Pictures side by side in one.

    Parameters
    ----------
    tensor : Tensor or sequence of Tensor
        A batch (B, C, H, W), one picture (C, H, W) or (H, W), or a list of pictures. Pictures of
        one channel become grey ones of three.
    nrow : int
        Pictures in a row.
    padding : int
        Pixels between pictures and around them.
    normalize : bool
        Scale the values from ``value_range`` (by default their smallest and largest) to [0, 1].
    value_range : pair of numbers, optional
    scale_each : bool
        Take the range of each picture and not of the whole batch.
    pad_value : float
        The value between pictures.

    Returns
    -------
    Tensor (3 or C, height, width)
    """
    pictures = _batch(tensor)
    if normalize:
        pictures = _scaled(pictures, value_range, scale_each)
    count, channels, height, width = pictures.shape
    if count == 1:
        return ops.from_numpy(pictures[0])
    if nrow < 1:
        raise ValueError(f"make_grid: nrow must be positive, got {nrow}")
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = height + padding, width + padding
    shape = (channels, rows * height + padding, columns * width + padding)
    grid = np.full(shape, pad_value, pictures.dtype)
    for i, picture in enumerate(pictures):
        top, left = i // columns * height + padding, i % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = picture
    return ops.from_numpy(grid)


def save_image(
    tensor: Tensor | Sequence[Tensor],
    fp: str | os.PathLike | Any,
    format: str | None = None,
    **grid: Any,
) -> None:
    """Save pictures with values in [0, 1] as one file, in a grid if there are several.

    Parameters
    ----------
    tensor : Tensor or sequence of Tensor
        See `make_grid`, which gets the other arguments too.
    fp : path or file
        Where to; the name's ending says the format, unless ``format`` does.
    """
    pillow.require_pillow("save_image")
    picture = np.moveaxis(make_grid(tensor, **grid).numpy(), 0, -1)
    pixels = np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8)
    pillow.to_picture(pixels).save(fp, format=format)


def _batch(tensor: Tensor | Sequence[Tensor]) -> np.ndarray:
    """(B, C, H, W), a copy, with C = 3 for grey pictures."""
    if isinstance(tensor, Tensor):
        pictures = np.array(tensor.detach().numpy())
    elif isinstance(tensor, list | tuple) and tensor:
        pictures = np.stack([picture.detach().numpy() for picture in tensor])
    else:
        raise TypeError(f"make_grid wants a tensor or a list of them, got {tensor!r:.80}")
    if not 2 <= pictures.ndim <= 4:
        raise ValueError(f"make_grid wants pictures, got an array of shape {pictures.shape}")
    if pictures.ndim < 4:
        pictures = pictures.reshape((1,) * (4 - pictures.ndim) + pictures.shape)
    return np.repeat(pictures, 3, axis=1) if pictures.shape[1] == 1 else pictures


def _scaled(
    pictures: np.ndarray, value_range: tuple[float, float] | None, scale_each: bool
) -> np.ndarray:
    axes = (1, 2, 3) if scale_each else (0, 1, 2, 3)
    if value_range is None:
        low, high = (pick(axis=axes, keepdims=True) for pick in (pictures.min, pictures.max))
    else:
        low, high = value_range
    return (np.clip(pictures, low, high) - low) / np.maximum(high - low, 1e-5)
