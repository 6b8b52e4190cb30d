"""Splitting a data set so that each part has its share of each class, and shares no picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minidl.random import Generator


def stratified_split(
    labels: np.ndarray,
    indices: np.ndarray,
    fraction: float,
    seed: int = 0,
    groups: Sequence[Sequence[int]] = (),
) -> tuple[np.ndarray, np.ndarray]:
    """Cut off about ``fraction`` of ``indices``, of each class alike.

    Parameters
    ----------
    labels : int array
        The class of every sample, those that are not among ``indices`` included.
    indices : int array
        What to split.
    fraction : float
        From 0 to below 1: the share that is cut off.
    seed : int
        Of the random order in which samples are taken.
    groups : sequence of sequence of int
        Samples that have to stay together. A group counts as of the class of its first member.

    Returns
    -------
    (int64 array, int64 array)
        What is left, and what was cut off, both from the lowest index up.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"the fraction to split off lies in [0, 1), got {fraction}")
    units = _units(indices, groups)
    random = Generator(seed)
    taken: list[int] = []
    of_class = np.array([labels[unit[0]] for unit in units])
    for label in np.unique(of_class):
        members = np.flatnonzero(of_class == label)
        wanted = round(fraction * sum(len(units[i]) for i in members))
        for i in members[random.permutation(len(members))]:
            if wanted >= len(units[i]):
                taken += units[i]
                wanted -= len(units[i])
    left = np.setdiff1d(indices, taken)
    return left, np.array(sorted(taken), np.int64)


def _units(indices: np.ndarray, groups: Sequence[Sequence[int]]) -> list[list[int]]:
    """What is taken or left as a whole: groups, as far as they are wanted, and single samples."""
    wanted = set(indices.tolist())
    together = [[i for i in group if i in wanted] for group in groups]
    grouped = {i for group in together for i in group}
    return [*filter(None, together), *([i] for i in sorted(wanted - grouped))]
