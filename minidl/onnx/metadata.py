"""What a model file says beyond the graph: classes, preprocessing, results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from minidl.onnx.errors import OnnxError

_PREFIX = "minidl."


@dataclass
class Metadata:
    """What users of a model need to know; empty where the file does not say.

    Attributes
    ----------
    classes : list of str
        Names, in the order of the outputs.
    mean, std : list of float
        By channel: inputs are ``(x - mean) / std`` of values from 0 to 1.
    layout : str
        The order of the input's dimensions.
    trainable : list of str or None
        Names of the tensors that can be learnt; None if the file does not say.
    results : dict
        What is known of the model, such as its accuracy.
    """

    classes: list[str] = field(default_factory=list)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    layout: str = "NCHW"
    trainable: list[str] | None = None
    results: dict[str, Any] = field(default_factory=dict)

    def properties(self) -> dict[str, str]:
        """As the strings that an ONNX file holds."""
        facts = asdict(self)
        return {_PREFIX + name: json.dumps(value) for name, value in facts.items()}


_KINDS = {
    "classes": (list, str),
    "mean": (list, int | float),
    "std": (list, int | float),
    "layout": (str, None),
    "trainable": (list, str),
    "results": (dict, None),
}


def from_properties(properties: Mapping[str, str]) -> Metadata:
    """The metadata in a file's strings; OnnxError if they are not what `properties` writes."""
    facts = {}
    for each in fields(Metadata):
        text = properties.get(_PREFIX + each.name)
        if text is not None:
            facts[each.name] = _read(each.name, text)
    return Metadata(**facts)


def _read(name: str, text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OnnxError(f"metadata {name!r} is not JSON: {error}") from None
    kind, items = _KINDS[name]
    if value is None and name == "trainable":
        return None
    if not isinstance(value, kind) or (items and not all(isinstance(x, items) for x in value)):
        raise OnnxError(f"metadata {name!r} is no {kind.__name__} of the right things: {text[:80]}")
    return value
