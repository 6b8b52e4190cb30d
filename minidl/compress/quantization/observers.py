"""Observers: from the numbers that pass by, the range that 8-bit integers shall stand for.

The names are PyTorch's (torch.ao.quantization.observer). `MinMaxObserver` and
`MovingAverageMinMaxObserver` compute with tensors alone, so that a compiled training step may
hold them.
"""

from __future__ import annotations

from typing import Any

import minidl
from minidl import ops
from minidl.nn import Module
from minidl.tensor import Tensor

_INFINITY = float("inf")


class Observer(Module):
    """Remembers a range, passes its input on.

    Parameters
    ----------
    symmetric : bool
        Zero is the integer 0, and the range as wide on both sides: for weights. Else the range
        is that of the numbers, with zero in it: for activations.
    axis : int, optional
        The dimension with a range for each place; by default there is one range.

    Attributes
    ----------
    min_val, max_val : Tensor
        The range seen; infinite the wrong way round before the first numbers.
    """

    def __init__(self, symmetric: bool = False, axis: int | None = None):
        super().__init__()
        self.symmetric = symmetric
        self.axis = axis
        self.register_buffer("min_val", minidl.tensor(_INFINITY))
        self.register_buffer("max_val", minidl.tensor(-_INFINITY))

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """The scale (float32) and the zero point (int8) of the range.

        RuntimeError if nothing has been observed.
        """
        return qparams(self.min_val, self.max_val, self.symmetric)

    def _extremes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The smallest and the largest number, of all or along the axis."""
        x = x.detach()
        if self.axis is None:
            return x.amin(), x.amax()
        others = tuple(i for i in range(x.ndim) if i != self.axis % x.ndim)
        return x.amin(others), x.amax(others)

    def _move(self, least: Tensor, most: Tensor) -> None:
        """Put a range in the place of the one before."""
        if self.min_val.shape == least.shape:
            self.min_val.copy_(least)
            self.max_val.copy_(most)
        else:  # the first one along an axis
            self.min_val, self.max_val = least.clone(), most.clone()

    def extra_repr(self) -> str:
        return f"symmetric={self.symmetric}, axis={self.axis}"


def qparams(least: Tensor, most: Tensor, symmetric: bool) -> tuple[Tensor, Tensor]:
    """The scale and zero point with which -128 to 127 stand for a range that contains 0.

    Symmetric: ``scale = max(-least, most) / 127`` and 0. Else ``scale = (most - least) / 255`` and
    ``round(-128 - least / scale)``. A range without extent has the scale 1.
    """
    least, most = ops.minimum(least, 0.0), ops.maximum(most, 0.0)
    extent = ops.maximum(-least, most) / 127.0 if symmetric else (most - least) / 255.0
    usable = ops.logical_and(extent > 0, extent < _INFINITY)
    scale = ops.where(usable, extent, 1.0)
    if symmetric:
        return scale, (0.0 * scale).to(minidl.int8)
    zero_point = ops.where(usable, (-128.0 - least / scale).round(), 0.0)
    return scale, zero_point.clamp(-128, 127).to(minidl.int8)


class MinMaxObserver(Observer):
    """The smallest and the largest number ever seen."""

    def forward(self, input: Tensor) -> Tensor:
        least, most = self._extremes(input)
        self._move(ops.minimum(self.min_val, least), ops.maximum(self.max_val, most))
        return input


class MovingAverageMinMaxObserver(Observer):
    """A moving average of each batch's smallest and largest number.

    ``value += averaging_constant * (batch's - value)``; with a constant of 1 the last batch's.
    """

    def __init__(
        self,
        symmetric: bool = False,
        axis: int | None = None,
        averaging_constant: float = 0.01,
    ):
        super().__init__(symmetric, axis)
        self.averaging_constant = averaging_constant

    def forward(self, input: Tensor) -> Tensor:
        pairs = zip((self.min_val, self.max_val), self._extremes(input))
        self._move(*(self._averaged(old, new) for old, new in pairs))
        return input

    def _averaged(self, old: Tensor, new: Tensor) -> Tensor:
        if self.averaging_constant == 1:
            return new
        first = abs(old) == _INFINITY
        start = ops.where(first, new, old)
        return start + self.averaging_constant * (new - start)


def made_of(observer: Any) -> Observer:
    """A new observer: what a class or function of no arguments makes; TypeError for others."""
    made = observer()
    if not isinstance(made, Observer):
        raise TypeError(f"wants something that makes observers, got a {type(made).__name__}")
    return made
