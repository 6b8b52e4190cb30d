"""The Open Inference Protocol's messages: tensors in JSON, or in bytes behind it.

Source: https://github.com/kserve/open-inference-protocol, with the binary tensor data extension,
https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/protocol/extension_binary_data.html
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minidl.serve.errors import RequestError

HEADER = "inference-header-content-length"
_DEPTH = 16  # of lists in JSON


@dataclass
class Inference:
    """A request: the pictures, what its sender calls it, and how the answer shall be sent."""

    pictures: np.ndarray
    id: str | None
    binary: bool


def decode(
    body: bytes, header: str | None, input_name: str, shape: tuple, output_name: str, most: int
) -> Inference:
    """The request in a body.

    Parameters
    ----------
    body : bytes
        JSON, or as many bytes of it as ``header`` says and tensors behind.
    header : str or None
        The value of the header `HEADER`.
    input_name, shape, output_name
        What the model calls its tensors, and the shape of one picture.
    most : int
        Pictures at most.

    Raises
    ------
    RequestError
        400, saying what is wrong.
    """
    text, tensors = _split(body, header)
    request = _json(text)
    inputs = _list(request, "inputs")
    if len(inputs) != 1:
        raise RequestError(400, f"the model has one input, {input_name!r}; got {len(inputs)}")
    (given,) = inputs
    if given.get("name") != input_name:
        raise RequestError(400, f"there is no input {given.get('name')!r}; it is {input_name!r}")
    if given.get("datatype") != "FP32":
        raise RequestError(400, f"datatype must be FP32, got {given.get('datatype')!r}")
    size = _shape(given.get("shape"), shape, most)
    pictures = _numbers(given, tensors, math.prod(size)).reshape(size)
    if not np.isfinite(pictures).all():
        raise RequestError(400, "the input holds NaN or infinity")
    known = request.get("id")
    if known is not None and not isinstance(known, str):
        raise RequestError(400, "id must be a string")
    return Inference(pictures, known, _wants_binary(request, output_name))


def encode(
    request: Inference, model: str, output_name: str, logits: np.ndarray
) -> tuple[bytes, dict[str, str]]:
    """The body of the answer, and its headers."""
    output: dict[str, Any] = {
        "name": output_name,
        "datatype": "FP32",
        "shape": list(logits.shape),
    }
    answer = {"model_name": model, "model_version": "1", "outputs": [output]}
    if request.id is not None:
        answer["id"] = request.id
    if not request.binary:
        output["data"] = logits.ravel().tolist()
        return json.dumps(answer).encode(), {"content-type": "application/json"}
    data = np.ascontiguousarray(logits, "<f4").tobytes()
    output["parameters"] = {"binary_data_size": len(data)}
    text = json.dumps(answer).encode()
    headers = {"content-type": "application/octet-stream", HEADER: str(len(text))}
    return text + data, headers


def _split(body: bytes, header: str | None) -> tuple[bytes, bytes]:
    if header is None:
        return body, b""
    if not (header.isascii() and header.isdigit()) or int(header[:20]) > len(body):
        raise RequestError(400, f"{HEADER} is not the length of the JSON: {header[:40]!r}")
    return body[: int(header)], body[int(header) :]


def _json(text: bytes) -> dict[str, Any]:
    def constant(name: str) -> float:
        raise RequestError(400, f"{name} is no JSON, and no input")

    try:
        request = json.loads(text, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the request is not JSON: {str(error)[:200]}") from None
    if not isinstance(request, dict):
        raise RequestError(400, "the request is not a JSON object")
    return request


def _list(request: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = request.get(name, [])
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise RequestError(400, f"{name} must be a list of objects")
    return value


def _shape(given: Any, shape: tuple, most: int) -> tuple[int, ...]:
    whole = isinstance(given, list) and all(type(each) is int for each in given)
    if not whole or tuple(given[1:]) != shape or not 1 <= given[0] <= most:
        raise RequestError(
            400, f"shape must be [1 to {most}, {', '.join(map(str, shape))}], got {str(given)[:80]}"
        )
    return tuple(given)


def _numbers(given: dict[str, Any], tensors: bytes, count: int) -> np.ndarray:
    """The tensor's numbers, of its ``data`` or of the bytes behind the JSON."""
    parameters = given.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None:
        if type(size) is not int or size != 4 * count or size != len(tensors):
            raise RequestError(
                400, f"binary_data_size must be {4 * count}, and so many bytes behind the JSON"
            )
        return np.frombuffer(tensors, "<f4").astype(np.float32)
    if tensors:
        raise RequestError(400, "there are bytes behind the JSON that no input takes")
    flat = _flat(given.get("data"))
    if len(flat) != count:
        raise RequestError(400, f"data must be {count} numbers, got {len(flat)}")
    try:
        with np.errstate(over="ignore"):
            return np.array(flat, np.float64).astype(np.float32)
    except (OverflowError, ValueError):
        raise RequestError(400, "data holds numbers that are too large") from None


def _flat(data: Any) -> list[float]:
    """Numbers of a list, or of lists in it."""
    level = data
    for _ in range(_DEPTH):
        if not isinstance(level, list):
            break
        if not any(isinstance(each, list) for each in level):
            if any(type(each) not in (int, float) for each in level):
                break
            return level
        if not all(isinstance(each, list) for each in level):
            break
        level = [number for part in level for number in part]
    raise RequestError(400, "data must be a list of numbers, or of such lists")


def _wants_binary(request: dict[str, Any], output_name: str) -> bool:
    """Whether the answer's tensor shall come as bytes."""
    outputs = _list(request, "outputs")
    for output in outputs:
        if output.get("name") != output_name:
            raise RequestError(
                400, f"there is no output {output.get('name')!r}; it is {output_name!r}"
            )
    places = [output.get("parameters") for output in outputs]
    asked = [
        each["binary_data"] for each in places if isinstance(each, dict) and "binary_data" in each
    ]
    everywhere = request.get("parameters")
    if not asked and isinstance(everywhere, dict):
        asked = [everywhere.get("binary_data_output", False)]
    if any(type(each) is not bool for each in asked):
        raise RequestError(400, "binary_data must be true or false")
    return any(asked)
