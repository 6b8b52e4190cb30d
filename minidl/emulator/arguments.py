"""A kernel's arguments: from Python to the bytes that the kernel reads."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.array_utils import byte_bounds


class Extent(NamedTuple):
    """Memory that a kernel may touch, and where it knows it from."""

    begin: int
    end: int
    writable: bool
    name: str
    array: tuple | None = None  # dtype, shape, whether it is contiguous


class Parameter(NamedTuple):
    """What a kernel expects: a size in bytes and 'p', 'i', 'f' or 's'.

    They stand for pointer, integer, floating-point number and structure.
    """

    size: int
    kind: str

    def __str__(self) -> str:
        kinds = {"p": "a pointer", "i": "an integer", "f": "a number", "s": "a structure"}
        return kinds[self.kind] + ("" if self.kind == "p" else f" of {self.size} bytes")


_exposed: dict[tuple, tuple[Any, Extent]] = {}


def address(array: np.ndarray) -> int:
    """Where ``array`` begins in memory, for a structure that a kernel gets.

    A checked kernel may then touch the array, as long as its memory lives.
    """
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    begin = array.__array_interface__["data"][0]
    key = begin, array.shape, array.strides, array.dtype
    if array.size and key not in _exposed:
        forget = weakref.ref(owner, lambda _: _exposed.pop(key, None))
        name = f"an array of {array.dtype}{list(array.shape)} given by its address"
        _exposed[key] = forget, _extent(array, name)
    return begin


def exposed() -> list[Extent]:
    """The living arrays whose address was taken."""
    return [extent for _, extent in list(_exposed.values())]


def _extent(array: np.ndarray, name: str) -> Extent:
    # not the array itself: that would keep its memory alive
    layout = array.dtype, array.shape, array.flags.c_contiguous
    return Extent(*byte_bounds(array), array.flags.writeable, name, layout)


def marshalled(
    kernel: str, parameters: Sequence[Parameter], arguments: Sequence[Any]
) -> list[bytes]:
    """The arguments' bytes; TypeError if they do not fit the parameters."""
    if len(arguments) != len(parameters):
        raise TypeError(f"{kernel} takes {len(parameters)} arguments, not {len(arguments)}")
    data = []
    for number, (parameter, argument) in enumerate(zip(parameters, arguments), 1):
        if _is_memory(argument):
            given = Parameter(8, "p")
            data.append(argument.__array_interface__["data"][0].to_bytes(8, "little"))
        else:
            given, value = _by_value(kernel, number, argument)
            data.append(value)
        if given != parameter and not (given.kind == "s" and given.size == parameter.size):
            raise TypeError(
                f"{kernel}: parameter {number} is {parameter}, the argument is {given}: "
                f"{_shown(argument)}"
            )
    return data


def extents_of(arguments: Sequence[Any]) -> list[Extent]:
    """The memory of the arrays among a kernel's arguments."""
    return [
        _extent(argument, f"argument {number} ({_shown(argument)})")
        for number, argument in enumerate(arguments, 1)
        if _is_memory(argument) and argument.size
    ]


def _is_memory(argument: Any) -> bool:
    return isinstance(argument, np.ndarray) and not _is_structure(argument)


def _is_structure(argument: np.ndarray) -> bool:
    return argument.dtype.kind == "V" and argument.size == 1


def _by_value(kernel: str, number: int, argument: Any) -> tuple[Parameter, bytes]:
    if argument is None:
        return Parameter(8, "p"), bytes(8)
    if isinstance(argument, bool | int | float | np.generic) or (
        isinstance(argument, np.ndarray) and _is_structure(argument)
    ):
        value = np.asarray(argument)  # Python's int has 64 bits, and its float
        kind = {"f": "f", "c": "s", "V": "s"}.get(value.dtype.kind, "i")
        return Parameter(value.dtype.itemsize, kind), value.tobytes()
    raise TypeError(f"{kernel}: argument {number} has type {type(argument).__name__}")


def _shown(argument: Any) -> str:
    if isinstance(argument, np.ndarray):
        return f"{argument.dtype}{list(argument.shape)}"
    return f"{argument!r} ({type(argument).__name__})"
