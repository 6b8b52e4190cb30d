"""What the data sets of pictures have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minidl.backend import device, device_of, to_device, to_host
from minidl.utils.data import Dataset
from minidl.vision import pillow
from minidl.vision.transforms.chain import Chain, compile_chain


class VisionDataset(Dataset):
    """Pictures with labels.

    Attributes
    ----------
    root : str or None
        The folder that they come from.
    transform, target_transform : callable or None
        What is done to a picture and to a label on the way out.
    """

    def __init__(
        self,
        root: Any = None,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
    ):
        self.root = root
        self.transform = transform
        self.target_transform = target_transform

    def extra_repr(self) -> str:
        """More lines for ``repr``."""
        return ""

    def _transformed(self, picture: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return picture, target

    def _checked_index(self, index: int) -> int:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__}: no picture {index} among {len(self)}")
        return index % len(self)

    def __repr__(self) -> str:
        body = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            body.append(f"Root location: {self.root}")
        body += self.extra_repr().splitlines()
        tail = _labelled("Transform: ", self.transform)
        tail += _labelled("Target transform: ", self.target_transform)
        if tail:
            body.append("StandardTransform")
        head = f"Dataset {type(self).__name__}"
        return "\n".join([head, *(f"    {line}" for line in body), *tail])


class MemoryPictures(VisionDataset):
    """Pictures that all lie in memory, so that a loader can have whole batches of them.

    Attributes
    ----------
    data : uint8 array (N, height, width, channels)
        The pictures, of 1 or 3 channels, on the CPU or where `to` has moved them.
    targets : list of int
        Their classes.
    classes : list of str
        The name of each class.
    """

    data: np.ndarray
    targets: list[int]
    classes: list[str]

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class by its name."""
        return {name: i for i, name in enumerate(self.classes)}

    def to(self, place: Any) -> MemoryPictures:
        """Keep the pictures on a device, as ``nn.Module.to`` does with parameters.

        A loader's batches are then made there, from the transforms on: nothing but indices
        and random numbers is sent. Returns the data set itself.
        """
        self.data = to_device(self.data, device(place))
        return self

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """The picture, as Pillow's image unless the transform changes that, and its label."""
        index = self._checked_index(index)
        picture = pillow.to_picture(to_host(self.data[index]))
        return self._transformed(picture, self.targets[index])

    @property
    def batched(self) -> bool:
        """Whether `fetch_batch` works: all transforms describe themselves, none is of labels."""
        return self.target_transform is None and self._chain() is not None

    def fetch_batch(
        self, indices: np.ndarray, seed: int, first: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The transformed pictures ``indices``, float32 (B, C, H, W), and int64 labels (B,).

        They are where the data set is; ``indices`` are on the host.
        Picture i of the batch has the random numbers of ``Generator(seed).spawn(first + i)``:
        it comes out as ``self[indices[i]]`` would with that as the default generator.
        """
        chain = self._chain()
        if chain is None or self.target_transform is not None:
            raise RuntimeError(
                f"{type(self).__name__} cannot fetch whole batches: a transform works on single "
                "pictures only"
            )
        indices = np.asarray(indices, np.int64)
        indices = np.where(indices < 0, indices + len(self), indices)
        pictures = chain(self.data, indices, seed, first)
        labels = np.array([self.targets[i] for i in indices.tolist()], np.int64)
        return pictures, to_device(labels, device_of(self.data))

    def _chain(self) -> Chain | None:
        _, height, width, channels = self.data.shape
        return compile_chain(self.transform, channels, height, width)


def _labelled(label: str, transform: Callable | None) -> list[str]:
    if transform is None:
        return []
    first, *others = repr(transform).splitlines()
    return [label + first, *(" " * len(label) + line for line in others)]
