"""Devices: where an array lives, how it gets elsewhere, and whose functions take it."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from minidl.backend.cupy import CudaUnavailable, load_cupy
from minidl.backend.memory import memory_errors
from minidl.backend.transfer import to_gpu
from minidl.emulator import EmulatorArray, array_module


@dataclass(frozen=True)
class Device:
    """A place where arrays live: ``Device("cpu")``, ``Device("cuda", 1)``.

    ``with device:`` makes it the default for new tensors of this thread.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{index})"

    def __enter__(self) -> Device:
        _defaults.stack.append(self)
        return self

    def __exit__(self, *exception: object) -> None:
        _defaults.stack.pop()


CPU = Device("cpu")
EMULATOR = Device("emulator")


def device(name: str | int | Device, index: int | None = None) -> Device:
    """The device called ``name``: "cpu", "cuda", "cuda:1" or "emulator"; 1 is "cuda:1".

    ``device("cuda", 1)`` is "cuda:1" too, and "cuda" the current GPU. ValueError for any
    other name; whether there is such a GPU shows when something is put on it.
    """
    if isinstance(name, Device):
        return name
    if name in ("cpu", "emulator"):
        return CPU if name == "cpu" else EMULATOR
    kind, colon, number = (f"cuda:{name}" if isinstance(name, int) else str(name)).partition(":")
    if kind == "cuda" and (number.isdecimal() if colon else not number):
        return Device("cuda", int(number) if colon else index)
    raise ValueError(f"there is no device {name!r}; there are 'cpu', 'cuda[:N]' and 'emulator'")


class _Defaults(threading.local):
    """This thread's default devices, those of its ``with`` blocks inside out."""

    def __init__(self) -> None:
        self.stack = [CPU]


_defaults = _Defaults()


def get_default_device() -> Device:
    """The device of new tensors of this thread that are not told another: the CPU at first."""
    return _defaults.stack[-1]


def set_default_device(place: Device | str | int | None) -> None:
    """Have new tensors of this thread lie on ``place``; None stands for the CPU."""
    _defaults.stack[-1] = CPU if place is None else device(place)


def device_or_default(place: Device | str | int | None) -> Device:
    """What ``device=`` of a function that makes tensors stands for."""
    return _defaults.stack[-1] if place is None else device(place)


def _is_cupy(array: Any) -> bool:
    return _is_of_cupy(type(array).__module__)  # asked of foreign arrays only


@functools.cache  # by name: classes would be kept alive
def _is_of_cupy(module: str) -> bool:
    # without importing CuPy
    return module.partition(".")[0] == "cupy"


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
    return load_cupy() if _is_of_cupy(kind.__module__) else np


def xp_of(place: Device) -> ModuleType:
    """The module that makes arrays on the device ``place``."""
    if place.type == "cpu":
        return np
    return array_module if place.type == "emulator" else load_cupy()


def device_of(array: Any) -> Device:
    """The device that holds ``array``."""
    if isinstance(array, EmulatorArray):
        return EMULATOR
    return _gpu(array.device.id) if _is_cupy(array) else CPU


@functools.cache
def _gpu(index: int) -> Device:
    return Device("cuda", index)


def made_on(place: Device, make: Callable[[ModuleType], Any]) -> Any:
    """``make(xp)`` with the array module of ``place``, while that is the current GPU."""
    if place.type == "cpu":
        return make(np)
    with _current(place), memory_errors(f"a new array on {place}"):
        return make(xp_of(place))


def _current(place: Device) -> Any:
    if place.index is None:
        return contextlib.nullcontext()
    cuda = load_cupy().cuda
    count = cuda.runtime.getDeviceCount()
    if place.index >= count:
        raise CudaUnavailable(f"there is no {place}: the GPUs of this machine are {count}")
    return cuda.Device(place.index)


def to_device(array: Any, place: Device, non_blocking: bool = False) -> Any:
    """``array`` on the device ``place``: itself if it is there, else a copy.

    With ``non_blocking`` a copy of pinned memory to a GPU goes on while the host does.
    """
    here, place = device_of(array), indexed(place)
    if here == place:
        return array
    if place.type == "cpu":
        return to_host(array)
    with _current(place), memory_errors(f"a copy to {place}"):
        if place.type == "emulator":
            return array_module.asarray(to_host(array))
        return array.copy() if here.type == "cuda" else to_gpu(to_host(array), non_blocking)


def is_current(place: Device) -> bool:
    """Whether ``place`` is where kernels are launched now: the current GPU, or no GPU at all."""
    return place.index is None or place.index == load_cupy().cuda.runtime.getDevice()


def indexed(place: Device) -> Device:
    """``place``, the current GPU by its number."""
    if place.type != "cuda" or place.index is not None:
        return place
    return _gpu(load_cupy().cuda.runtime.getDevice())


def to_host(array: Any) -> np.ndarray:
    """``array`` as a NumPy array: itself if it is one, else a copy."""
    if isinstance(array, EmulatorArray):
        return np.array(array, order="K", subok=False)
    return array.get() if _is_cupy(array) else array
