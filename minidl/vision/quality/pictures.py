"""One look at every picture of a data set: what later checks need of it, in little memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from minidl.backend import to_host
from minidl.vision.datasets import MemoryPictures

GRID = 8
"""A thumbnail's height and width."""


class Pictures(NamedTuple):
    """What was seen of N pictures; those that cannot be read have zeros.

    Attributes
    ----------
    labels : int64 array (N,)
        Their classes.
    digests : uint64 array (N,)
        A hash of size and pixels: equal for equal pictures.
    thumbnails : float32 array (N, 8, 8, 3)
        Mean colours of the fields of an 8x8 grid, from 0 to 255.
    count, sums, squares : int64 array (N,), float64 arrays (N, 3), (N, 3)
        Pixels, and the sums of each channel's values and of their squares, values from 0 to 1.
    unreadable : dict
        The reason for each position that holds no picture.
    """

    labels: np.ndarray
    digests: np.ndarray
    thumbnails: np.ndarray
    count: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    unreadable: dict[int, str]


def read_pictures(dataset: Any, title: str = "reading") -> Pictures:
    """Look at every picture of ``dataset``, as it is before its transforms.

    Parameters
    ----------
    dataset : MemoryPictures, ImageFolder or their like
        With ``targets``, and a ``transform`` that is left out here.
    title : str
        What the progress bar is called.

    Raises
    ------
    TypeError
        If the data set has no ``targets``, or its samples are no pictures.
    ValueError
        If it is empty, or a picture is smaller than 8 pixels.
    """
    if not hasattr(dataset, "targets"):
        raise TypeError(f"{type(dataset).__name__} has no targets: its classes are not known")
    if not len(dataset):
        raise ValueError("the data set is empty")
    size = len(dataset)
    seen = Pictures(
        np.asarray(dataset.targets, np.int64),
        np.zeros(size, np.uint64),
        np.zeros((size, GRID, GRID, 3), np.float32),
        np.zeros(size, np.int64),
        np.zeros((size, 3)),
        np.zeros((size, 3)),
        {},
    )
    for i, pixels in enumerate(tqdm(_pixels(dataset), title, size, unit=" img", leave=False)):
        if isinstance(pixels, str):
            seen.unreadable[i] = pixels
        else:
            _look(seen, i, pixels)
    return seen


def _look(seen: Pictures, i: int, pixels: np.ndarray) -> None:
    if min(pixels.shape[:2]) < GRID:
        raise ValueError(f"picture {i} has {pixels.shape[:2]} pixels; the least is {GRID} each way")
    text = repr(pixels.shape).encode() + pixels.tobytes()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    seen.digests[i] = int.from_bytes(digest, "little")
    seen.thumbnails[i] = thumbnail(pixels)
    values = pixels.reshape(-1, 3).astype(np.float64) / 255
    seen.count[i] = len(values)
    seen.sums[i] = values.sum(0)
    seen.squares[i] = (values * values).sum(0)


def thumbnail(pixels: np.ndarray) -> np.ndarray:
    """The mean of each field of an 8x8 grid: (H, W, 3) to (8, 8, 3), float32."""
    total = pixels.astype(np.float32)
    for axis in (0, 1):
        starts = np.arange(GRID) * total.shape[axis] // GRID
        widths = np.diff(starts, append=total.shape[axis]).astype(np.float32)
        total = np.add.reduceat(total, starts, axis)
        total /= widths.reshape([-1 if a == axis else 1 for a in range(3)])
    return total


def _pixels(dataset: Any) -> Iterator[np.ndarray | str]:
    """Each picture as uint8 (H, W, 3), or the reason why it cannot be read."""
    if isinstance(dataset, MemoryPictures):
        for pixels in to_host(dataset.data):
            yield _coloured(pixels)
        return
    transform, dataset.transform = dataset.transform, None
    try:
        for i in range(len(dataset)):
            yield _picture(lambda i=i: dataset[i][0])
    finally:
        dataset.transform = transform


def _picture(get: Callable[[], Any]) -> np.ndarray | str:
    try:
        return _coloured(np.asarray(get()))
    except (ValueError, OSError) as error:
        return str(error)


def _coloured(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise TypeError(
            f"quality checks want pictures, uint8 (H, W, C), and got {pixels.dtype}"
            f"{list(pixels.shape)}"
        )
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if pixels.shape[2] == 1 else pixels
