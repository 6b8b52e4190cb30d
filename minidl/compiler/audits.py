"""Audits of a plan: when a call runs as it is, to be compared with what would be replayed."""

from __future__ import annotations

import math
import time

from minidl.compiler.errors import CaptureError

_LAST_EARLY = 8  # replays between the last two audits that come at once
_SHARE = 0.01  # of the time that audits may take


class Audits:
    """When a plan is audited, and what came of it."""

    def __init__(self, interval: int | None):
        self.fixed = interval
        self.interval = 1 if interval is None else interval
        self.left = self.interval if interval is None or interval else math.inf
        self.replays = self.last_right = self.count = 0
        self.since = time.perf_counter()

    def due(self) -> bool:
        """Whether the next call is an audit; otherwise it is counted as a replay."""
        if self.left <= 0 or self.fixed == 1:
            return True
        self.left -= 1
        self.replays += 1
        return False

    def passed(self, seconds: float) -> None:
        """Note an audit that found the plan right, and plan the next one."""
        now = time.perf_counter()
        self.count += 1
        self.last_right = self.replays
        if self.fixed is None:
            each = max((now - self.since - seconds) / self.interval, 1e-9)
            paid = math.ceil(seconds / _SHARE / each)
            self.interval = 2 * self.interval if self.interval < _LAST_EARLY else max(1, paid)
        self.left = self.interval
        self.since = now

    def error(self, found: str, name: str) -> CaptureError:
        """What to raise if a run was not what the plan would have done."""
        return CaptureError(
            f"{found}: an audit of {name} found that its plan no longer does what it does, "
            f"though no guard has failed. Replays up to number {self.last_right} were right; "
            f"{self.replays - self.last_right} after it may be wrong. Please report it; "
            "compile(..., audit=1) shows the first call that differs"
        )
