"""Which Python code is watched while a step is captured, and which is trusted.

*Watched* code runs as an instrumented copy that reports every read: the program's, the
standard library's, and minidl's own layers, optimizers and transforms. *Trusted* code runs as
it is: minidl's engine, whose operators depend on their arguments and on the modes of the
thread alone, and NumPy.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import CodeType

import numba
import numpy as np

_PACKAGE = Path(__file__).parents[2]
_ENGINE_FILES = (
    "accelerator.py", "cuda.py", "files.py", "printing.py", "random.py", "tensor.py",
)  # fmt: skip
_ENGINE_FOLDERS = (
    "autograd", "backend", "compiler", "emulator", "kernels", "ops", "profiler",
)  # fmt: skip
_ENGINE = tuple(
    [str(_PACKAGE / file) for file in _ENGINE_FILES]
    + [f"{_PACKAGE / folder}/" for folder in _ENGINE_FOLDERS]
    + [str(_PACKAGE / "nn" / "parameter.py")]
)
_LIBRARIES = tuple(f"{Path(library.__file__).parent}/" for library in (np, numba))
_OWN = f"{_PACKAGE}/"


@cache
def _file_kind(name: str) -> str:
    if name.startswith(_ENGINE):
        return "engine"
    if name.startswith(_LIBRARIES):
        return "library"
    return "own" if name.startswith(_OWN) else "watched"


def is_engine(code: CodeType) -> bool:
    """Whether ``code`` is of minidl's engine, which runs as it is."""
    return _file_kind(code.co_filename) == "engine"


def is_library(code: CodeType) -> bool:
    """Whether ``code`` is NumPy's or Numba's."""
    return _file_kind(code.co_filename) == "library"


def is_own(code: CodeType) -> bool:
    """Whether ``code`` is minidl's, engine or not."""
    return _file_kind(code.co_filename) in ("engine", "own")


def is_named_tuples(space: dict) -> bool:
    """Whether globals are those of a constructor that ``collections.namedtuple`` made."""
    return str(space.get("__name__", "")).startswith("namedtuple_")


def is_trusted(code: CodeType) -> bool:
    """Whether ``code`` runs as it is while a step is captured."""
    return _file_kind(code.co_filename) in ("engine", "library") or code.co_filename.startswith(
        "<frozen"
    )
