"""Observers that keep a histogram, and leave rare large numbers out of the range.

The histogram covers -reach to reach, a power of two that doubles when a larger number comes: then
every two neighbouring bins become one, exactly. It is kept on the host.
"""

from __future__ import annotations

import math

import numpy as np

import minidl
from minidl.compress.quantization.observers import Observer
from minidl.tensor import Tensor

_BINS = 4096
_CANDIDATES = 100


class _HistogramObserver(Observer):
    """Counts numbers in bins; a subclass chooses the range."""

    def __init__(self, symmetric: bool = False):
        super().__init__(symmetric)
        self.counts = np.zeros(_BINS, np.int64)
        self.reach = 0.0

    def forward(self, input: Tensor) -> Tensor:
        numbers = input.detach().cpu().numpy()
        numbers = numbers[np.isfinite(numbers)]
        largest = float(np.abs(numbers).max(initial=0.0))
        if largest > 0:
            self._widen(largest)
            self.counts += np.histogram(numbers, _BINS, (-self.reach, self.reach))[0]
            low, high = self._range(self.counts, self._edges())
            self._move(*(minidl.tensor(np.float32(end)) for end in (low, high)))
        return input

    def _widen(self, largest: float) -> None:
        if self.reach == 0:
            self.reach = 2.0 ** math.ceil(math.log2(largest))
        while self.reach < largest:
            merged = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.pad(merged, _BINS // 4)
            self.reach *= 2

    def _edges(self) -> np.ndarray:
        return np.linspace(-self.reach, self.reach, _BINS + 1)

    def _range(self, counts: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
        raise NotImplementedError


class PercentileObserver(_HistogramObserver):
    """The range within which ``percentile`` of the numbers lie, as many left out at both ends."""

    def __init__(self, symmetric: bool = False, percentile: float = 99.99):
        super().__init__(symmetric)
        if not 50 < percentile <= 100:
            raise ValueError(f"percentile is above 50 and at most 100, got {percentile}")
        self.percentile = percentile

    def _range(self, counts: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
        below = np.cumsum(counts) / counts.sum()
        left_out = (1 - self.percentile / 100) / 2
        low = edges[np.searchsorted(below, left_out, side="right")]
        high = edges[np.searchsorted(below, 1 - left_out) + 1]
        return low, high


class MSEObserver(_HistogramObserver):
    """The range whose integers are nearest to the numbers, in the mean of squares.

    Of ranges that are 1 to 100 hundredths of the largest one.
    """

    def _range(self, counts: np.ndarray, edges: np.ndarray) -> tuple[float, float]:
        filled = np.flatnonzero(counts)
        low, high = min(edges[filled[0]], 0.0), max(edges[filled[-1] + 1], 0.0)
        numbers = (edges[:-1] + edges[1:])[filled] / 2
        shares = np.arange(1, _CANDIDATES + 1) / _CANDIDATES
        errors = [self._error(numbers, counts[filled], s * low, s * high) for s in shares]
        best = shares[int(np.argmin(errors))]
        return best * low, best * high

    def _error(self, numbers: np.ndarray, counts: np.ndarray, low: float, high: float) -> float:
        if self.symmetric:
            scale, zero = max(-low, high) / 127, 0.0
        else:
            scale = (high - low) / 255
            zero = np.clip(np.rint(-128 - low / scale), -128, 127)
        integers = np.clip(np.rint(numbers / scale) + zero, -128, 127)
        return float((counts * ((integers - zero) * scale - numbers) ** 2).sum())
