"""CUDA C to C++: what the device headers cannot say with macros.

The compiler's preprocessor goes first. In its output ``__global__``, ``__launch_bounds__`` and
``__shared__`` still stand, whatever macros they came from, and what ``#if`` leaves out is gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_EXTERN_SHARED = re.compile(r"\bextern\s+__shared__\b([^;\[]*?)(\w+)\s*\[\s*\][^;]*;")
_SHARED = re.compile(r"\b(?:static\s+)?__shared__\b(?:\s+static\b)?")
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\([^()]*\))*\)\)|alignas\s*\([^()]*\)")
_BOUNDS = re.compile(r"__launch_bounds__\s*(?=\()")
_EXTERN_C_BLOCK = re.compile(r'extern\s+"C"\s*\{')


EXPORT = 'extern "C" __attribute__((visibility("default")))'


class Kernel(NamedTuple):
    """A kernel in a source: what C++ calls it, and the most threads that its blocks may have."""

    name: str
    most_threads: str = "1024"


def prepared(code: str, file: str, options: list[str]) -> str:
    """The text to preprocess: the device headers, the macros of ``options``, the code."""
    macros = [
        f"#define {option.removeprefix('-D').replace('=', ' ', 1)}"
        + ("" if "=" in option else " 1")
        for option in options
    ]
    return "\n".join(['#include "emulator.h"', *macros, f'#line 1 "{file}"', code, ""])


def translated(text: str, name_expressions: tuple[str, ...]) -> tuple[str, list[str]]:
    """C++ for preprocessed CUDA C, and the names of its kernels.

    Those are the ones declared ``extern "C"`` and the ``name_expressions``.
    """
    kernels = [*dict.fromkeys(_kernels(text)), *map(Kernel, name_expressions)]
    text = _without_bounds(text).replace("__global__", "")
    text = _SHARED.sub("static thread_local", _EXTERN_SHARED.sub(_as_pointer, text))
    exports = [
        f"{EXPORT} const EmulatorKernel emulator_kernel_{number} = "
        f"EmulatorEntry<&{kernel.name}>::kernel({kernel.most_threads});"
        for number, kernel in enumerate(kernels)
    ]
    return "\n".join([text, *exports, ""]), [kernel.name for kernel in kernels]


def _as_pointer(match: re.Match) -> str:
    kind = _ATTRIBUTE.sub("", match[1]).strip()
    lines = "\n" * match[0].count("\n")  # those that follow keep their numbers
    return f"{kind}* const {match[2]} = ({kind}*)emulator_dynamic_shared();{lines}"


def _closing(text: str, begin: int) -> int:
    """Where the bracket at ``begin`` closes."""
    pairs = {"(": 1, ")": -1, "{": 1, "}": -1}
    depth = 0
    for position in range(begin, len(text)):
        depth += pairs.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


def _without_bounds(text: str) -> str:
    kept, begin = [], 0
    for match in _BOUNDS.finditer(text):
        kept.append(text[begin : match.start()])
        begin = _closing(text, match.end()) + 1
    return "".join([*kept, text[begin:]])


def _kernels(text: str) -> Iterator[Kernel]:
    blocks = [(m.end(), _closing(text, m.end() - 1)) for m in _EXTERN_C_BLOCK.finditer(text)]
    for match in re.finditer(r"\b__global__\b", text):
        begin = max(text.rfind(mark, 0, match.start()) for mark in ";}{") + 1
        before = text[begin : match.start()]
        in_block = any(low <= match.start() < high for low, high in blocks)
        if in_block or re.search(r'extern\s+"C"', before):
            # the text up to the body or the end of a declaration, with its bounds if it has any
            after = re.match(r"[^{;]*", text[match.end() :])[0]
            name = re.search(r"(\w+)\s*\(", _without_bounds(after))
            if name:
                yield Kernel(name[1], _most_threads(before + after))


def _most_threads(declaration: str) -> str:
    match = _BOUNDS.search(declaration)
    if not match:
        return "1024"
    inner = declaration[match.end() + 1 : _closing(declaration, match.end())]
    depth = 0
    for position, letter in enumerate(inner):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            return inner[:position]
    return inner
