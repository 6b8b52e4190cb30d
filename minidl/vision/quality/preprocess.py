"""Cleaning, standardising and splitting a data set: the first step of the article's pipeline."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minidl.utils.data import Subset
from minidl.vision.quality.cleaning import cleaned
from minidl.vision.quality.duplicates import find_duplicates
from minidl.vision.quality.pictures import Pictures, read_pictures
from minidl.vision.quality.report import QualityReport
from minidl.vision.quality.split import stratified_split
from minidl.vision.quality.statistics import channel_statistics, class_counts
from minidl.vision.transforms import Compose, Normalize, ToTensor


class Preprocessed(NamedTuple):
    """A data set that is ready for training.

    Attributes
    ----------
    train, validation, test : Subset
        Pictures of which none is in two parts; their samples are normalised tensors (C, H, W)
        and labels, those of ``train`` augmented.
    mean, std : tuple of float
        Of each channel, over the training pictures.
    report : QualityReport
        What was found and what was left out.
    """

    train: Subset
    validation: Subset
    test: Subset
    mean: tuple[float, ...]
    std: tuple[float, ...]
    report: QualityReport


def preprocess_data(
    train: Any,
    test: Any = None,
    *,
    augmentation: Sequence = (),
    validation: float = 0.1,
    test_size: float = 0.2,
    similarity: float = 0.98,
    seed: int = 0,
) -> Preprocessed:
    """Clean, standardise and split a data set of pictures.

    Left out are pictures that cannot be read, copies of a training picture (the first stays),
    equal pictures with different labels, and training pictures that are also in the test set,
    exactly or nearly: see `find_duplicates`. Near duplicates among the others stay together when
    the validation set is split off. Of a test set that is given, all readable pictures stay, so
    that results can be compared; what is twice in it is reported.

    Parameters
    ----------
    train : MemoryPictures, ImageFolder or their like
        Pictures with ``targets`` and ``classes``; its transforms are not used.
    test : the same, optional
        The test set; without it ``test_size`` of the pictures are split off for one.
    augmentation : sequence of transforms
        What is done to training pictures before they become tensors.
    validation, test_size : float
        The shares of training pictures, and before that of all pictures, to split off, of each
        class alike.
    similarity : float
        The least correlation of near duplicates: see `find_duplicates`.
    seed : int
        Of the order in which pictures are split.

    Raises
    ------
    ValueError
        If a data set is empty, nothing is left of it, or the two have different classes.
    TypeError
        If the samples are no pictures.
    """
    names = list(train.classes)
    if test is not None and list(test.classes) != names:
        raise ValueError(f"the test set has the classes {list(test.classes)}, not {names}")
    pictures, boundary = read_pictures(train, "training pictures"), len(train)
    if test is not None:
        pictures = _joined(pictures, read_pictures(test, "test pictures"))
    duplicates = find_duplicates(pictures, similarity)
    left, removed = cleaned(pictures, duplicates, boundary)
    rest, test_part = left[left < boundary], left[left >= boundary]
    labels = pictures.labels
    if test is None:
        rest, test_part = stratified_split(labels, rest, test_size, seed, duplicates.near)
    train_part, validation_part = stratified_split(labels, rest, validation, seed, duplicates.near)
    if not len(train_part):
        raise ValueError("no training pictures are left")
    mean, std = channel_statistics(pictures, train_part)
    parts = {"train": train_part, "validation": validation_part, "test": test_part}
    report = QualityReport(
        classes=names,
        counts={name: class_counts(labels[part], len(names)) for name, part in parts.items()},
        boundary=boundary,
        duplicates=duplicates,
        removed=removed,
        unreadable=pictures.unreadable,
        mean=mean,
        std=std,
    )
    last = [ToTensor(), Normalize(mean, std)]
    plain = Compose(last)
    return Preprocessed(
        _subset(train, Compose([*augmentation, *last]), train_part),
        _subset(train, plain, validation_part),
        _subset(train, plain, test_part)
        if test is None
        else _subset(test, plain, test_part - boundary),
        mean,
        std,
        report,
    )


def _joined(first: Pictures, second: Pictures) -> Pictures:
    """The pictures of two data sets, one set after the other."""
    arrays = (np.concatenate(pair) for pair in zip(first[:-1], second[:-1], strict=True))
    behind = {len(first.labels) + i: reason for i, reason in second.unreadable.items()}
    return Pictures(*arrays, first.unreadable | behind)


def _subset(dataset: Any, transform: Any, indices: np.ndarray) -> Subset:
    seen = copy.copy(dataset)  # the pictures themselves are shared
    seen.transform = transform
    return Subset(seen, indices.tolist())
