"""The garbage collector, paused while steps are captured."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_pauses = 0
_pauses_lock = threading.Lock()
_collects = True


@contextmanager
def collector_paused() -> Iterator[None]:
    """Without garbage collection, whose finalizers have nothing to do with the run."""
    global _pauses, _collects
    with _pauses_lock:
        if not _pauses:
            _collects = gc.isenabled()
            gc.disable()
        _pauses += 1
    try:
        yield
    finally:
        with _pauses_lock:
            _pauses -= 1
            if not _pauses and _collects:
                gc.enable()
