"""Where CIFAR-10 is found, what stands in for it, and on which device it is kept."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path

from minidl import cuda
from minidl.backend import Device
from minidl.recipes.recipe import Recipe
from minidl.utils.data import Dataset, Subset
from minidl.utils.data.dataset import fetches_batches
from minidl.vision import datasets, transforms


class DataError(ValueError):
    """The data that was asked for is not there or cannot be used."""


def cache_folder() -> Path:
    """Where downloads are kept: ``$XDG_CACHE_HOME/minidl``, by default ``~/.cache/minidl``."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "minidl"


def find_cifar10(asked: Path | None) -> Path | None:
    """The folder that holds CIFAR-10, downloaded if need be; None if it cannot be had."""
    if asked is not None and not datasets.CIFAR10.present(asked):
        raise DataError(f"there is no CIFAR-10 (cifar-10-batches-py or -bin) in {asked}")
    places = [asked, os.environ.get("MINIDL_DATA"), cache_folder()]
    for place in filter(None, places):
        if datasets.CIFAR10.present(place):
            return Path(place)
    try:
        datasets.CIFAR10(cache_folder(), download=True)
    except datasets.DownloadError as error:
        print(f"\n{error}", file=sys.stderr)
        return None
    return cache_folder()


def load_data(recipe: Recipe, folder: Path | None) -> tuple[Dataset, Dataset, str]:
    """The training and test pictures and what they are called in the report."""
    train = transforms.Compose([*recipe.augmentation, transforms.ToTensor(), *recipe.normalisation])
    test = transforms.Compose([transforms.ToTensor(), *recipe.normalisation])
    if folder is not None:
        make, name = datasets.CIFAR10, "CIFAR-10"
        try:
            sets = (
                make(folder, train=True, transform=train),
                make(folder, train=False, transform=test),
            )
        except ValueError as error:
            raise DataError(f"the data cannot be used: {error}") from error
    else:
        make, name = datasets.SyntheticPictures, "synthetic pictures"
        sets = make(train=True, transform=train), make(train=False, transform=test)
        print(
            "\n*** CIFAR-10 was not found and could not be downloaded. ***\n"
            "*** Training on built-in synthetic pictures instead: the accuracy below is ***\n"
            "*** NOT an accuracy on CIFAR-10. Point --data at a copy to train on it.    ***\n",
            file=sys.stderr,
        )
    return *sets, name


def limited(dataset: Dataset, count: int | None) -> Dataset:
    """The first ``count`` pictures of a data set."""
    if count is None:
        return dataset
    if not 1 <= count <= len(dataset):
        raise DataError(f"a limit of {count} pictures: the data set has 1 to {len(dataset)}")
    return Subset(dataset, range(count))


def on_device(dataset: Dataset, place: Device) -> Dataset:
    """Keep the images in the memory of ``place``: a copy of the data set; itself if it cannot be.

    It can be on a GPU and in the emulator if the images lie in memory, if all transforms apply to
    whole batches, and if half of the device's free memory is enough: the network needs some too.
    """
    if type(dataset) is Subset:
        whole = on_device(dataset.dataset, place)
        return dataset if whole is dataset.dataset else Subset(whole, dataset.indices)
    in_memory = isinstance(dataset, datasets.MemoryPictures) and fetches_batches(dataset)
    if place.type == "cpu" or not in_memory or not _fits(dataset.data.nbytes, place):
        return dataset
    return copy.copy(dataset).to(place)


def _fits(size: int, place: Device) -> bool:
    return place.type == "emulator" or 2 * size <= cuda.mem_get_info(place)[0]
