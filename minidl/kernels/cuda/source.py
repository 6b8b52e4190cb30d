"""The `.cu` files: one text each, compiled per device and per set of definitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minidl import emulator
from minidl.backend import CPU, device_of, is_current, load_cupy
from minidl.kernels.cuda.arguments import converted
from minidl.kernels.launch import launch

INCLUDE = Path(__file__).parent / "include"
_INCLUDE_LINE = re.compile(r'^#include "(.+)"$')
_CTYPES = dict(zip(map(np.dtype, ("float16", "float32", "float64")), ("__half", "float", "double")))

FLOATING = tuple(_CTYPES)
"""The dtypes of most kernels."""

sources: dict[str, Source] = {}
"""Every `.cu` file by its name, for the tests that compile them all."""


class CompileError(RuntimeError):
    """A `.cu` file does not compile; the message is the compiler's, with file and line."""


_MOST_BLOCKS = 65535


def grid_for(count: int, threads: int) -> tuple[int]:
    """Blocks of ``threads`` for ``count`` elements; kernels loop over what is left."""
    return (min(max(-(-count // threads), 1), _MOST_BLOCKS),)


def ctype(dtype: np.dtype) -> str:
    """What CUDA C calls ``dtype``."""
    return _CTYPES[np.dtype(dtype)]


class Source:
    """A `.cu` file beside the module that launches its kernels.

    Parameters
    ----------
    module : str
        The launching module's ``__file__``.
    name : str
        The name of the `.cu` file in the same folder.
    variants : list of dict
        The sets of macro definitions that the launchers use, for the tests that compile
        every variant for every architecture; the key "arch" is no macro but the lowest
        compute capability that a variant needs (75 unless it says more).
    """

    def __init__(self, module: str, name: str, variants: list[dict[str, Any]]):
        self.path = Path(module).with_name(name)
        self.variants = variants
        self.functions: dict[tuple, Callable] = {}
        sources[f"{self.path.parent.name}/{name}"] = self

    @property
    def text(self) -> str:
        """The file with the included files of this project in their places.

        One text means one cache key: a compiler's cache cannot miss a change in a header.
        """
        return "\n".join(_inlined(self.path, set()))

    def kernel(self, name: str, array: Any, **definitions: Any) -> Callable:
        """The kernel ``name`` on the device of ``array``, compiled with these macros.

        It is called as ``kernel(grid, block, args, shared_mem=0)``; see `converted` for what
        arguments may be.
        """
        place = device_of(array)
        checking = emulator.is_checked() if place.type == "emulator" else None
        key = name, place, checking, *definitions.items()
        if key not in self.functions:
            self.functions[key] = self._compiled(name, place, definitions)
        if not is_current(place):
            raise RuntimeError(
                f"the arrays lie on {place}, which is not the current GPU: compute on them "
                f"within minidl.cuda.device({place.index})"
            )
        return self.functions[key]

    def _compiled(self, name: str, place: Any, definitions: dict[str, Any]) -> Callable:
        if place == CPU:
            raise TypeError(f"the kernel {name!r} of the device got an array of the host")
        library = emulator if place.type == "emulator" else load_cupy()
        options = "--std=c++17", *(f"-D{key}={value}" for key, value in definitions.items())
        try:
            module = library.RawModule(code=self.text, options=options)
            function = module.get_function(name)
        except Exception as error:
            raise CompileError(f"{self.path.name}, {' '.join(options)}: {error}") from error

        def kernel(grid: tuple, block: tuple, args: tuple, shared_mem: int = 0) -> None:
            launch(start, grid, block, tuple(map(converted, args)), shared_mem)

        def start(grid: tuple, block: tuple, args: tuple, shared_mem: int) -> None:
            function(grid, block, args, shared_mem=shared_mem)

        # what a profile calls it
        start.__module__, start.__name__ = self.path.name, name
        return kernel


def _inlined(path: Path, seen: set[str]) -> list[str]:
    lines = [f'#line 1 "{path.name}"']
    for number, line in enumerate(path.read_text().splitlines(), 1):
        match = _INCLUDE_LINE.match(line)
        if not match:
            lines.append(line)
        elif match[1] not in seen:
            seen.add(match[1])
            lines += _inlined(INCLUDE / match[1], seen)
            lines.append(f'#line {number + 1} "{path.name}"')
    return lines
