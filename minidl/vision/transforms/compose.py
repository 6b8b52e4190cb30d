"""Chains of transforms, and a way in for any function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from minidl.vision.transforms.base import Transform


class Compose:
    """Transforms one after the other.

    Parameters
    ----------
    transforms : sequence of callables
        Each takes what the one before returned.
    """

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = transforms

    def __call__(self, picture: Any) -> Any:
        """The picture after all transforms."""
        for transform in self.transforms:
            picture = transform(picture)
        return picture

    def __repr__(self) -> str:
        lines = "".join(f"\n    {transform}" for transform in self.transforms)
        return f"{type(self).__name__}({lines}\n)"


class Lambda(Transform):
    """Any function as a transform; a data set with one in its chain works picture by picture."""

    def __init__(self, lambd: Callable):
        if not callable(lambd):
            raise TypeError(f"Lambda wants a function, got {type(lambd).__name__}")
        self.lambd = lambd

    def __call__(self, picture: Any) -> Any:
        """What the function makes of ``picture``."""
        return self.lambd(picture)

    def __repr__(self) -> str:
        return "Lambda()"
