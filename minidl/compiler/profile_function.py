"""Set the profile function of a thread, while other threads set theirs."""

from __future__ import annotations

import sys
import time
from typing import Any

_TRIES = 100_000


def set_profile(function: Any) -> None:
    """``sys.setprofile(function)``, again until no other thread is just setting its own.

    CPython 3.11 raises a RuntimeError then, since what it replaces may run code when it dies.
    """
    for _ in range(_TRIES):
        try:
            sys.setprofile(function)
        except RuntimeError:
            time.sleep(0)  # have the other thread end
        else:
            return
    sys.setprofile(function)


def restore_profile(profile: Any) -> None:
    """Undo `set_profile`: of cProfile, ``sys.getprofile`` returns the profiler itself."""
    if profile is None or callable(profile):
        set_profile(profile)
    else:
        profile.enable()
