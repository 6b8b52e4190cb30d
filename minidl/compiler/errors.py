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


def users_line() -> str:
    """``file:line`` of the innermost frame that is the user's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code, frame.f_globals):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
