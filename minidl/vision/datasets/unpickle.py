"""Reading pickles that hold numbers and text, and nothing else.

A pickle is a program that may call any function by its name. CIFAR's official files are
pickles, so they are read by an unpickler that knows only the names that a NumPy array needs:
whatever else a file asks for is refused before anything of it is called.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np


def load_plain(path: str | os.PathLike) -> Any:
    """What the pickle at ``path`` holds: numbers, text, containers and arrays of numbers.

    Text and array bytes from Python 2 are read as Latin-1, which keeps every byte.

    Raises
    ------
    ValueError
        If the file is no pickle, is cut short, or asks for anything else; it is named.
    """
    content = Path(path).read_bytes()
    try:
        return _PlainUnpickler(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a broken pickle can fail in any way that Python knows
        raise ValueError(f"{path} cannot be read: {error or type(error).__name__}") from error


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        # NumPy 2 calls numpy.core numpy._core.
        found = _ADMITTED.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, and only arrays of numbers, text and plain "
                "containers are admitted; it is damaged, or made to do harm"
            )
        return found


class _Dtype:
    """Stands for ``numpy.dtype``: a type of numbers, in either byte order, and no more."""

    def __init__(self, code: str, *flags: object):
        self.value = np.dtype(code)
        if self.value.kind not in "biuf":
            raise pickle.UnpicklingError(f"it holds an array of {self.value}, and not of numbers")

    def __setstate__(self, state: tuple) -> None:
        if state[1] in ("<", ">"):
            self.value = self.value.newbyteorder(state[1])


class _Array(np.ndarray):
    """Stands for ``numpy.ndarray``: an array of numbers from the bytes of the file."""

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, fortran, content = state
        if isinstance(content, str):
            content = content.encode("latin1")
        if not isinstance(dtype, _Dtype) or not isinstance(content, bytes):
            raise pickle.UnpicklingError("it holds an array that is not made of bytes")
        super().__setstate__((1, shape, dtype.value, fortran, content))


def _reconstruct(kind: type, shape: tuple, code: Any) -> _Array:
    """The array that an array's state is then read into."""
    return _Array.__new__(_Array, 0, np.uint8)


def _from_buffer(buffer: bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    return np.frombuffer(buffer, dtype.value).reshape(shape, order=order)


def _encode(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


_ADMITTED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,  # how Python 3 writes bytes for Python 2
}
