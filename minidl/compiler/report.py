"""The report of a compiled step or module: captures with their reasons, costs of guards."""

from __future__ import annotations

import collections
import time
from typing import Any

_KEPT = 64  # reasons; a step that is captured again and again keeps the latest


class Report:
    """Collects why a step was captured."""

    def __init__(self) -> None:
        self.reasons: collections.deque[str] = collections.deque(maxlen=_KEPT)

    def captured(self, reason: str) -> None:
        """Note a capture."""
        self.reasons.append(reason or "these arguments are new, and two runs agreed")

    def text(self, title: str, captures: int, recordings: list) -> str:
        """The captures and the plans kept, as text."""
        first = captures - len(self.reasons) + 1
        lines = [f"{title}: captures: {captures}, plans kept: {len(recordings)}"]
        lines += [f"  capture {i}: {reason}" for i, reason in enumerate(self.reasons, first)]
        for i, recording in enumerate(recordings, 1):
            audits = recording.audits
            lines += [
                f"  plan {i}: {recording.cost()}",
                f"    guards: {len(recording.guards)} in {_guard_time(recording):.2f} us per call",
                f"    replays: {audits.replays}; audits: {audits.count}, "
                f"{1e3 * recording.seconds:.1f} ms each, the next after {audits.left} more replays",
            ]
        return "\n".join(lines)


def _guard_time(recording: Any, repeats: int = 100) -> float:
    """The microseconds that checking the guards of a plan takes, the least of some."""
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(repeats):
            recording.guards.holds()
        best = min(best, (time.perf_counter() - start) / repeats)
    return 1e6 * best
