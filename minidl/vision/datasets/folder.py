"""A folder of pictures, one subfolder per class."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minidl.vision import pillow
from minidl.vision.datasets.base import VisionDataset

IMG_EXTENSIONS = (
    ".jpg",
    ".jpeg",
    ".png",
    ".ppm",
    ".bmp",
    ".pgm",
    ".tif",
    ".tiff",
    ".webp",
)


def pil_loader(path: str) -> Any:
    """The picture in a file, in RGB; ImportError without Pillow."""
    pillow.require_pillow("reading picture files")
    with open(path, "rb") as file:
        return pillow.Image.open(file).convert("RGB")


class ImageFolder(VisionDataset):
    """Pictures in files: ``root/dog/a.png``, ``root/cat/b.jpg``, ``root/cat/old/c.jpg``.

    Parameters
    ----------
    root : path
        The folder with a subfolder per class.
    transform, target_transform : callable, optional
        What is done to a picture and to a label on the way out.
    loader : callable
        Makes a picture from a file's path.
    is_valid_file : callable, optional
        Whether a path is that of a picture; by default its extension decides.

    Attributes
    ----------
    classes, class_to_idx : list of str, dict
        The subfolders in the order of their names, and their numbers.
    samples, targets : list of (str, int), list of int
        Each file with its class, and the classes alone.

    Raises
    ------
    FileNotFoundError
        If there are no subfolders, or one without pictures.
    ValueError
        On access, if a file holds no picture; it is named.
    """

    def __init__(
        self,
        root: str | os.PathLike,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        loader: Callable[[str], Any] = pil_loader,
        is_valid_file: Callable[[str], bool] | None = None,
    ):
        super().__init__(root, transform, target_transform)
        self.loader = loader
        self.classes, self.class_to_idx = self.find_classes(root)
        self.samples = self._samples(is_valid_file or _has_extension)
        self.imgs = self.samples
        self.targets = [target for _, target in self.samples]

    def find_classes(self, directory: str | os.PathLike) -> tuple[list[str], dict[str, int]]:
        """The classes in a folder and their numbers; a subclass may find them elsewhere."""
        classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
        if not classes:
            raise FileNotFoundError(f"there is no folder of a class in {directory}")
        return classes, {name: i for i, name in enumerate(classes)}

    def _samples(self, is_valid_file: Callable[[str], bool]) -> list[tuple[str, int]]:
        samples: list[tuple[str, int]] = []
        empty = []
        for name, target in sorted(self.class_to_idx.items()):
            files = _files(Path(self.root) / name)
            found = [(path, target) for path in files if is_valid_file(path)]
            samples += found
            if not found:
                empty.append(name)
        if empty:
            raise FileNotFoundError(
                f"there are no pictures of the classes {', '.join(empty)} in {self.root}; "
                f"extensions that count: {', '.join(IMG_EXTENSIONS)}"
            )
        return samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The picture, in RGB unless loader or transform change that, and its class."""
        path, target = self.samples[self._checked_index(index)]
        try:
            picture = self.loader(path)
        except (OSError, SyntaxError) as error:  # Pillow says SyntaxError of a broken PNG
            raise ValueError(f"{path} cannot be read as a picture: {error}") from error
        return self._transformed(picture, target)


def _files(folder: Path) -> list[str]:
    walk = sorted(os.walk(folder, followlinks=True))
    return [os.path.join(place, name) for place, _, names in walk for name in sorted(names)]


def _has_extension(path: str) -> bool:
    return path.lower().endswith(IMG_EXTENSIONS)
