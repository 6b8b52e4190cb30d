"""Which implementation of a kernel runs: one name, one variant per kernel set.

A kernel set is a complete way to compute on one kind of device; the reference, on every
device, is the NumPy version, which runs on any array module. A kernel that lacks a variant
in the active set runs the reference.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidl.backend import Device, device_of
from minidl.emulator import EmulatorArray
from minidl.kernels.launch import running, tape

REFERENCE = "numpy"
SETS = {
    "cpu": ("numba", REFERENCE),
    "cuda": ("cuda", "numba-cuda", "cupy"),
    "emulator": ("cuda", REFERENCE),
}
"""The kernel sets of each kind of device, the default first; "cupy" is the reference on CuPy."""

_DEVICE_OF_SET = {name: kind for kind in ("cuda", "cpu") for name in SETS[kind]}


def _known(name: str) -> str:
    if name not in _DEVICE_OF_SET:
        raise ValueError(
            f"there is no kernel set {name!r}; choose from {', '.join(_DEVICE_OF_SET)}"
        )
    return name


class _Active(threading.local):
    """The kernel set of each kind of device, by attribute."""

    cpu, cuda, emulator = (names[0] for names in SETS.values())


if chosen := os.environ.get("MINIDL_KERNELS"):
    setattr(_Active, _DEVICE_OF_SET[_known(chosen)], chosen)

_active = _Active()
_choosing: list[None] = []
"""An entry for each block of `use_kernels`, of any thread: elsewhere nobody asks for his choice."""

kernels: dict[str, Kernel] = {}


class Kernel:
    """A function of arrays, one variant per kernel set: ``Kernel("erf", numpy=f, numba=g)``.

    A variant is a function, or "module:function" for one whose module is imported when it
    first runs. The first argument tells the device: an array, or a list that starts with one.
    """

    def __init__(self, name: str, **variants: Callable | str):
        self.name = name
        self.variants = {_known(key.replace("_", "-")): v for key, v in variants.items()}
        if REFERENCE not in variants:
            raise TypeError(f"kernel {name!r} needs its reference, the variant {REFERENCE!r}")
        self.reference = self.variants[REFERENCE]
        kernels[name] = self

    def __call__(self, first: Any, *args: Any) -> Any:
        array = first[0] if type(first) is list else first
        if type(array) is np.ndarray:
            # which compiled code takes for NumPy's
            if EmulatorArray.made and EmulatorArray in map(type, args):
                raise TypeError(f"{self.name}: an array of the host met one of the emulator")
            variant = self.variant(_active.cpu) if _choosing else self.usual
        else:
            variant = self.variant(getattr(_active, device_of(array).type))
        if running and tape.note is not None and not getattr(variant, "planned", False):
            tape.spoil()
        return variant(first, *args)

    def variant(self, active: str) -> Callable:
        """The function that serves in a kernel set."""
        found = self.variants.get(active, self.reference)
        if isinstance(found, str):
            found = self.variants[active] = _imported(found)
        return found

    @functools.cached_property
    def usual(self) -> Callable:
        """The function for arrays of the host where nobody chooses another."""
        return self.variant(_Active.cpu)

    def serving(self, place: Device) -> str:
        """The kernel set whose variant runs on ``place`` now."""
        active = getattr(_active, place.type)
        return active if active in self.variants else REFERENCE


def _imported(path: str) -> Callable:
    module, _, function = path.partition(":")
    return getattr(importlib.import_module(module), function)


@contextlib.contextmanager
def use_kernels(name: str, device: str | None = None) -> Iterator[None]:
    """Within the block, this thread computes with the kernel set ``name`` on its device.

    ``use_kernels("numpy", "emulator")`` is for a set that several kinds of device have.
    The environment variable ``MINIDL_KERNELS`` sets the default for a whole process.
    """
    kind = _DEVICE_OF_SET[_known(name)] if device is None else device
    previous = getattr(_active, kind)
    setattr(_active, kind, name)
    _choosing.append(None)
    try:
        yield
    finally:
        _choosing.pop()
        setattr(_active, kind, previous)


def active_sets() -> tuple[str, ...]:
    """This thread's kernel sets, of each kind of device."""
    return _active.cpu, _active.cuda, _active.emulator


def table() -> None:
    """Print which implementation serves each kernel on each device, and which others there are.

    "numpy" is the reference: on a GPU it runs on CuPy's arrays.
    """
    rows = [("kernel", *SETS, "variants")]
    for name, kernel in sorted(kernels.items()):
        serving = (kernel.serving(Device(kind)) for kind in SETS)
        rows.append((name, *serving, ", ".join(kernel.variants)))
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row, widths)).rstrip())
