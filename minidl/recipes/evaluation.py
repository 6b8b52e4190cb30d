"""How good a network is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

import minidl


def confusion_of(
    forward: Callable[[minidl.Tensor], minidl.Tensor],
    batches: Iterable[tuple[minidl.Tensor, minidl.Tensor]],
    classes: int,
) -> np.ndarray:
    """How often a picture of class i is taken for class j: int64 (classes, classes).

    ``forward`` makes logits (N, classes) of pictures, on any device.
    """
    confusion = np.zeros((classes, classes), np.int64)
    with minidl.no_grad():
        for pictures, labels in batches:
            predicted = forward(pictures).argmax(1).cpu()
            np.add.at(confusion, (labels.numpy(), predicted.numpy()), 1)
    return confusion


def accuracy_of(confusion: np.ndarray) -> float:
    """The share of pictures on the diagonal."""
    return float(confusion.trace() / confusion.sum())
