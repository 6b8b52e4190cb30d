"""From what the runtime knows of an error to an exception that names arrays and lines."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minidl.emulator import errors
from minidl.emulator.arguments import Extent
from minidl.emulator.compiler import HEADERS_NAME
from minidl.emulator.symbols import Variable

_Point = ctypes.c_uint32 * 3


class Report(ctypes.Structure):
    """See runtime.hpp."""

    _fields_ = [
        ("kind", ctypes.c_uint32),
        ("block", _Point),
        ("thread", _Point),
        ("access", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("address", ctypes.c_uint64),
        ("other_known", ctypes.c_uint32),
        ("other_access", ctypes.c_uint32),
        ("other_block", _Point),
        ("other_thread", _Point),
        ("other_place", ctypes.c_uint64),
        ("places", ctypes.c_uint64 * 16),
        ("static_shared", ctypes.c_uint64 * 2),
        ("dynamic_shared", ctypes.c_uint64 * 2),
        ("place_count", ctypes.c_uint32),
        ("line", ctypes.c_int32),
        ("file", ctypes.c_char * 256),
        ("text", ctypes.c_char * 512),
    ]


_OUT_OF_BOUNDS, _READ_ONLY, _MISALIGNED, _RACE, _UNINITIALISED = range(1, 6)
_DIVERGENT_BARRIER, _ABSENT_LANE, _ARITHMETIC, _ASSERTION, _INDEX = range(6, 11)
_CLASSES = {
    _OUT_OF_BOUNDS: errors.OutOfBounds,
    _READ_ONLY: errors.ReadOnly,
    _MISALIGNED: errors.Misaligned,
    _RACE: errors.Race,
    _UNINITIALISED: errors.UninitialisedRead,
    _DIVERGENT_BARRIER: errors.DivergentBarrier,
    _ABSENT_LANE: errors.AbsentLane,
    _ARITHMETIC: errors.InvalidArithmetic,
    _ASSERTION: errors.AssertionFailed,
    _INDEX: errors.OutOfBounds,
}
_ACCESSES = ("reads", "writes", "atomically updates")
_PAST_ACCESSES = ("read", "wrote", "atomically updated")


class Place(NamedTuple):
    """A place in a kernel's source."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def error_of(
    report: Report,
    kernel: str,
    library: Path,
    extents: Sequence[Extent],
    variables: Sequence[Variable],
) -> errors.KernelError:
    """The exception that says what ``report`` says."""
    places = symbolised(library, list(report.places[: report.place_count]))
    if report.line:
        here = Place("", _shown_path(report.file.decode()), report.line)
        while places and (places[0].file, places[0].line) != here[1:] and len(places) > 1:
            places = places[1:]
        places = [here, *places[1:]]
    what = _Describer(report, library, extents, variables).sentence()
    block, thread = tuple(report.block), tuple(report.thread)
    lines = [f"kernel {kernel}, block {block}, thread {thread}: {what}"]
    lines += [
        f"  at {place}" + (f", in {place.function}" if place.function else "") for place in places
    ]
    first = places[0][1:] if places else (None, None)
    return _CLASSES[report.kind]("\n".join(lines), kernel, first, block, thread)


class _Describer:
    """Says what happened, in the words of the kernel's arguments and variables."""

    def __init__(
        self,
        report: Report,
        library: Path,
        extents: Sequence[Extent],
        variables: Sequence[Variable],
    ):
        self.report, self.library = report, library
        begin, dynamic = report.static_shared[0], tuple(report.dynamic_shared)
        shared = [
            Extent(begin + v.offset, begin + v.offset + v.size, True, f"shared variable {v.name}")
            for v in variables
            if not v.is_guard
        ]
        if dynamic[0] < dynamic[1]:
            shared.append(Extent(*dynamic, True, "dynamic shared memory"))
        self.regions = [*extents, *shared]

    def sentence(self) -> str:
        report = self.report
        text = report.text.decode(errors="replace")
        access = f"{_ACCESSES[report.access]} {report.size} bytes"
        if report.kind == _OUT_OF_BOUNDS:
            return f"{access} out of bounds, {self._outside()}"
        if report.kind == _READ_ONLY:
            return f"{access} of {self._inside()}, which is read-only"
        if report.kind == _MISALIGNED:
            return f"misaligned address {report.address:#x}: {text}"
        if report.kind == _UNINITIALISED:
            return f"{access} of {self._inside()}, which no thread of the block has written"
        if report.kind == _RACE:
            return f"{access} of {self._inside()}, {self._other()}"
        if report.kind == _ASSERTION:
            return f"assertion `{text}` failed"
        return text

    def _other(self) -> str:
        report = self.report
        same_block = list(report.block) == list(report.other_block)
        who = f"thread {tuple(report.other_thread)}"
        if not report.other_known:
            who = "another thread"
        if not same_block:
            who += f" of block {tuple(report.other_block)}"
        places = symbolised(self.library, [report.other_place])
        where = f" at {places[0]}" if places else ""
        missing = "__syncthreads" if same_block else "order among blocks"
        return f"which {who} {_PAST_ACCESSES[report.other_access]}{where} with no {missing} between"

    def _inside(self) -> str:
        address = self.report.address
        for region in self.regions:
            if region.begin <= address < region.end:
                return self._named(region, address)
        return f"global memory at {address:#x}"

    def _named(self, region: Extent, address: int) -> str:
        if region.array and region.array[2]:
            dtype, shape, _ = region.array
            element = (address - region.begin) // dtype.itemsize
            index = ", ".join(map(str, np.unravel_index(element, shape)))
            return f"{region.name}, element [{index}]"
        return f"{region.name}, byte {address - region.begin}"

    def _outside(self) -> str:
        address, size = self.report.address, self.report.size
        if address < 4096:
            return "through a null pointer"
        nearest = min(
            self.regions,
            key=lambda region: max(region.begin - address, address - region.end, 0),
            default=None,
        )
        if (
            nearest is None
            or not -(1 << 20) < address - nearest.begin < (1 << 20) + nearest.end - nearest.begin
        ):
            return f"at {address:#x}, far from all that the kernel was given"
        if address < nearest.begin:
            return f"{nearest.begin - address} bytes before {nearest.name}"
        past = address + size - nearest.end
        return f"up to {past} bytes past the end of {nearest.name}"


def symbolised(library: Path, places: list[int]) -> list[Place]:
    """The source lines of offsets in a library, the innermost function first.

    Empty if neither addr2line nor llvm-symbolizer is there.
    """
    tool = shutil.which("addr2line") or shutil.which("llvm-symbolizer")
    if not tool or not places:
        return []
    # what is known of a place is where its call returns to
    offsets = [hex(place - 1) for place in places]
    style = ["--output-style=GNU"] if tool.endswith("symbolizer") else []
    command = [tool, *style, "-f", "-C", "-i", "-e", str(library), *offsets]
    lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    found = []
    for function, place in zip(lines[::2], lines[1::2]):
        match = re.match(r"(.*):(\d+)", place)
        file = _shown_path(match[1]) if match else ""
        if match and match[2] != "0" and not file.startswith(HEADERS_NAME):
            found.append(Place(function.partition("(")[0], file, int(match[2])))
    return [place for place in found if "Emulator" not in place.function]


def _shown_path(path: str) -> str:
    return os.path.normpath(path)  # relative to where it was compiled, which is gone
