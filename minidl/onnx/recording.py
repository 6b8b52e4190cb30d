"""A model's computations, with what grows with the batch told from what does not.

The model runs twice, on batches of two sizes, and both runs are recorded. A number that is
the same in both is a constant. One that is a multiple of the batch's size in both is
`Batch`. Anything else cannot be written as a graph for batches of any size.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.autograd import TensorBase, no_grad, observed_by
from minidl.backend import is_array
from minidl.compiler.errors import CaptureError
from minidl.compiler.recorder import Recorder
from minidl.compiler.structure import leaves
from minidl.compiler.trace import Call, Trace, Value
from minidl.nn import Module
from minidl.onnx.errors import OnnxError
from minidl.ops import cat
from minidl.tensor import Tensor


@dataclass(frozen=True)
class Batch:
    """``factor`` times the number of samples in the batch."""

    factor: int


@dataclass
class Recording:
    """One run, as if on a batch of any size.

    Attributes
    ----------
    calls : list of Call
        What was computed; numbers among the arguments may be `Batch`.
    inputs, outputs, held : list of Value
        What the model was given, what it returned, and which tensors it has.
    shapes : dict
        The shape of each value, with `Batch` among the sizes.
    """

    calls: list[Call]
    inputs: list[Value]
    outputs: list[Value]
    held: list[Value]
    shapes: dict[Value, tuple]


def record(model: Module, example: Sequence[Tensor]) -> Recording:
    """Run ``model`` on ``example``, tensors whose first dimension is the batch.

    OnnxError if what it does depends on values, or on the size of the batch in other ways than
    a graph can.
    """
    sizes = {tensor.shape[0] for tensor in example if tensor.ndim}
    if len(sizes) != 1 or not all(tensor.ndim for tensor in example) or sizes == {0}:
        raise OnnxError(
            "the example's first dimension is the batch, equal in all inputs and not 0; got "
            f"shapes {[tuple(tensor.shape) for tensor in example]}"
        )
    (count,) = sizes
    first, second = (_run(model, batch) for batch in (example, list(map(_longer, example))))
    return _Merger(first, second, count).recording()


def _longer(tensor: Tensor) -> Tensor:
    return cat([tensor, tensor[:1]])


def _run(model: Module, example: Sequence[Tensor]) -> Trace:
    inputs = [tensor.detach() for tensor in example]
    recorder = Recorder(inputs, outside=_tensors())
    try:
        with no_grad(), observed_by(recorder):
            result = model(*inputs)
        return recorder.finish(result)
    except CaptureError as error:
        raise OnnxError(f"the model cannot be recorded: {error}") from error


def _tensors() -> list[Tensor]:
    """All tensors that there are: memory of any other is host data made inside the model."""
    kinds = _kinds(TensorBase)
    # a class is known to its objects: to ask for those who refer to it is faster than to ask all
    found = [t for t in gc.get_referrers(*kinds) if type(t) in kinds]
    return [t for t in found if hasattr(t, "array") and hasattr(t, "place")]


def _kinds(cls: type) -> set[type]:
    """A class and all that inherit from it."""
    return {cls}.union(*map(_kinds, cls.__subclasses__()))


class _Merger:
    """Makes one recording of two runs, on ``count`` samples and one more."""

    def __init__(self, first: Trace, second: Trace, count: int):
        self.first, self.second, self.count = first, second, count
        self.line = ""
        self.shapes: dict[Value, tuple] = {}

    def recording(self) -> Recording:
        one, other = self.first, self.second
        if [call.name for call in one.calls] != [call.name for call in other.calls]:
            raise OnnxError("the model computes something else for another size of the batch")
        self.merged(one.inputs, other.inputs)
        calls = [self.call(a, b) for a, b in zip(one.calls, other.calls)]
        self.line = "the result"
        outputs = list(leaves(self.merged(one.result, other.result)))
        if not outputs or not all(isinstance(value, Value) for value in outputs):
            raise OnnxError("the model returns something that is not made of tensors")
        return Recording(calls, one.inputs, outputs, one.held, self.shapes)

    def call(self, one: Call, other: Call) -> Call:
        self.line = f"{one.name} at {one.line}"
        one.args = self.merged(one.args, other.args)
        one.options = self.merged(one.options, other.options)
        self.merged(one.result, other.result)
        return one

    def merged(self, a: Any, b: Any) -> Any:
        """What both are, with `Batch` for numbers that grow with the batch."""
        if isinstance(a, Value) and isinstance(b, Value):
            self.shapes[a] = self.merged(a.layout[0], b.layout[0])
            return a
        if isinstance(a, tuple | list) and type(a) is type(b) and len(a) == len(b):
            parts = [self.merged(x, y) for x, y in zip(a, b)]
            return type(a)(*parts) if hasattr(a, "_fields") else type(a)(parts)
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return {key: self.merged(a[key], b[key]) for key in a}
        return self.number(a, b)

    def number(self, a: Any, b: Any) -> Any:
        whole = type(a) is type(b) is int
        if whole and a != b and a % self.count == 0 and a // self.count * (self.count + 1) == b:
            return Batch(a // self.count)
        same = np.array_equal(a, b) if is_array(a) or is_array(b) else a is b or a == b or a != a
        if not same:
            raise OnnxError(
                f"{self.line}: {a!r} for {self.count} samples became {b!r} for "
                f"{self.count + 1}: a graph for any batch cannot have that"
            )
        return a
