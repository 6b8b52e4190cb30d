"""FakeQuantize: numbers that are rounded as 8-bit integers would round them, and stay floats."""

from __future__ import annotations

from collections.abc import Callable

from minidl import ops
from minidl.compress.quantization.observers import Observer, made_of
from minidl.nn import Module
from minidl.tensor import Tensor


class FakeQuantize(Module):
    """Observes what passes, and rounds it as integers would.

    Attributes
    ----------
    observer : Observer
        Whose range the integers stand for.
    observing, rounding : bool
        Whether it does the one and the other: see `enable_observer` and `enable_fake_quant`.
    """

    def __init__(self, observer: Callable[[], Observer], rounding: bool = True):
        super().__init__()
        self.observer = made_of(observer)
        self.observing = True
        self.rounding = rounding

    def forward(self, input: Tensor) -> Tensor:
        if self.observing:
            self.observer(input)
        if not self.rounding:
            return input
        scale, zero_point = self.observer.calculate_qparams()
        return ops.fake_quantize(input, scale, zero_point, self.observer.axis)

    def extra_repr(self) -> str:
        return f"observing={self.observing}, rounding={self.rounding}"


def enable_observer(module: Module, enabled: bool = True) -> None:
    """For ``module.apply``-like use on a whole model: ranges follow the numbers."""
    for each in _all(module):
        each.observing = enabled


def disable_observer(module: Module) -> None:
    """All ranges of a model stay as they are."""
    enable_observer(module, False)


def enable_fake_quant(module: Module, enabled: bool = True) -> None:
    """All of a model's `FakeQuantize` round."""
    for each in _all(module):
        each.rounding = enabled


def disable_fake_quant(module: Module) -> None:
    """None of a model's `FakeQuantize` rounds."""
    enable_fake_quant(module, False)


def _all(module: Module) -> list[FakeQuantize]:
    return [each for each in module.modules() if isinstance(each, FakeQuantize)]
