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
    """Count how often class i is taken for class j: int64 (classes, classes).

    ``forward`` makes logits (N, classes) of images; these, the labels and the logits may lie on
    any device. No batch waits for the device: it is read after the last one.
    """
    confusion = np.zeros((classes, classes), np.int64)
    with minidl.no_grad():
        found = [(labels, forward(images).argmax(1)) for images, labels in batches]
    for labels, predicted in found:
        np.add.at(confusion, (labels.cpu().numpy(), predicted.cpu().numpy()), 1)
    return confusion


def accuracy_of(confusion: np.ndarray) -> float:
    """The share of pictures on the diagonal."""
    return float(confusion.trace() / confusion.sum())
