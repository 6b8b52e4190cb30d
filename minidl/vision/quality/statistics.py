"""Numbers about a data set: how many of each class, and how bright each channel is."""

from __future__ import annotations

import numpy as np

from minidl.vision.quality.pictures import Pictures


def class_counts(labels: np.ndarray, classes: int) -> np.ndarray:
    """How often each class occurs, int64 (classes,)."""
    return np.bincount(labels, minlength=classes)


def channel_statistics(
    pictures: Pictures, indices: np.ndarray
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over all pixels of the pictures ``indices``.

    ``std**2 = mean(x**2) - mean(x)**2`` of values from 0 to 1, summed in float64: what
    `minidl.vision.transforms.Normalize` takes after `ToTensor`. ValueError without pictures.
    """
    count = pictures.count[indices].sum()
    if not count:
        raise ValueError("there are no pictures to take the mean of")
    mean = pictures.sums[indices].sum(0) / count
    variance = np.maximum(pictures.squares[indices].sum(0) / count - mean * mean, 0)
    return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())
