"""The messages of the Open Inference Protocol: what is read, what is refused, any bytes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import PICTURES, in_bytes, in_json

from minidl.serve import RequestError, protocol

SHAPE = (3, 32, 32)


def decode(body, header=None, most=8):
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    return protocol.decode(body, header, "input", SHAPE, "logits", most)


def refused(body, header=None, match=""):
    with pytest.raises(RequestError, match=match) as caught:
        decode(body, header)
    assert caught.value.status == 400


def test_numbers_in_json():
    found = decode(in_json(PICTURES, id="seven"))
    np.testing.assert_array_equal(found.pictures, PICTURES)
    assert found.id == "seven" and not found.binary
    nested = in_json(PICTURES)
    nested["inputs"][0]["data"] = PICTURES.tolist()
    np.testing.assert_array_equal(decode(nested).pictures, PICTURES)


def test_numbers_in_bytes():
    body, headers = in_bytes(PICTURES)
    found = decode(body, headers["Inference-Header-Content-Length"])
    np.testing.assert_array_equal(found.pictures, PICTURES)
    assert found.binary


@pytest.mark.parametrize("binary", [False, True])
def test_answers(binary):
    request = protocol.Inference(PICTURES, "seven", binary)
    logits = np.arange(6, dtype=np.float32).reshape(3, 2)
    body, headers = protocol.encode(request, "net", "logits", logits)
    size = int(headers.get(protocol.HEADER, len(body)))
    answer = json.loads(body[:size])
    assert (answer["model_name"], answer["id"]) == ("net", "seven")
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", [3, 2])
    data = np.frombuffer(body[size:], "<f4") if binary else np.array(output["data"], np.float32)
    np.testing.assert_array_equal(data, logits.ravel())


def test_which_outputs_come_as_bytes():
    body = in_json(PICTURES, outputs=[{"name": "logits", "parameters": {"binary_data": True}}])
    assert decode(body).binary
    body["parameters"] = {"binary_data_output": True}
    body["outputs"][0]["parameters"]["binary_data"] = False
    assert not decode(body).binary
    refused(in_json(PICTURES, outputs=[{"name": "other"}]), match="no output 'other'")
    refused(in_json(PICTURES, parameters={"binary_data_output": 3}), match="true or false")


def test_what_is_refused():
    refused(b"", match="not JSON")
    refused(b"[]", match="not a JSON object")
    refused(b"[" * 100_000, match="not JSON")
    refused({}, match="one input")
    refused({"inputs": 3}, match="list of objects")
    refused({"inputs": [{"name": "x"}]}, match="no input 'x'")
    for datatype in ("INT8", None, 7):
        body = in_json(PICTURES)
        body["inputs"][0]["datatype"] = datatype
        refused(body, match="FP32")
    for shape in ([3, 3, 32], [0, *SHAPE], [9, *SHAPE], [True, *SHAPE], ["3", *SHAPE], None, "x"):
        body = in_json(PICTURES)
        body["inputs"][0]["shape"] = shape
        refused(body, match="shape must be")
    for data in (None, [], "x", [1, [2]], ["1"] * PICTURES.size, [True] * PICTURES.size, [1.0]):
        body = in_json(PICTURES)
        body["inputs"][0]["data"] = data
        refused(body, match="data")
    body = in_json(PICTURES)
    body["inputs"][0]["data"][5] = 10**400
    refused(body, match="too large")
    body["inputs"][0]["data"][5] = 1e39
    refused(body, match="NaN or infinity")
    refused(in_json(PICTURES, id=7), match="id must be")


def test_nan():
    body = in_json(PICTURES)
    body["inputs"][0]["data"][0] = float("nan")
    refused(json.dumps(body).encode(), match="NaN")
    pictures = PICTURES.copy()
    pictures[0, 0, 0, 0] = np.nan
    body, headers = in_bytes(pictures)
    refused(body, headers["Inference-Header-Content-Length"], match="NaN or infinity")


def test_bytes_that_do_not_fit():
    body, headers = in_bytes(PICTURES)
    size = headers["Inference-Header-Content-Length"]
    refused(body[:-1], size, match="binary_data_size")
    refused(body + b"x", size, match="binary_data_size")
    for wrong in ("-1", "x", "9" * 30, "1²", str(len(body) + 1)):
        refused(body, wrong, match="length of the JSON")
    text = json.dumps(in_json(PICTURES)).encode()
    refused(text + b"more", str(len(text)), match="no input takes")


_texts = st.text(max_size=6)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_keys = ["id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data"]
_objects = st.dictionaries(
    st.sampled_from(_keys), _values | st.lists(st.dictionaries(st.sampled_from(_keys), _values))
)


@given(
    st.binary(max_size=300) | _objects.map(lambda each: json.dumps(each).encode()),
    st.none() | st.text(max_size=6) | st.integers(0, 400).map(str),
)
@settings(max_examples=300, deadline=None)
def test_anything_is_read_or_refused(body, header):
    try:
        decode(body, header)
    except RequestError as error:
        assert error.status == 400
