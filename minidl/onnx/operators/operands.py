"""Operands of elementwise operators: ONNX's have one dtype, minidl's are promoted."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl.backend import result_type
from minidl.compiler.trace import Value
from minidl.onnx.graph import Graph, Operand
from minidl.onnx.package import helper


def cast(graph: Graph, operand: Any, dtype: np.dtype) -> Operand:
    """A value or number in ``dtype``."""
    if not isinstance(operand, Value):
        return np.asarray(operand).astype(dtype)
    if graph.dtype(operand) == dtype:
        return operand
    return graph.add("Cast", [operand], to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def promoted(graph: Graph, *operands: Any) -> list[Operand]:
    """Operands in their common dtype."""
    known = (each.array if isinstance(each, Value) else each for each in operands)
    dtype = result_type(*known)
    return [cast(graph, each, dtype) for each in operands]


def along_channels(graph: Graph, values: Any, ndim: int) -> str:
    """One value per channel, in a shape that broadcasts against (N, C, ...)."""
    return graph.add("Reshape", [values, graph.integers((-1,) + (1,) * (ndim - 2))])
