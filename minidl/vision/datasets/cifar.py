"""CIFAR-10 and CIFAR-100.

Source: A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009,
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from minidl.vision.datasets.base import MemoryPictures
from minidl.vision.datasets.cifar_files import (
    Layout,
    binary,
    pickled,
    pickled_names,
    text_names,
)
from minidl.vision.datasets.download import download_folder


class _CIFAR(MemoryPictures):
    url: str
    md5: str
    layouts: tuple[Layout, ...]  # the first is the one that the archive at ``url`` holds

    def __init__(
        self,
        root: str | os.PathLike,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ):
        super().__init__(root, transform, target_transform)
        self.train = train
        found = self._find(root)
        if found is None and download:
            official = self.layouts[0]
            download_folder(self.url, self.md5, Path(root), official.folder, official.files)
            found = self._find(root)
        if found is None:
            folders = " or ".join(layout.folder for layout in self.layouts)
            raise RuntimeError(
                f"{type(self).__name__}: there is no folder {folders} in {root}; give the folder "
                "that holds one of them, or download=True to fetch it"
            )
        layout, folder = found
        self.data, self.targets, self.classes = layout.load(folder, train)

    @classmethod
    def present(cls, root: str | os.PathLike) -> bool:
        """Whether ``root`` holds this data set, in one of the official layouts."""
        return cls._find(root) is not None

    @classmethod
    def _find(cls, root: str | os.PathLike) -> tuple[Layout, Path] | None:
        for layout in cls.layouts:
            folder = layout.find(Path(root))
            if folder is not None:
                return layout, folder
        return None

    def extra_repr(self) -> str:
        """Which split it is."""
        return f"Split: {'Train' if self.train else 'Test'}"


class CIFAR10(_CIFAR):
    """60,000 pictures of 32 x 32 pixels in ten classes: 50,000 to train with, 10,000 to test.

    Parameters
    ----------
    root : path
        The folder that holds ``cifar-10-batches-py`` or ``cifar-10-batches-bin``, the official
        layouts, or one of these itself.
    train : bool
        The training pictures, or those of the test.
    transform, target_transform : callable, optional
        What is done to a picture and to a label on the way out.
    download : bool
        Fetch the archive (170 MB) if there is nothing in ``root``.

    Raises
    ------
    RuntimeError
        If there is nothing in ``root``.
    ValueError
        If a file is missing, cut short or not what it should be; it is named.
    DownloadError
        If the download fails.
    """

    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    md5 = "c58f30108f718f92721af3b95e74349a"
    layouts = (
        Layout(
            folder="cifar-10-batches-py",
            train=tuple(f"data_batch_{i}" for i in range(1, 6)),
            test=("test_batch",),
            meta="batches.meta",
            read=pickled("labels"),
            read_names=pickled_names("label_names"),
        ),
        Layout(
            folder="cifar-10-batches-bin",
            train=tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
            test=("test_batch.bin",),
            meta="batches.meta.txt",
            read=binary(label_bytes=1),
            read_names=text_names,
        ),
    )


class CIFAR100(_CIFAR):
    """`CIFAR10` with a hundred classes, in ``cifar-100-python`` or ``cifar-100-binary``.

    The labels are the fine ones; arguments and errors are those of `CIFAR10`.
    """

    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    layouts = (
        Layout(
            folder="cifar-100-python",
            train=("train",),
            test=("test",),
            meta="meta",
            read=pickled("fine_labels"),
            read_names=pickled_names("fine_label_names"),
        ),
        Layout(
            folder="cifar-100-binary",
            train=("train.bin",),
            test=("test.bin",),
            meta="fine_label_names.txt",
            read=binary(label_bytes=2),
            read_names=text_names,
        ),
    )
