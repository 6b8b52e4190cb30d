"""What was found in a data set: as text, as plain numbers and as a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.vision.quality.duplicates import Duplicates

_SHOWN = 10  # reasons why pictures cannot be read


@dataclass(frozen=True)
class QualityReport:
    """What `preprocess_data` found and did; ``print`` it.

    Attributes
    ----------
    classes : list of str
        Their names.
    counts : dict of int64 array
        How often each class occurs in ``train``, ``validation`` and ``test``.
    boundary : int
        Positions from here on are those of the test set that was given, counted on.
    duplicates : Duplicates
        Groups of equal and of nearly equal pictures.
    removed : dict of list of int
        The positions that were left out, by reason.
    unreadable : dict
        What was wrong with each picture that cannot be read.
    mean, std : tuple of float
        Of each channel, from 0 to 1, over the training pictures.
    """

    classes: list[str]
    counts: dict[str, np.ndarray]
    boundary: int
    duplicates: Duplicates
    removed: dict[str, list[int]]
    unreadable: dict[int, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def imbalance(self) -> float:
        """The largest class of the training set over its smallest; inf if a class is missing."""
        counts = self.counts["train"]
        return float(counts.max() / counts.min()) if counts.min() else float("inf")

    def across(self, groups: list[list[int]]) -> int:
        """How many of the groups have members in the training and in the test set."""
        return sum(group[0] < self.boundary <= group[-1] for group in groups)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain numbers, for JSON."""
        return {
            "classes": self.classes,
            "counts": {name: counts.tolist() for name, counts in self.counts.items()},
            "imbalance": self.imbalance if np.isfinite(self.imbalance) else None,
            "duplicates": {
                kind: {"groups": groups, "across_splits": self.across(groups)}
                for kind, groups in self.duplicates._asdict().items()
            },
            "removed": self.removed,
            "unreadable": {str(i): reason for i, reason in self.unreadable.items()},
            "mean": self.mean,
            "std": self.std,
        }

    def __str__(self) -> str:
        return "\n".join([*self._parts(), *self._findings(), *self._reasons()])

    def _parts(self) -> list[str]:
        width = max(map(len, [*self.classes, "class"]))
        lines = [f"{'class':{width}} " + " ".join(f"{name:>10}" for name in self.counts)]
        for i, name in enumerate(self.classes):
            row = " ".join(f"{counts[i]:10,}" for counts in self.counts.values())
            lines.append(f"{name:{width}} {row}")
        total = " ".join(f"{counts.sum():10,}" for counts in self.counts.values())
        return [*lines, f"{'all':{width}} {total}", ""]

    def _findings(self) -> list[str]:
        exact, near = self.duplicates
        lines = [
            f"largest class over smallest: {self.imbalance:.2f}",
            f"groups of equal pictures: {len(exact)}, across the splits: {self.across(exact)}",
            f"groups of nearly equal ones: {len(near)}, across the splits: {self.across(near)}",
            f"mean {_rounded(self.mean)}, standard deviation {_rounded(self.std)}",
        ]
        lines += [f"left out, {why}: {len(found):,}" for why, found in self.removed.items()]
        return lines

    def _reasons(self) -> list[str]:
        reasons = [f"  {reason}" for reason in self.unreadable.values()]
        more = len(reasons) - _SHOWN
        return reasons[:_SHOWN] + ([f"  ... and {more} more"] if more > 0 else [])


def _rounded(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"
