"""Launches: the smallest steps of a computation, and how a plan gets hold of them.

A kernel is a Python function around one or a few launches: it checks and arranges its
arguments, allocates its result, and launches compiled code on it. For arrays of the same
shapes all but the launches comes out the same every time. So `minidl.compile` runs a kernel
once, notes its launches with the very arrays they got, and from then on repeats the launches
alone.

That is right for a kernel that keeps these rules, which it declares with ``@planned``:

- it allocates with `empty`, and all that it writes, it writes in launches: compiled kernels,
  or any function of arrays that is called through `launch`, such as ``launch(np.copyto, a, b)``;
- it makes an array contiguous with `contiguous`, and computes elementwise with `computed`;
- which launches it makes, and with which numbers, depends on shapes, dtypes and options
  alone, never on values. While a plan is laid out they are noted and not made, and its memory
  holds nothing yet.

A kernel that does not is called as a whole in every repetition.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minidl.backend import is_array, xp

Allocate = Callable[[tuple[int, ...], Any, Any], Any]
"""Makes an array of a shape and dtype, on the device of another array."""


class _Tape(threading.local):
    """Where this thread's launches are noted; nowhere unless a plan or a profile is being made.

    ``note(function, args)`` is called before a launch. It may return a function, which is called
    when the launch has ended.
    """

    note: Callable[[Callable, tuple], Callable[[], None] | None] | None = None
    allocate: Allocate | None = None
    dry = False  # whether launches are noted and not made
    complete = True  # whether all kernels that ran were planned ones

    def spoil(self) -> None:
        """An unplanned kernel is about to run: `Unplanned` if there is nothing to run it on."""
        self.complete = False
        if self.dry:
            raise Unplanned


class Unplanned(Exception):
    """A kernel cannot be planned, and cannot run either where launches are noted only."""


tape = _Tape()

running: list[None] = []
"""An entry for each block, of any thread, whose launches are noted.

Where there is none nobody asks for the thread's tape, which takes as long as ten numbers.
"""


class Notes:
    """The launches within a block of `noting`, and whether they are all that happened."""

    def __init__(self) -> None:
        self.launches: list[tuple[Callable, tuple]] = []
        self.complete = True


@contextlib.contextmanager
def noting(allocate: Allocate, dry: bool = False) -> Iterator[Notes]:
    """Within the block, this thread's launches are noted and `empty` is ``allocate``.

    With ``dry`` they are not made. Then an unplanned kernel raises `Unplanned`.
    """
    notes, previous = Notes(), vars(tape).copy()
    tape.note = lambda function, args: notes.launches.append((function, args))
    tape.allocate, tape.dry, tape.complete = allocate, dry, True
    running.append(None)
    try:
        yield notes
    finally:
        running.pop()
        notes.complete = tape.complete
        vars(tape).clear()
        vars(tape).update(previous)


@contextlib.contextmanager
def told(note: Callable[[Callable, tuple], Callable[[], None] | None]) -> Iterator[None]:
    """Within the block, this thread's launches are made, and ``note`` is told of each before."""
    previous, tape.note = tape.note, note
    running.append(None)
    try:
        yield
    finally:
        running.pop()
        tape.note = previous


def is_planned() -> bool:
    """Whether what is launched now is to be repeated: values may then decide nothing."""
    return bool(running) and tape.allocate is not None


def planned(kernel: Callable) -> Callable:
    """Declare that ``kernel`` keeps the rules above."""
    kernel.planned = True
    return kernel


def launch(function: Callable, *args: Any) -> None:
    """Call ``function``, which writes its results into some of ``args``."""
    if running and tape.note is not None:
        noted(function, args, function, args)
    else:
        function(*args)


def noted(function: Callable, args: tuple, run: Callable, run_args: tuple) -> None:
    """Note the launch ``function(*args)``, and make it by ``run(*run_args)``."""
    ended = tape.note(function, args)
    if not tape.dry:
        run(*run_args)
    if ended is not None:
        ended()


def empty(shape: int | tuple[int, ...], dtype: Any, like: Any = None) -> Any:
    """An array with arbitrary contents, from the memory of the plan if one is being made.

    It lies on the device of the array ``like``, without one on the host.
    """
    if running and tape.allocate is not None:
        return tape.allocate(shape, dtype, like)
    return np.empty(shape, dtype) if like is None else xp(like).empty(shape, dtype)


def contiguous(array: Any, dtype: Any = None) -> Any:
    """``array`` in row-major order and of ``dtype``: itself if it is so already, else a copy."""
    if array.flags.c_contiguous and (dtype is None or array.dtype == dtype):
        return array
    copy = empty(array.shape, array.dtype if dtype is None else np.dtype(dtype), array)
    launch(xp(array).copyto, copy, array, "unsafe")
    return copy


def computed(function: Callable, *operands: Any, into: Callable | None = None) -> Any:
    """``function(*operands)``, a function of each element, as a launch if a plan is being made.

    The launch is ``into(*operands, result)``; a universal function is its own ``into``.
    """
    if tape.allocate is None:
        return function(*operands)
    arrays = [operand for operand in operands if is_array(operand)]
    if not arrays:
        return function(*operands)
    few = (xp(o).empty(0, o.dtype) if is_array(o) else o for o in operands)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    result = empty(shape, function(*few).dtype, arrays[0])
    launch(function if into is None else into, *operands, result)
    return result


def choose(condition: Any, first: Any, second: Any, result: Any) -> None:
    """``result`` becomes ``where(condition, first, second)``."""
    xp(result).copyto(result, second)
    xp(result).copyto(result, first, where=condition)


def unplanned(function: Callable, *args: Any) -> Any:
    """Call a function that keeps none of the rules: the kernel is then repeated as a whole."""
    tape.spoil()
    return function(*args)
