"""A model as the server has it: its file, its network compiled, and its card."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

import minidl
from minidl.recipes import Classifier, load_model
from minidl.serialization import CheckpointError

INPUT, OUTPUT = "input", "logits"
"""The names of the tensors, for models whose file has none."""


class ServedModel:
    """A classifier that answers batches.

    Parameters
    ----------
    name : str
        Under which it is served.
    path : Path
        Its file, which `load_model` reads.
    max_batch : int
        The largest batch that it is asked for.

    Raises
    ------
    CheckpointError, OSError
        If the file cannot be read, or the network fails on zeros.
    """

    def __init__(self, name: str, path: Path, max_batch: int):
        self.name, self.path = name, path
        self.classifier: Classifier = load_model(path)
        network = self.classifier.network.eval()
        self.input_name = getattr(network, "input_names", [INPUT])[0]
        self.output_name = getattr(network, "output_names", [OUTPUT])[0]
        self.shape = tuple(self.classifier.input_shape)
        self.classes = self.classifier.classes
        self.loaded = time.time()
        self.sizes = _sizes(max_batch)
        self._forward = minidl.compile(network)
        for size in self.sizes:
            self._try(size)

    def logits(self, pictures: np.ndarray) -> np.ndarray:
        """Those of float32 (n, C, H, W) pictures, n at most the largest batch.

        Batches are filled up with zeros to one of a few sizes, each of which is compiled: for
        arrays of one layout, so that views with other strides are copied, too.
        """
        count = len(pictures)
        size = next(size for size in self.sizes if size >= count)
        filled = np.zeros((size, *self.shape), np.float32)
        filled[:count] = pictures
        with minidl.no_grad():
            return self._forward(minidl.from_numpy(filled)).numpy()[:count]

    def _try(self, size: int) -> None:
        """Run on zeros, which also compiles; CheckpointError if that fails."""
        wanted = (size, len(self.classes))
        for _ in range(3):
            found = self.logits(np.zeros((size, *self.shape), np.float32))
            if found.shape != wanted or not np.isfinite(found).all():
                raise CheckpointError(f"{self.path}: the model does not compute {wanted} numbers")

    def card(self) -> dict[str, Any]:
        """What there is to know of it."""
        classifier = self.classifier
        return {
            "name": self.name,
            "file": self.path.name,
            "bytes": self.path.stat().st_size,
            "parameters": _count(classifier),
            "classes": self.classes,
            "input_shape": list(self.shape),
            "mean": list(classifier.mean),
            "std": list(classifier.std),
            "results": classifier.results,
        }


def _sizes(most: int) -> list[int]:
    """Powers of two, and the largest batch."""
    sizes = [1]
    while sizes[-1] * 2 < most:
        sizes.append(sizes[-1] * 2)
    return sizes if most == 1 else [*sizes, most]


def _count(classifier: Classifier) -> int:
    integers = (t for t in classifier.network.buffers() if t.dtype == minidl.int8 and t.ndim > 1)
    parameters = (*classifier.network.parameters(), *integers)
    return sum(tensor.numel() for tensor in parameters)
