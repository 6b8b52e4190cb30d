"""Functions that each replay calls again."""

from __future__ import annotations

import functools
from typing import Any

from minidl.autograd import wrap
from minidl.backend import xp
from minidl.compiler.errors import CaptureError
from minidl.compiler.trace import layout_of
from minidl.optim import Optimizer
from minidl.optim.lr_scheduler import LRScheduler
from minidl.vision.transforms.base import Transform


class LiveTransform:
    """A random transform as a function of arrays, which makes another array each time."""

    def __init__(self, transform: Transform):
        self.transform = transform
        self.layout: tuple | None = None

    def __call__(self, array: Any) -> Any:
        result = self.transform(wrap(array)).array
        result = result.copy() if result is array else xp(result).ascontiguousarray(result)
        if self.layout is not None and layout_of(result) != self.layout:
            raise CaptureError(
                f"{self.transform!r} made an image of another shape than when the step was "
                "captured, which a replay cannot follow: apply it outside the step"
            )
        self.layout = layout_of(result)
        return result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LiveTransform) and self.transform is other.transform

    def __hash__(self) -> int:
        return id(self.transform)


class Live:
    """A function that is called in each replay; equal ones print the same way."""

    def __init__(self, function: functools.partial):
        self.function = function
        self.__name__ = getattr(function.func, "__name__", "call")

    def __call__(self, *args: Any) -> None:
        self.function(*args)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Live) and (
            self.function.func is other.function.func
            and self.function.keywords == other.function.keywords
        )

    def __hash__(self) -> int:
        return hash(self.__name__)


LIVE_KINDS = (Optimizer, LRScheduler)
