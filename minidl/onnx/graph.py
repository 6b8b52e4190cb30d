"""An ONNX graph in the making: nodes and initializers of a recording's values.

Calls are written from the last to the first, so that only what a result needs is written,
and a writer may reach back over the calls before it, as that of batch norm does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl.backend import is_array
from minidl.compiler.trace import Call, Value
from minidl.onnx.errors import OnnxError, UnsupportedOperator
from minidl.onnx.package import helper, numpy_helper
from minidl.onnx.recording import Batch, Recording
from minidl.onnx.registry import writers

Operand = Value | np.ndarray | str | None
"""A value of the recording, a constant, the name of an output in between, or nothing."""


class Graph:
    """Writes a recording; ``names`` are those of its inputs and of the model's tensors."""

    def __init__(self, recording: Recording, names: dict[Value, str]):
        self.recording = recording
        self.names = dict(names)
        self.nodes: list = []
        self.initializers: dict[str, Any] = {}
        self.makers: dict[Value, Call] = {}
        self.needed: set[Value] = set()
        self.call: Call | None = None
        self.written: list = []  # by the writer that runs, in its order
        for i, call in enumerate(recording.calls):
            for value in call.makes():
                self.makers[value] = call
                self.names.setdefault(value, f"{call.name}_{i}")

    def write(self, outputs: Sequence[str]) -> None:
        """Write all that the recording's results need; they get these names."""
        for value, name in zip(self.recording.outputs, outputs):
            self.nodes.append(helper.make_node("Identity", [self.operand(value)], [name]))
        for call in reversed(self.recording.calls):
            if not self.needed.isdisjoint(call.makes()):
                self.write_call(call)
        self.nodes.reverse()

    def write_call(self, call: Call) -> None:
        """Write one call with the writer of its operator."""
        self.call, self.written = call, []
        writer = writers.get(call.name)
        if writer is None or call.changes:
            raise UnsupportedOperator(f"{call.name} at {call.line} has no counterpart in ONNX")
        writer(self, call.result, *call.args, **call.options)
        self.nodes += reversed(self.written)

    # ----------------------------------------------------------------- what writers call

    def add(
        self, kind: str, inputs: Sequence[Operand], output: Value | None = None, **attributes: Any
    ) -> str:
        """A node; the name of its output, a new one unless ``output`` is a value."""
        name = self.fresh() if output is None else self.names[output]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.no_batch(attributes)
        operands = [self.operand(each) for each in inputs]
        while operands and not operands[-1]:
            operands.pop()
        self.written.append(helper.make_node(kind, operands, [name], **attributes))
        return name

    def fresh(self) -> str:
        """A new name for what is in between."""
        values = [self.names[value] for value in self.call.makes()]
        return f"{values[0]}/{len(self.written)}"

    def operand(self, each: Operand) -> str:
        """The name of an input, which is then needed."""
        if each is None or isinstance(each, str):
            return each or ""
        if is_array(each):
            return self.constant(each)
        if each not in self.makers:
            return self.tensor(each)
        self.needed.add(each)
        return self.names[each]

    def tensor(self, value: Value) -> str:
        """A tensor of the model, or an input."""
        name = self.names.setdefault(value, f"constant_{len(self.names)}")
        if value not in self.recording.inputs and name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(_on_host(value.array), name)
        return name

    def constant(self, array: Any) -> str:
        """An array as an initializer, equal ones once."""
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        if array.size <= 8:
            text = "_".join(map(str, array.ravel().tolist()))
            name = f"{array.dtype}{list(array.shape)}:{text}"
        else:
            name = f"{array.dtype}_{len(self.initializers)}"
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def integers(self, numbers: Sequence[Any]) -> str:
        """int64 numbers, such as a shape, as an initializer."""
        self.no_batch(list(numbers))
        return self.constant(np.array(list(numbers), np.int64))

    def number(self, number: Any, like: Any) -> Operand:
        """An operand that may be a number, as an array of the dtype of ``like``."""
        if isinstance(number, Value):
            return number
        return np.asarray(number, self.dtype(like))

    def shape(self, value: Value) -> tuple:
        """With `Batch` among the sizes."""
        return self.recording.shapes.get(value, value.layout[0])

    def dtype(self, value: Value) -> np.dtype:
        return value.layout[1]

    def made(self, value: Any, *names: str) -> Call | None:
        """The call that made a value, if it was one of these operators."""
        call = self.makers.get(value) if isinstance(value, Value) else None
        return call if call is not None and call.name in names else None

    def no_batch(self, structure: Any) -> None:
        """OnnxError if a number in it depends on the size of the batch."""
        if isinstance(structure, Batch):
            raise self.refused("it takes a number that depends on the size of the batch")
        if isinstance(structure, dict):
            structure = list(structure.values())
        if isinstance(structure, tuple | list):
            for part in structure:
                self.no_batch(part)

    def refused(self, reason: str) -> OnnxError:
        """The error that the call which is being written cannot be."""
        return UnsupportedOperator(f"{self.call.name} at {self.call.line}: {reason}")


def _on_host(array: Any) -> np.ndarray:
    if not isinstance(array, np.ndarray):
        raise OnnxError("the model is not on the CPU: export model.cpu()")
    return np.ascontiguousarray(array)
