"""What a figure was measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from datetime import date
from pathlib import Path

from minidl.profiler.machine import processor

_TIMES = Path("/proc/stat")
_MOMENT = 1.0  # seconds
_LIBRARIES = ("numpy", "numba", "torch", "jax", "pillow")


def describe() -> str:
    """Processor, cores usable by this process, Python and date, in one line."""
    return f"{processor()}, Python {platform.python_version()}, {date.today().isoformat()}"


def load() -> float | None:
    """How many cores others keep busy while this process waits; None where none can tell."""
    if not _TIMES.exists():
        return None
    idle, total = _core_times()
    time.sleep(_MOMENT)
    idle_later, total_later = _core_times()
    return os.cpu_count() * (1 - (idle_later - idle) / (total_later - total))


def _core_times() -> tuple[int, int]:
    """The time that all cores have spent idle, and all their time, in the system's ticks."""
    user, nice, system, idle, waiting, *others = map(int, _TIMES.read_text().split()[1:9])
    return idle + waiting, user + nice + system + idle + waiting + sum(others)


def versions() -> dict[str, str]:
    """The versions of the libraries that take part and are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
