"""Layers of 8-bit integers in a graph that spells them out in floats.

``DequantizeLinear(QuantizeLinear(x)) -> Conv or Gemm <- DequantizeLinear(int8 weight)`` is a layer
of integers: it becomes one node of the domain "minidl", which computes in integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from minidl.onnx.package import helper

_KINDS = {"Conv": 4, "Gemm": 2}  # and the dimensions of their weights


def with_layers_of_integers(
    nodes: list[Any], constants: Mapping[str, np.ndarray], outputs: list[str]
) -> list[Any]:
    """The nodes with layers of integers in the place of what spells them out."""
    makers = {name: node for node in nodes for name in node.output}
    layers = [_layer(node, makers, constants) or node for node in nodes]
    return _needed(layers, nodes, outputs)


def _layer(node: Any, makers: Mapping[str, Any], constants: Mapping[str, Any]) -> Any:
    """The layer of integers that a node is, or None."""
    if node.op_type not in _KINDS or node.domain or not _is_plain(node):
        return None
    parameters = _input(node, makers)
    weight = _weight(node, makers, constants)
    if parameters is None or weight is None:
        return None
    bias = [node.input[2]] if len(node.input) > 2 and node.input[2] else []
    made = helper.make_node(
        f"Quantized{node.op_type}", [*parameters, *weight, *bias], node.output, node.name,
        domain="minidl",
    )  # fmt: skip
    if node.op_type == "Conv":
        made.attribute.extend(node.attribute)
    return made


def _is_plain(node: Any) -> bool:
    """Whether it is a convolution of equal pads, or a Gemm that is a linear layer."""
    values = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    if node.op_type == "Gemm":
        alone = values.get("alpha", 1.0) == values.get("beta", 1.0) == 1.0
        return alone and not values.get("transA", 0) and bool(values.get("transB", 0))
    pads = list(values.get("pads", []))
    half = len(pads) // 2
    return pads[:half] == pads[half:] and values.get("auto_pad", b"NOTSET") == b"NOTSET"


def _input(node: Any, makers: Mapping[str, Any]) -> list[str] | None:
    """x, scale and zero point of an input that goes through integers and back."""
    back = makers.get(node.input[0])
    there = makers.get(back.input[0]) if back is not None and len(back.input) == 3 else None
    if there is None or (there.op_type, back.op_type) != ("QuantizeLinear", "DequantizeLinear"):
        return None
    same = list(there.input[1:]) == list(back.input[1:]) and len(there.input) == 3
    return list(there.input) if same else None


def _weight(node: Any, makers: Mapping[str, Any], constants: Mapping[str, Any]) -> list[str] | None:
    """An int8 weight and its scale, if its zero point is 0 and its axis that of the outputs."""
    back = makers.get(node.input[1])
    if back is None or back.op_type != "DequantizeLinear":
        return None
    known = [constants.get(name) for name in back.input]
    weight, scale, zero = (*known, None)[:3]
    if weight is None or scale is None or weight.dtype != np.int8:
        return None
    axis = {a.name: helper.get_attribute_value(a) for a in back.attribute}.get("axis", 1)
    fits = scale.ndim == 0 or (axis == 0 and scale.shape == weight.shape[:1])
    plain = len(back.input) == 2 or (zero is not None and not zero.any())
    if not fits or not plain or weight.ndim != _KINDS[node.op_type]:
        return None
    return list(back.input[:2])


def _needed(layers: list[Any], before: list[Any], outputs: list[str]) -> list[Any]:
    """Without the nodes whose results no one takes any more, though someone did before."""
    used = Counter(name for node in before for name in node.input)
    kept, needed = [], set(outputs)
    for node in reversed(layers):
        if needed.intersection(node.output) or not any(used[name] for name in node.output):
            kept.append(node)
            needed.update(node.input)
    return kept[::-1]
