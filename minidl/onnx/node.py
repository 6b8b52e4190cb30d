"""A node of an ONNX graph as a reader sees it."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.onnx.errors import OnnxError
from minidl.onnx.package import helper

_REQUIRED = object()


def name_of(proto: Any) -> str:
    """What a message calls a node: its name, or without one that of its first output."""
    return proto.name or next(iter(proto.output), "without a name")


class Node:
    """A node, its attributes, and those of its inputs that are constant.

    ``module`` is the module that the node will belong to: a reader that computes otherwise in
    training asks for its ``training``.
    """

    def __init__(self, proto: Any, constants: dict[str, np.ndarray], module: Any):
        self.kind, self.name = proto.op_type, name_of(proto)
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.module = module
        self.constants = constants
        self.taken: set[int] = set()
        self.attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def attribute(self, name: str, default: Any = _REQUIRED) -> Any:
        """An attribute, text decoded; OnnxError if it is missing or of another kind."""
        value = self.attributes.pop(name, default)
        if value is _REQUIRED:
            raise self.refused(f"it misses its attribute {name!r}")
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        plain = default is _REQUIRED or default is None or value is default
        if not plain and not isinstance(value, type(default)):
            raise self.refused(f"its attribute {name!r} is {value!r}")
        return value

    def has(self, i: int) -> bool:
        """Whether it has an input ``i``."""
        return i < len(self.inputs) and bool(self.inputs[i])

    def constant(self, i: int) -> np.ndarray:
        """Input ``i``, which must be known now and will not be passed on."""
        name = self.inputs[i] if self.has(i) else None
        if name not in self.constants:
            raise self.refused(f"its input {i} is computed, and can only be a constant here")
        self.taken.add(i)
        return self.constants[name]

    def integers(self, i: int) -> list[int]:
        """Constant input ``i`` as a list of integers."""
        array = self.constant(i)
        if array.dtype.kind not in "iu":
            raise self.refused(f"its input {i} is {array.dtype}, not integers")
        return array.ravel().tolist()

    def sides(self, dims: int) -> tuple[list[int], list[int]]:
        """What its pads add before and after each of ``dims`` dimensions."""
        auto = self.attribute("auto_pad", "NOTSET")
        pads = self.attribute("pads", [0] * 2 * dims)
        if auto == "VALID":
            pads = [0] * 2 * dims
        elif auto != "NOTSET":
            raise self.refused(f"auto_pad {auto} is not supported")
        if len(pads) != 2 * dims or min(pads) < 0:
            raise self.refused(f"its pads are {pads}")
        return pads[:dims], pads[dims:]

    def passed(self) -> list[str]:
        """The names of the inputs that are passed on, "" for none."""
        return [name for i, name in enumerate(self.inputs) if i not in self.taken]

    def finish(self) -> None:
        """OnnxError if there are attributes that the reader has not taken."""
        if self.attributes:
            raise self.refused(f"its attributes {sorted(self.attributes)} are not supported")

    def refused(self, reason: str) -> OnnxError:
        """The error that this node cannot be read."""
        return OnnxError(f"node {self.kind} ({self.name}): {reason}")
