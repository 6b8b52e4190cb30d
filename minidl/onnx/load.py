"""Reading an ONNX file as a module.

The file is looked at in full before anything is computed: its size, that it is a valid model,
that every node has a reader which understands its attributes.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from minidl.nn import Parameter
from minidl.onnx.errors import OnnxError, UnsupportedOperator
from minidl.onnx.integers import with_layers_of_integers
from minidl.onnx.metadata import from_properties
from minidl.onnx.module import OnnxModule, Step
from minidl.onnx.node import Node, name_of
from minidl.onnx.package import checker, numpy_helper, onnx, require_onnx
from minidl.onnx.registry import readers
from minidl.ops import tensor as tensor_of

_OPSETS = range(13, 22)
_NODES = 100_000
_STATISTICS = {"BatchNormalization": (3, 4)}  # inputs that are moved, not learnt


def load(path: str | os.PathLike) -> OnnxModule:
    """The module in an ONNX file, in evaluation mode.

    Parameters
    ----------
    path : path-like
        A file of opset 13 to 21, with the tensors in it and not beside it.

    Returns
    -------
    OnnxModule
        Its parameters are those that the file says can be learnt, or all floating-point
        tensors if it does not say; ``module.metadata`` is what else the file says.

    Raises
    ------
    UnsupportedOperator
        Naming a node of a type that minidl does not read.
    OnnxError
        If the file is no ONNX model, a damaged one, or one that minidl cannot compute.
    ImportError
        Without the package onnx.
    OSError
        If there is no such file.
    """
    with open(path, "rb") as file:
        content = file.read()
    try:
        return from_bytes(content)
    except OnnxError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error.__cause__


def from_bytes(content: bytes) -> OnnxModule:
    """The module in the content of an ONNX file; see `load`."""
    require_onnx()
    try:
        return _Loader(_parsed(content)).module.eval()
    except UnicodeDecodeError as error:  # protobuf hands on any bytes as text
        raise OnnxError(f"damaged: a text in it is not UTF-8: {error}") from None


def _parsed(content: bytes) -> Any:
    """The model, checked; OnnxError for anything else."""
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(content)
    except Exception as error:  # of protobuf's own making, and its kind depends on the version
        raise OnnxError(f"no ONNX model: {error}") from error
    for tensor in proto.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise OnnxError(f"tensor {tensor.name!r} lies in another file, which is not read")
    if len(proto.graph.node) > _NODES:
        raise OnnxError(f"{len(proto.graph.node)} nodes; {_NODES} at most are read")
    try:
        checker.check_model(content)
    except Exception as error:
        raise OnnxError(f"no valid ONNX model: {str(error).strip()[:500]}") from error
    versions = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    if len(versions) != 1 or versions[0] not in _OPSETS:
        raise OnnxError(
            f"opset {versions} of ONNX's operators; {_OPSETS[0]} to {_OPSETS[-1]} are read"
        )
    return proto


class _Loader:
    """Makes the module of a checked model."""

    def __init__(self, proto: Any):
        self.graph = proto.graph
        self.module = OnnxModule()
        self.module.metadata = from_properties({p.key: p.value for p in proto.metadata_props})
        self.constants = {t.name: _array(t) for t in self.graph.initializer}
        self.slots: dict[str, int] = {}
        self.read_inputs()
        protos = [each for each in self.graph.node if not self.is_constant(each)]
        outputs = [output.name for output in self.graph.output]
        protos = with_layers_of_integers(protos, self.constants, outputs)
        nodes = [self.node(each) for each in protos]
        steps = [self.step(*each) for each in nodes]
        results = [self.slot(name) for name in outputs]
        self.own_tensors(nodes)
        self.module.output_names = outputs
        self.module.plan(_freed(steps, results), results, len(self.slots))

    def slot(self, name: str) -> int:
        return self.slots.setdefault(name, len(self.slots)) if name else -1

    def read_inputs(self) -> None:
        for value in self.graph.input:
            if value.name in self.constants:
                continue
            self.slot(value.name)
            self.module.input_names.append(value.name)
            sizes = value.type.tensor_type.shape.dim
            self.module.input_shapes.append(
                [each.dim_value if each.HasField("dim_value") else None for each in sizes]
            )

    def is_constant(self, proto: Any) -> bool:
        """Whether a node is a constant, which is then known."""
        if proto.op_type != "Constant":
            return False
        node = Node(proto, {}, self.module)
        self.constants[proto.output[0]] = _array(node.attribute("value"))
        return True

    def node(self, proto: Any) -> tuple[Node, Any]:
        """A node and what computes it."""
        kind = f"{proto.domain}.{proto.op_type}" if proto.domain else proto.op_type
        reader = readers.get(kind)
        if reader is None:
            raise UnsupportedOperator(
                f"node {kind} ({name_of(proto)}): minidl reads no such operator"
            )
        node = Node(proto, self.constants, self.module)
        try:
            function = reader(node)
        except (IndexError, TypeError, ValueError, OverflowError) as error:
            if isinstance(error, OnnxError):
                raise
            raise node.refused(f"it cannot be read: {error}") from error
        node.finish()
        return node, function

    def step(self, node: Node, function: Any) -> Step:
        inputs = tuple(map(self.slot, node.passed()))
        outputs = tuple(map(self.slot, node.outputs))
        return Step(function, inputs, outputs, (), next(filter(None, node.outputs), ""))

    def own_tensors(self, nodes: list[tuple[Node, Any]]) -> None:
        """Hand those constants to the module that are passed to steps or returned."""
        statistics = {
            node.inputs[i]
            for node, _ in nodes
            for i in _STATISTICS.get(node.kind, ())
            if i < len(node.inputs)
        }
        trainable = self.module.metadata.trainable
        for name, slot in self.slots.items():
            array = self.constants.get(name)
            if array is None:
                continue
            learnt = array.dtype.kind == "f" and (
                name not in statistics if trainable is None else name in trainable
            )
            tensor = tensor_of(array)  # memory of its own, which nobody else writes
            self.module.hold(slot, name, Parameter(tensor) if learnt else tensor)


def _array(tensor: Any) -> np.ndarray:
    """The tensor's values, of its own; OnnxError for dtypes and sizes that cannot be."""
    try:
        array = np.array(numpy_helper.to_array(tensor))
    except Exception as error:  # of NumPy's or protobuf's making
        raise OnnxError(f"tensor {tensor.name!r} cannot be read: {error}") from error
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise OnnxError(f"tensor {tensor.name!r} is {array.dtype}, which minidl has not")
    return array


def _freed(steps: list[Step], results: list[int]) -> list[Step]:
    """The steps, each with the values that are not needed after it."""
    kept, freed = set(results), []
    for step in reversed(steps):
        used = {i for i in (*step.inputs, *step.outputs) if i >= 0}
        freed.append(step._replace(unused=tuple(sorted(used - kept))))
        kept |= used
    return freed[::-1]
