"""Pictures made up on the spot, for machines without data and without a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minidl.random import Generator
from minidl.vision.datasets.base import MemoryPictures

_CHUNK = 1000  # pictures drawn at once: what they take of memory on the way stays small
_TRAIN, _TEST = 0, 1


class SyntheticPictures(MemoryPictures):
    """Ten kinds of shapes and textures, in any colour, place and size, under noise.

    Colours say little about the class, so a network has to find the shapes. The same
    arguments give the same pictures.

    Parameters
    ----------
    train : bool
        Pictures to train with, or others to test with.
    size : int, optional
        How many; by default 50,000 or, to test with, 10,000.
    image_size : (channels, height, width)
        1 or 3 channels.
    num_classes : int
        At most ten; the classes are about equally frequent.
    seed : int
        Another number gives other pictures.
    transform, target_transform : callable, optional
        What is done to a picture and to a label on the way out.
    """

    def __init__(
        self,
        train: bool = True,
        size: int | None = None,
        image_size: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        seed: int = 0,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
    ):
        super().__init__(None, transform, target_transform)
        if len(image_size) != 3 or image_size[0] not in (1, 3) or min(image_size) < 1:
            raise ValueError(
                f"image_size is (channels, height, width) with 1 or 3 channels, got {image_size}"
            )
        if not 1 <= num_classes <= len(_SHAPES):
            raise ValueError(f"num_classes must be 1 to {len(_SHAPES)}, got {num_classes}")
        self.train = train
        size = (50_000 if train else 10_000) if size is None else size
        generator = Generator(seed).spawn(_TRAIN if train else _TEST)
        self.classes = list(_SHAPES)[:num_classes]
        self.targets = (generator.permutation(size) % num_classes).tolist()
        self.data = _draw(np.array(self.targets, np.int64), image_size, generator)

    def extra_repr(self) -> str:
        """Which split it is."""
        return f"Split: {'Train' if self.train else 'Test'}"


def _draw(targets: np.ndarray, image_size: tuple[int, int, int], generator: Generator):
    channels, height, width = image_size
    pictures = np.empty((len(targets), height, width, channels), np.uint8)
    for kind, shape in enumerate(_SHAPES.values()):
        members = np.flatnonzero(targets == kind)
        for start in range(0, len(members), _CHUNK):
            chunk = members[start : start + _CHUNK]
            pictures[chunk] = _pictures(shape, len(chunk), image_size, generator)
    return pictures


def _pictures(
    shape: Callable, count: int, image_size: tuple[int, int, int], generator: Generator
) -> np.ndarray:
    """``background + (foreground - background) * shape + noise``, cut to bytes."""
    channels, height, width = image_size
    cover = shape(*_coordinates(count, height, width, generator))[..., None]
    back, step = _colours(count, channels, generator)
    # In 16-bit integers, with the cover in 64ths: half of float32's time.
    pictures = step * (64 * cover).astype(np.int16)
    pictures >>= 6
    pictures += back
    pictures += _noise((count, height, width, channels), generator)
    return np.clip(pictures, 0, 255, out=pictures).astype(np.uint8)


def _coordinates(count: int, height: int, width: int, generator: Generator):
    """Coordinates in which the shape has radius 1: shifted, scaled and a little turned."""
    shift = generator.uniform((2, count, 1, 1), -0.35, 0.35)
    scale = 1 / generator.uniform((count, 1, 1), 0.35, 0.75)
    angle = generator.uniform((count, 1, 1), -0.35, 0.35)
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - shift[0]
    x = np.linspace(-1, 1, width, dtype=np.float32) - shift[1]
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    return cosine * x - sine * y, sine * x + cosine * y


def _colours(count: int, channels: int, generator: Generator) -> tuple[np.ndarray, np.ndarray]:
    """A background for each picture, and the step to a foreground that is lighter."""
    shape = (count, 1, 1, channels)
    back, step = generator.integers(0, 160, shape), generator.integers(32, 96, shape)
    return back.astype(np.int16), step.astype(np.int16)


def _noise(shape: tuple[int, ...], generator: Generator) -> np.ndarray:
    """Whole numbers from -32 to 31."""
    count = int(np.prod(shape))
    return (generator.bits(-(-count // 4)).view(np.int8)[:count] >> 2).reshape(shape)


# Each takes coordinates (count, height, width) and returns what share of a pixel is covered.


def _soft(distance: np.ndarray) -> np.ndarray:
    """1 well within a border (distance < 0), 0 well outside, and a short slope between."""
    return np.clip(0.5 - 5 * distance, 0, 1)


def _disc(x, y):
    return _soft(np.sqrt(x * x + y * y) - 0.9)


def _ring(x, y):
    return _soft(np.abs(np.sqrt(x * x + y * y) - 0.75) - 0.22)


def _square(x, y):
    return _soft(np.maximum(np.abs(x), np.abs(y)) - 0.8)


def _frame(x, y):
    return _soft(np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.7) - 0.2)


def _triangle(x, y):
    return _soft(np.maximum(y - 0.7, np.abs(x) * 1.6 - y - 0.9))


def _plus(x, y):
    x, y = np.abs(x), np.abs(y)
    return _soft(np.maximum(np.minimum(x, y) - 0.28, np.maximum(x, y) - 0.95))


def _cross(x, y):
    return _plus((x + y) * np.float32(0.7071), (x - y) * np.float32(0.7071))


def _lines(x, y):
    return _soft(np.abs(y * 1.5 % 1 - 0.5) - 0.25)


def _columns(x, y):
    return _lines(y, x)


def _checks(x, y):
    return _soft((0.25 - np.abs(x % 1 - 0.5)) * (0.25 - np.abs(y % 1 - 0.5)) * -8)


_SHAPES = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "frame": _frame,
    "triangle": _triangle,
    "plus": _plus,
    "cross": _cross,
    "lines": _lines,
    "columns": _columns,
    "checks": _checks,
}
