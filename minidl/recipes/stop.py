"""Stopping a run from outside without breaking it."""

from __future__ import annotations

import signal
from types import FrameType


class Stop:
    """Turns the first Ctrl-C (or SIGTERM) into a request, so that a step is never cut in two."""

    requested = False

    def __enter__(self) -> Stop:
        self.previous = [
            (s, signal.signal(s, self.request)) for s in (signal.SIGINT, signal.SIGTERM)
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self.previous:
            signal.signal(number, handler)

    def request(self, number: int, frame: FrameType | None) -> None:
        """Stop after this step; a second Ctrl-C stops at once."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
