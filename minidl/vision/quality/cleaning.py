"""Which pictures a data set is better off without, and why."""

from __future__ import annotations

import numpy as np

from minidl.vision.quality.duplicates import Duplicates
from minidl.vision.quality.pictures import Pictures

UNREADABLE = "unreadable"
CONFLICT = "equal pictures with different labels"
COPY = "copies of a training picture"
LEAK = "training pictures that are in the test set, too"


def cleaned(
    pictures: Pictures, duplicates: Duplicates, boundary: int
) -> tuple[np.ndarray, dict[str, list[int]]]:
    """What is left, and what is removed for which reason.

    Positions from ``boundary`` on are those of a test set, from which only what is unreadable is
    removed. A picture is removed for one reason, the first that holds.
    """
    removed = {UNREADABLE: sorted(pictures.unreadable), CONFLICT: [], COPY: [], LEAK: []}
    for group in duplicates.near:
        if group[-1] >= boundary:
            removed[LEAK] += [i for i in group if i < boundary]
    gone = set(removed[LEAK])
    for group in duplicates.exact:
        inside = [i for i in group if i < boundary and i not in gone]
        if len(set(pictures.labels[inside].tolist())) > 1:
            removed[CONFLICT] += inside
        else:
            removed[COPY] += inside[1:]
    everything = {i for positions in removed.values() for i in positions}
    left = np.setdiff1d(np.arange(len(pictures.labels)), list(everything))
    return left.astype(np.int64), {why: sorted(found) for why, found in removed.items()}
