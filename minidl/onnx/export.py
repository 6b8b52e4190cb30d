"""Writing a model as an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import minidl.onnx.operators
from minidl.compiler.trace import Value
from minidl.files import write_atomically
from minidl.nn import Module, Parameter
from minidl.onnx.errors import OnnxError
from minidl.onnx.graph import Graph
from minidl.onnx.metadata import Metadata
from minidl.onnx.package import checker, helper, require_onnx
from minidl.onnx.recording import Batch, Recording, record
from minidl.tensor import Tensor

OPSET = 21
"""The version of ONNX's operators that is written: the first with today's GroupNormalization."""

_IR_VERSION = 10  # what came with that opset
_LIMIT = 2**31 - 1  # of a protobuf message


def export(
    model: Module,
    example: Tensor | Sequence[Tensor],
    path: str | os.PathLike,
    *,
    input_names: Sequence[str] = ("input",),
    output_names: Sequence[str] = ("output",),
    metadata: Metadata | None = None,
) -> None:
    """Write ``model`` to an ONNX file (opset 21), atomically.

    The model runs on the example in evaluation mode, and what it computes is what is written:
    for batches of any size, with the names of its ``state_dict``.

    Parameters
    ----------
    model : Module
        On the CPU.
    example : Tensor or sequence of Tensor
        What it takes, of any values; the first dimension is the batch.
    path : path-like
        The file.
    input_names, output_names : sequence of str
        One for each.
    metadata : Metadata, optional
        Classes, preprocessing and the like, kept in the file.

    Raises
    ------
    UnsupportedOperator
        Naming an operator that has no counterpart, and the line that called it.
    OnnxError
        If what the model does depends on values, or on the batch's size in odd ways.
    ImportError
        Without the package onnx.
    OSError
        If the file cannot be written; one that was there is left as it was.
    """
    write_atomically(
        path, to_bytes(model, example, input_names, output_names, metadata), "the model"
    )


def to_bytes(
    model: Module,
    example: Tensor | Sequence[Tensor],
    input_names: Sequence[str] = ("input",),
    output_names: Sequence[str] = ("output",),
    metadata: Metadata | None = None,
) -> bytes:
    """What `export` writes."""
    require_onnx()
    example = [example] if isinstance(example, Tensor) else list(example)
    recording = _recorded(model, example)
    _check_names("input", input_names, recording.inputs)
    _check_names("output", output_names, recording.outputs)
    state = {id(tensor): name for name, tensor in _tensors(model)}
    names = dict(zip(recording.inputs, input_names))
    names.update((value, _name(value, state)) for value in recording.held if _name(value, state))
    graph = Graph(recording, names)
    graph.write(output_names)
    metadata = metadata or Metadata()
    learnt = {name for name, tensor in _tensors(model) if isinstance(tensor, Parameter)}
    metadata.trainable = sorted(learnt.intersection(graph.initializers))
    proto = _proto(graph, input_names, output_names, metadata)
    if proto.ByteSize() > _LIMIT:
        raise OnnxError(f"the model takes {proto.ByteSize()} bytes, an ONNX file holds {_LIMIT}")
    checker.check_model(proto, full_check=True)
    return proto.SerializeToString()


def _recorded(model: Module, example: list[Tensor]) -> Recording:
    """A run of the model in evaluation mode, after which its modes are as they were."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        return record(model, example)
    finally:
        for module, training in modes:
            module.training = training


def _tensors(model: Module) -> list[tuple[str, Tensor]]:
    return [*model.named_parameters(), *model.named_buffers()]


def _name(value: Value, state: dict[int, str]) -> str | None:
    return next((state[id(t)] for t in value.tensors if id(t) in state), None)


def _check_names(what: str, names: Sequence[str], values: list[Value]) -> None:
    if len(set(names)) != len(values) or len(names) != len(values):
        raise OnnxError(f"the model has {len(values)} {what}s, their names are {list(names)}")


def _proto(
    graph: Graph, input_names: Sequence[str], output_names: Sequence[str], metadata: Metadata
) -> Any:
    recording = graph.recording
    proto = helper.make_graph(
        graph.nodes,
        "minidl",
        [_described(graph, *pair) for pair in zip(input_names, recording.inputs)],
        [_described(graph, *pair) for pair in zip(output_names, recording.outputs)],
        list(graph.initializers.values()),
    )
    model = helper.make_model(
        proto,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="minidl",
        producer_version=minidl.__version__,
    )
    helper.set_model_props(model, metadata.properties())
    return model


def _described(graph: Graph, name: str, value: Value) -> Any:
    """An input or output: its name, dtype and shape."""
    dtype = helper.np_dtype_to_tensor_dtype(graph.dtype(value))
    shape = [_size(size) for size in graph.shape(value)]
    return helper.make_tensor_value_info(name, dtype, shape)


def _size(size: int | Batch) -> int | str:
    if not isinstance(size, Batch):
        return size
    return "batch" if size.factor == 1 else f"{size.factor}*batch"
