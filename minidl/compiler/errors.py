"""What cannot be captured, and where in the user's program it stands."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import numba
import numpy as np

_PACKAGE = str(Path(__file__).parents[1])
_STANDARD = sysconfig.get_path("stdlib")
_LIBRARIES = tuple(str(Path(library.__file__).parent) for library in (np, numba))


class CaptureError(RuntimeError):
    """A step cannot be captured, or what it was captured with has changed.

    The message begins with the file and line of the user's program that is to blame.
    """


def is_own(code: CodeType) -> bool:
    """Whether ``code`` is minidl's."""
    return code.co_filename.startswith(_PACKAGE)


def is_users(code: CodeType, space: dict[str, Any]) -> bool:
    """Whether ``code``, of a function with the globals ``space``, is the user's.

    That is of the program that uses minidl, or of a library that it uses.
    """
    name = code.co_filename
    in_library = name.startswith(_LIBRARIES) or (
        name.startswith(_STANDARD) and "site-packages" not in name
    )
    # methods of dataclasses and named tuples are code without a file
    generated = name == "<string>" and space.get("__name__", "").startswith(("minidl.", "namedtu"))
    return not (is_own(code) or in_library or generated or name.startswith("<frozen"))


_verdicts: dict[int, tuple[CodeType, bool]] = {}
"""What `is_users` says of code, by its identity: to hash code takes longer than to ask."""


def _is_users_frame(frame: FrameType) -> bool:
    code = frame.f_code
    known = _verdicts.get(id(code))
    if known is None or known[0] is not code:
        known = _verdicts[id(code)] = code, is_users(code, frame.f_globals)
        while len(_verdicts) > _MOST_VERDICTS:
            del _verdicts[next(iter(_verdicts))]
    return known[1]


_MOST_VERDICTS = 10_000


def users_line() -> str:
    """``file:line`` of the innermost frame that is the user's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not _is_users_frame(frame):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
