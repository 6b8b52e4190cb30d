"""The shared variables of a library of kernels, read from its table of symbols.

The layout is ELF's (Tool Interface Standard, Executable and Linking Format, 1995), with 64 bits.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

_HEADER = np.dtype([("", "V40"), ("sections", "<u8"), ("", "V12"), ("count", "<u2")])
_SECTION = np.dtype(
    [("", "V4"), ("type", "<u4"), ("", "V16"), ("offset", "<u8"), ("size", "<u8")]
    + [("link", "<u4"), ("", "V20")]
)
_SYMBOL = np.dtype([("name", "<u4"), ("info", "u1"), ("", "V3"), ("value", "<u8"), ("size", "<u8")])
_SYMBOL_TABLE, _THREAD_LOCAL = 2, 6


class Variable(NamedTuple):
    """A variable in a library's thread-local memory, where all shared variables are."""

    name: str
    offset: int
    size: int
    mangled: str

    @property
    def is_guard(self) -> bool:
        """Whether it is what the compiler keeps to construct a variable once."""
        return self.mangled.startswith("_ZGV")

    def belongs_to(self, kernel: str) -> bool:
        """Whether the kernel itself declares it, and no function that it calls."""
        return self.mangled.startswith(f"_ZZ{len(kernel)}{kernel}")


def shared_variables(library: Path) -> list[Variable]:
    """The shared variables, by their place in memory."""
    data = library.read_bytes()
    header = np.frombuffer(data, _HEADER, 1)[0]
    sections = np.frombuffer(data, _SECTION, header["count"], header["sections"])
    table = sections[sections["type"] == _SYMBOL_TABLE][0]
    count = table["size"] // _SYMBOL.itemsize
    symbols = np.frombuffer(data, _SYMBOL, count, table["offset"])
    names = int(sections[table["link"]]["offset"])
    found = []
    for symbol in symbols[(symbols["info"] & 15 == _THREAD_LOCAL) & (symbols["size"] > 0)]:
        begin = names + int(symbol["name"])
        name = data[begin : data.index(0, begin)].decode()
        if "emulator_anchor" not in name:
            place = int(symbol["value"]), int(symbol["size"])
            found.append(Variable(_plain(name), *place, name))
    return sorted(found, key=lambda variable: variable.offset)


def _plain(name: str) -> str:
    # the last part of a mangled name: _ZZ6matmulE4tile is matmul's variable tile
    match = re.search(r"E(\d+)([A-Za-z_]\w*)$", name)
    return match[2][: int(match[1])] if match else name
