"""How long work takes on a device, in turn with its peers."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from minidl import accelerator

_ROUNDS = 5
_ROUND_SECONDS = 0.05  # long beside the clock and the final synchronisation


class Timer:
    """Times calls on ``place``; the emulator, whose times mean nothing, runs once."""

    def __init__(self, place: str):
        self.emulated = place == "emulator"

    def seconds(self, *contenders: Callable) -> list[list[float]]:
        """Seconds per call of each contender, one number a round, in turn."""
        repeats = [self._repeats(contender) for contender in contenders]
        rounds = [
            [self._round(contender, n) for contender, n in zip(contenders, repeats)]
            for _ in range(1 if self.emulated else _ROUNDS)
        ]
        return [list(column) for column in zip(*rounds)]

    def best(self, work: Callable) -> float:
        """The median seconds of a call."""
        return median(self.seconds(work)[0])

    def _repeats(self, work: Callable) -> int:
        """How many calls fill a round; two calls before warm everything up."""
        if self.emulated:
            return 1
        self._round(work, 1)
        once = self._round(work, 1)
        return max(1, min(1000, int(_ROUND_SECONDS / once)))

    def _round(self, work: Callable, repeats: int) -> float:
        self._synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        self._synchronize()
        return (time.perf_counter() - start) / repeats

    def _synchronize(self) -> None:
        if not self.emulated:
            accelerator.synchronize()  # the whole device: the peer's streams too
