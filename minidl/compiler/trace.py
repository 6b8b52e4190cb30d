"""A trace: the computations of one run of a step, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl.backend import device_of, is_array
from minidl.compiler.structure import leaves


class Value:
    """An array (or number of a generator) of a run, and where it came from.

    Attributes
    ----------
    array : array or int
        What it was in this run, if it is kept. Of an array of the host that was not there before
        only the layout is, and this is another one that has it, with arbitrary contents: a run
        that is recorded frees its memory as ever.
    layout : tuple
        Shape, dtype, strides and device; of a number its type.
    call : Call or None
        What made it; None for an argument of the step and for memory that was there before.
    tensors : list of Tensor
        Whose memory it is, if it was there before.
    """

    __slots__ = ("_array", "call", "layout", "tensors")

    def __init__(self, array: Any, call: Call | None = None, tensors: list | None = None):
        self.layout = layout_of(array) if is_array(array) else (type(array),)
        self.call = call
        self.tensors = tensors or []
        self._array = array if self.tensors or type(array) is not np.ndarray else None

    @property
    def array(self) -> Any:
        if self._array is None:
            self._array = _stand_in(*self.layout[:3])
        return self._array

    @property
    def is_layout(self) -> bool:
        """Whether the layout alone is kept."""
        return self._array is None

    def forget(self) -> None:
        """Keep the layout alone, unless the memory is a tensor's."""
        if not self.tensors:
            self._array = None


def _stand_in(shape: tuple[int, ...], dtype: np.dtype, strides: tuple[int, ...]) -> np.ndarray:
    """A placeholder of this layout: never written to, so that no pages are committed for it."""
    array = np.empty(shape, dtype)
    if array.strides == strides:
        return array
    reaches = [stride * max(size - 1, 0) for size, stride in zip(shape, strides)]
    before = -sum(reach for reach in reaches if reach < 0)
    after = sum(reach for reach in reaches if reach > 0)
    memory = np.empty(before + after + dtype.itemsize, np.uint8)
    return np.ndarray(shape, dtype, memory, before, strides)


def layout_of(array: Any) -> tuple:
    """Shape, dtype, strides and device."""
    return array.shape, array.dtype, array.strides, device_of(array)


@dataclass(eq=False)
class Call:
    """One computation: ``result = function(*args, **options)``, with values for arrays.

    ``changes`` is whether it is made for what it does to its arguments (or to objects), and
    ``line`` where in the user's program it was made.
    """

    name: str
    function: Callable
    args: tuple
    options: dict[str, Any]
    changes: bool
    line: str
    result: Any = None

    def uses(self) -> Iterator[Value]:
        """The values that it takes."""
        for leaf in leaves((self.args, self.options)):
            if isinstance(leaf, Value):
                yield leaf

    def makes(self) -> Iterator[Value]:
        """The values that it makes; one that it was given and returns is not among them."""
        for leaf in leaves(self.result):
            if isinstance(leaf, Value) and leaf.call is self:
                yield leaf


@dataclass(eq=False)
class Trace:
    """A run of a step.

    Attributes
    ----------
    inputs : list of Value
        The arrays of the step's tensors.
    calls : list of Call
        What was computed.
    held : list of Value
        Memory that was there before and that the run used: parameters, buffers.
    result : structure
        What the step returned, with values instead of tensors.
    gradients : list of (Tensor or InputLeaf, Value or None)
        The leaves whose gradient the run set, and what to.
    prior : list of Tensor
        Leaves whose gradient from before the run was computed with.
    accumulated : list of Tensor
        Those of them whose gradient is still that very tensor, with more added to it.
    writes : list of LateWrite
        What the run writes at its end, with the arguments that the result has.
    versions : list
        The version counters of tensors from before that the run changed.
    changed_inputs : list of int
        The positions of inputs that the run changed in place.
    """

    inputs: list[Value]
    calls: list[Call] = field(default_factory=list)
    held: list[Value] = field(default_factory=list)
    result: Any = None
    gradients: list[tuple[Any, Value | None]] = field(default_factory=list)
    prior: list[Any] = field(default_factory=list)
    accumulated: list[Any] = field(default_factory=list)
    writes: list[Any] = field(default_factory=list)
    versions: list[list[int]] = field(default_factory=list)
    changed_inputs: list[int] = field(default_factory=list)

    def close(self) -> None:
        """Take the trace apart, whose calls and values refer to each other."""
        for call in self.calls:
            call.args, call.options, call.result = (), {}, None
        self.calls.clear()

    def forget(self) -> None:
        """Free the arrays of the run."""
        for value in (*self.inputs, *(v for call in self.calls for v in call.makes())):
            value.forget()
