"""Kernels are launched here: the emulator's own library, and what it is told and tells."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Sequence
from pathlib import Path

from minidl.emulator.arguments import Extent
from minidl.emulator.checking import ORDERS, state
from minidl.emulator.report import Report
from minidl.emulator.symbols import Variable


class Region(ctypes.Structure):
    """See runtime.hpp."""

    _fields_ = [
        ("begin", ctypes.c_size_t),
        ("end", ctypes.c_size_t),
        ("memory", ctypes.c_uint32),
        ("writable", ctypes.c_uint32),
    ]


_GLOBAL, _SHARED, _GUARD = range(3)


class Launch(ctypes.Structure):
    """See runtime.hpp."""

    _fields_ = [
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("dynamic_shared", ctypes.c_uint64),
        ("kernel", ctypes.c_void_p),
        ("arguments", ctypes.c_void_p),
        ("anchor", ctypes.c_void_p),
        ("regions", ctypes.POINTER(Region)),
        ("region_count", ctypes.c_uint32),
        ("checked", ctypes.c_uint32),
        ("order", ctypes.c_uint32),
        ("seed", ctypes.c_uint32),
    ]


_one_at_a_time = threading.Lock()


def _renew_lock() -> None:
    # a process that was forked during a launch of another thread must not wait for its end
    global _one_at_a_time
    _one_at_a_time = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


_loaded: dict[str, ctypes.CDLL] = {}


def runtime(library: Path) -> ctypes.CDLL:
    """The emulator's own library, loaded once by its name, whatever folder it lies in.

    By this name the kernels' libraries find it: another copy would not be the one they call.
    """
    if library.name not in _loaded:
        loaded = ctypes.CDLL(str(library))
        loaded.emulator_launch.restype = ctypes.POINTER(Report)
        _loaded[library.name] = loaded
    return _loaded[library.name]


def run(
    library: ctypes.CDLL,
    kernel: int,
    anchor: int,
    grid: tuple[int, ...],
    block: tuple[int, ...],
    dynamic_shared: int,
    arguments: Sequence[bytes],
    regions: Sequence[tuple[int, int, int, bool]],
    checked: bool,
) -> Report | None:
    """Run a kernel: what is wrong with it, or None.

    ``kernel`` and ``anchor`` are addresses in the kernel's library.
    """
    launch = Launch(
        grid=grid,
        block=block,
        dynamic_shared=dynamic_shared,
        kernel=kernel,
        anchor=anchor,
        arguments=ctypes.cast((ctypes.c_char_p * len(arguments))(*arguments), ctypes.c_void_p),
        regions=(Region * len(regions))(*regions),
        region_count=len(regions),
        checked=checked,
        order=ORDERS.index(state.order),
        seed=state.seed & 0xFFFFFFFF,
    )
    with _one_at_a_time:
        report = library.emulator_launch(ctypes.byref(launch)).contents
        return Report.from_buffer_copy(report) if report.kind else None


def regions_of(
    extents: Sequence[Extent], variables: Sequence[Variable]
) -> list[tuple[int, int, int, bool]]:
    """What a checked kernel may touch: arrays that overlap as one, and shared variables."""
    regions: list[list] = []
    for begin, end, writable, *_ in sorted(extents, key=lambda extent: extent.begin):
        if regions and begin < regions[-1][1]:
            last = regions[-1]
            regions[-1] = [last[0], max(last[1], end), _GLOBAL, last[3] or writable]
        else:
            regions.append([begin, end, _GLOBAL, writable])
    return [tuple(region) for region in regions] + [
        (v.offset, v.offset + v.size, _GUARD if v.is_guard else _SHARED, True) for v in variables
    ]
