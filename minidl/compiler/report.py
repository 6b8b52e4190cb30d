"""The report of a compiled step: its captures with their reasons, and what its guards cost."""

from __future__ import annotations

import time
from typing import Any


class Report:
    """Collects why a step was captured."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def captured(self, reason: str) -> None:
        """Note a capture."""
        self.reasons.append(reason or "these arguments are new, and two runs agreed")

    def text(self, step: Any, recordings: list) -> str:
        """The captures and plans of ``step``, as text."""
        lines = [f"{step!r}: {step.captures} captures, {len(recordings)} plans kept"]
        lines += [f"  capture {i}: {reason}" for i, reason in enumerate(self.reasons, 1)]
        for i, recording in enumerate(recordings, 1):
            lines.append(
                f"  plan {i}: {recording.plan.launches} launches, {recording.plan.calls} calls, "
                f"{recording.plan.memory:,} bytes; {len(recording.guards)} guards in "
                f"{_guard_time(recording):.2f} us; {recording.audits.replays} replays, "
                f"{recording.audits.count} audits (the next after "
                f"{recording.audits.left} more), {1e3 * recording.seconds:.1f} ms each"
            )
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
