"""The report of a compiled step: its captures with their reasons, and what its guards cost."""

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

    def text(self, step: Any, recordings: list) -> str:
        """The captures and plans of ``step``, as text."""
        first = step.captures - len(self.reasons) + 1
        lines = [f"{step!r}: captures: {step.captures}, plans kept: {len(recordings)}"]
        lines += [f"  capture {i}: {reason}" for i, reason in enumerate(self.reasons, first)]
        for i, recording in enumerate(recordings, 1):
            plan, audits = recording.plan, recording.audits
            lines += [
                f"  plan {i}: {plan.launches} launches, {plan.calls} calls, {plan.memory:,} bytes",
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
