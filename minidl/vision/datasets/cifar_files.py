"""CIFAR's official file layouts.

The python layout holds pickled dictionaries: ``data``, uint8 (n, 3072), and a list of labels.
The binary layout holds rows of bytes: the labels, then 3072 values. In both, a picture is its
red, green and blue plane, 32 rows of 32 each.

Source: https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minidl.vision.datasets.unpickle import load_plain

_VALUES = 3 * 32 * 32


@dataclass(frozen=True)
class Layout:
    """A folder of files, and how to read them.

    Attributes
    ----------
    folder : str
        Its official name.
    train, test : tuple of str
        The files of each split.
    meta : str
        The file of the classes' names.
    read : callable
        Pictures (n, 3072) and labels (n,) of a file.
    read_names : callable
        The classes' names from the meta file.
    """

    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]
    read_names: Callable[[Path], list[str]]

    @property
    def files(self) -> tuple[str, ...]:
        """All files."""
        return (*self.train, *self.test, self.meta)

    def find(self, root: Path) -> Path | None:
        """The folder within ``root``, or ``root`` if it is the folder; None if it is neither."""
        for folder in (root / self.folder, root):
            if folder.name == self.folder and folder.is_dir():
                return folder
            if all((folder / name).is_file() for name in self.files):
                return folder
        return None

    def load(self, folder: Path, train: bool) -> tuple[np.ndarray, list[int], list[str]]:
        """Pictures (N, 32, 32, 3), labels and classes' names; ValueError naming a bad file."""
        names = self.read_names(_present(folder / self.meta))
        files, labels = [], []
        for name in self.train if train else self.test:
            path = _present(folder / name)
            rows, targets = self.read(path)
            if targets.size and not 0 <= targets.min() <= targets.max() < len(names):
                raise ValueError(
                    f"{path}: labels from {targets.min()} to {targets.max()}, but there are "
                    f"{len(names)} classes"
                )
            files.append(rows)
            labels += targets.tolist()
        return _channels_last(files), labels, names


def pickled(label_key: str) -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
    """A reader of the python layout whose labels are called ``label_key``."""

    def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
        entry = _entries(path, "data", label_key)
        rows, labels = entry["data"], _integers(entry[label_key])
        if not isinstance(rows, np.ndarray) or rows.dtype != np.uint8 or rows.ndim != 2:
            raise ValueError(f"{path}: 'data' is not a uint8 array of 2 dimensions")
        if rows.shape[1] != _VALUES:
            raise ValueError(f"{path}: a picture has {_VALUES} values, not {rows.shape[1]}")
        if labels is None:
            raise ValueError(f"{path}: {label_key!r} is not a list of integers")
        if len(labels) != len(rows):
            raise ValueError(f"{path}: {len(rows)} pictures, but {len(labels)} labels")
        return np.asarray(rows), labels

    return read


def pickled_names(key: str) -> Callable[[Path], list[str]]:
    """A reader of the python layout's class names, called ``key``."""

    def read(path: Path) -> list[str]:
        names = _entries(path, key)[key]
        if not isinstance(names, list) or not all(isinstance(name, str | bytes) for name in names):
            raise ValueError(f"{path}: {key!r} is not a list of names")
        return [_text(name) for name in names]

    return read


def binary(label_bytes: int) -> Callable[[Path], tuple[np.ndarray, np.ndarray]]:
    """A reader of the binary layout; of several labels the last is the one that counts."""

    def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
        content = np.fromfile(path, np.uint8)
        row = label_bytes + _VALUES
        if not content.size or content.size % row:
            raise ValueError(
                f"{path}: {content.size} bytes are no whole number of pictures of {row} bytes; "
                "the file was cut short or changed"
            )
        rows = content.reshape(-1, row)
        return rows[:, label_bytes:], rows[:, label_bytes - 1].astype(np.int64)

    return read


def text_names(path: Path) -> list[str]:
    """The binary layout's class names, one a line."""
    try:
        lines = path.read_text("ascii").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of names: {error}") from error
    if not lines:
        raise ValueError(f"{path} names no classes")
    return lines


def _channels_last(files: list[np.ndarray]) -> np.ndarray:
    """The pictures (N, 32, 32, 3) of several files, each with rows of three planes."""
    pictures = np.empty((sum(map(len, files)), 32, 32, 3), np.uint8)
    start = 0
    for rows in files:
        planes = rows.reshape(-1, 3, 32, 32)
        for channel in range(3):  # in long runs; a transposed copy would go three bytes at a time
            pictures[start : start + len(rows), ..., channel] = planes[:, channel]
        start += len(rows)
    return pictures


def _present(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path} is missing: put it back, or remove the folder and download again")
    return path


def _entries(path: Path, *keys: str) -> dict[str, Any]:
    content = load_plain(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__} and not a dictionary")
    entries = {_text(key): value for key, value in content.items()}
    for key in keys:
        if key not in entries:
            raise ValueError(f"{path} has no {key!r}")
    return entries


def _text(name: Any) -> Any:
    return name.decode("latin1") if isinstance(name, bytes) else name


def _integers(labels: Any) -> np.ndarray | None:
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        return None
    try:
        return np.array(labels, np.int64)
    except OverflowError:
        return None
