"""Devices: where an array lives, how it gets elsewhere, and whose functions take it."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from minidl.backend.cupy import load_cupy
from minidl.emulator import EmulatorArray, array_module


@dataclass(frozen=True)
class Device:
    """A place where arrays live: ``Device("cpu")``, ``Device("cuda", 1)``."""

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"


CPU = Device("cpu")
EMULATOR = Device("emulator")


def device(name: str | Device) -> Device:
    """The device called ``name``: "cpu", "cuda", "cuda:1" or "emulator".

    "cuda" is the current GPU. ValueError for any other name; whether there is such a GPU
    shows when something is put on it.
    """
    if isinstance(name, Device):
        return name
    if name in ("cpu", "emulator"):
        return CPU if name == "cpu" else EMULATOR
    kind, colon, index = str(name).partition(":")
    if kind == "cuda" and (index.isdecimal() if colon else not index):
        return Device("cuda", int(index) if colon else None)
    raise ValueError(f"there is no device {name!r}; there are 'cpu', 'cuda[:N]' and 'emulator'")


def _is_cupy(array: Any) -> bool:
    # asked of foreign arrays only, and without importing CuPy
    return type(array).__module__.partition(".")[0] == "cupy"


def is_array(value: Any) -> bool:
    """Whether ``value`` is an array of one of the array modules."""
    return isinstance(value, np.ndarray) or (_is_cupy(value) and hasattr(value, "ndim"))


def xp(*arrays: Any) -> ModuleType:
    """The module whose functions take the first of ``arrays``: NumPy, CuPy or the emulator's."""
    kind = type(arrays[0])
    if kind is np.ndarray:
        return np
    if kind is EmulatorArray:
        return array_module
    return load_cupy() if _is_cupy(arrays[0]) else np


def xp_of(place: Device) -> ModuleType:
    """The module that makes arrays on the device ``place``."""
    if place.type == "cpu":
        return np
    return array_module if place.type == "emulator" else load_cupy()


def device_of(array: Any) -> Device:
    """The device that holds ``array``."""
    if isinstance(array, EmulatorArray):
        return EMULATOR
    return Device("cuda", array.device.id) if _is_cupy(array) else CPU


def to_device(array: Any, place: Device) -> Any:
    """``array`` on the device ``place``: itself if it is there, else a copy."""
    here = device_of(array)
    if here == place or (place == Device("cuda") and here.type == "cuda"):
        return array
    if place.type == "cpu":
        return to_host(array)
    if place.type == "emulator":
        return array_module.asarray(to_host(array))
    cupy = load_cupy()
    with cupy.cuda.Device(place.index):
        return cupy.asarray(array if here.type == "cuda" else to_host(array))


def to_host(array: Any) -> np.ndarray:
    """``array`` as a NumPy array: itself if it is one, else a copy."""
    if isinstance(array, EmulatorArray):
        return np.array(array, order="K", subok=False)
    return array.get() if _is_cupy(array) else array
