"""What cannot be captured, and where in the user's program it stands."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from types import CodeType, FrameType

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


def is_users(code: CodeType) -> bool:
    """Whether ``code`` is of the program that uses minidl, or of a library it uses."""
    name = code.co_filename
    in_library = name.startswith(_LIBRARIES) or (
        name.startswith(_STANDARD) and "site-packages" not in name
    )
    generated = name == "<string>" or name.startswith("<frozen")
    return not (is_own(code) or in_library or generated)


def users_line() -> str:
    """``file:line`` of the innermost frame that is the user's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_users(frame.f_code):
        frame = frame.f_back
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
