"""What cannot be written or read: errors that name it, and nothing half done."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import onnx as reference
import pytest
from exported import Calls, floats
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import minidl
from minidl import nn, onnx
from minidl.nn import functional as F


def _refused(function, *inputs, match):
    with pytest.raises(onnx.OnnxError, match=match) as caught:
        onnx.to_bytes(Calls(function), inputs or floats(2, 3))
    return caught.value


def test_an_operator_without_a_counterpart_is_named_with_its_line():
    error = _refused(lambda x: x.cumsum(1), match="cumsum at .*test_onnx_errors")
    assert isinstance(error, onnx.UnsupportedOperator)


def test_training_mode_operators_are_named():
    def forward(x):
        return F.batch_norm(x, None, None, training=True)

    _refused(forward, match="normalize at")


def test_values_that_decide():
    _refused(lambda x: x if x.sum().item() > 0 else -x, match="item")


def test_sizes_that_grow_in_odd_ways():
    _refused(lambda x: x * (x.shape[0] ** 2), match="for 2 samples became 9 for 3")
    _refused(lambda x: x.sum(0, True).expand(x.shape[0], -1), match="batch")
    _refused(lambda x: x if x.shape[0] == 2 else -x, match="something else")


def test_arguments_that_do_not_fit():
    model = nn.Linear(3, 2)
    with pytest.raises(onnx.OnnxError, match="1 inputs"):
        onnx.to_bytes(model, floats(2, 3), ["a", "b"])
    with pytest.raises(onnx.OnnxError, match="1 outputs"):
        onnx.to_bytes(model, floats(2, 3), ["a"], [])
    with pytest.raises(onnx.OnnxError, match="first dimension is the batch"):
        onnx.to_bytes(model, floats(0, 3))


def test_a_model_that_fails_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "model.onnx"
    onnx.export(nn.Linear(3, 2), floats(1, 3), path)
    before = path.read_bytes()
    with pytest.raises(onnx.OnnxError):
        onnx.export(Calls(lambda x: x.cumsum(1)), floats(1, 3), path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["model.onnx"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    path = tmp_path / "model.onnx"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot write the model, No space left"):
        onnx.export(nn.Linear(3, 2), floats(1, 3), path)
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------------- reading


def _file(*nodes, tensors=(), opset=21, outputs=1, inputs=("x",)):
    """A model of these nodes, from float x (batch, 3) to y."""
    described = [helper.make_tensor_value_info(name, 1, ["n", 3]) for name in inputs]
    results = [helper.make_tensor_value_info("y", 1, ["a", "b"])][:outputs]
    graph = helper.make_graph(list(nodes), "g", described, results, list(tensors))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model.SerializeToString()


def _tensor(name, array):
    return numpy_helper.from_array(np.asarray(array), name)


def test_an_unknown_operator_is_named_with_its_node():
    content = _file(helper.make_node("Hardmax", ["x"], ["y"], name="last"))
    with pytest.raises(onnx.UnsupportedOperator, match=r"node Hardmax \(last\)"):
        onnx.from_bytes(content)


def test_unknown_attributes_and_computed_shapes_are_named():
    content = _file(helper.make_node("Cast", ["x"], ["y"], name="odd", to=1, saturate=0))
    assert onnx.from_bytes(content)(floats(2, 3)).shape == (2, 3)
    content = _file(
        helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Reshape", ["x", "s"], ["y"])
    )
    with pytest.raises(onnx.OnnxError, match="Shape"):
        onnx.from_bytes(content)
    content = _file(helper.make_node("Reshape", ["x", "x"], ["y"], name="r"))
    with pytest.raises(onnx.OnnxError, match=r"Reshape \(r\): its input 1 is computed"):
        onnx.from_bytes(content)


def test_other_opsets_are_refused():
    for opset in (7, 12):
        with pytest.raises(onnx.OnnxError, match="13 to 21"):
            onnx.from_bytes(_file(helper.make_node("Relu", ["x"], ["y"]), opset=opset))


def test_tensors_in_other_files_are_not_followed():
    tensor = _tensor("w", np.ones(3, np.float32))
    tensor.ClearField("raw_data")
    tensor.data_location = reference.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../etc/passwd"
    content = _file(helper.make_node("Add", ["x", "w"], ["y"]), tensors=[tensor])
    with pytest.raises(onnx.OnnxError, match="another file"):
        onnx.from_bytes(content)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "model.onnx"
    for content in (b"", b"no model", b"\x00" * 1000, os.urandom(1000)):
        path.write_bytes(content)
        with pytest.raises(onnx.OnnxError, match=r"model\.onnx"):
            onnx.load(path)
    with pytest.raises(FileNotFoundError):
        onnx.load(tmp_path / "missing.onnx")


@pytest.mark.parametrize("text", [b"weight", b"Conv", b"kernel_shape", b"NCHW"])
def test_texts_that_are_no_utf8(text):
    content = onnx.to_bytes(nn.Conv2d(1, 2, 3), floats(1, 1, 5, 5))
    with pytest.raises(onnx.OnnxError):
        onnx.from_bytes(content.replace(text, text[:-1] + b"\xa0"))


def test_metadata_of_the_wrong_kind():
    content = onnx.to_bytes(nn.Linear(3, 2), floats(1, 3))
    proto = reference.load_from_string(content)
    for value in ("[1, 2]", "{", '"cat"', "[" * 100_000):
        next(p for p in proto.metadata_props if p.key == "minidl.classes").value = value
        with pytest.raises(onnx.OnnxError, match="classes"):
            onnx.from_bytes(proto.SerializeToString())


def test_names_that_no_module_can_have_are_changed():
    names = ["a b", "forward", "training", "x.y.forward", "x.y"]
    for name in names:
        tensor = _tensor(name, np.ones(3, np.float32))
        loaded = onnx.from_bytes(
            _file(helper.make_node("Add", ["x", name], ["y"]), tensors=[tensor])
        )
        assert len(list(loaded.parameters())) == 1
        assert loaded(floats(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("nodes", "tensors", "expected"),
    [
        pytest.param(*case, id=case[0][0].op_type + str(i))
        for i, case in enumerate(
            [
                (
                    [helper.make_node("Gemm", ["x", "w", "b"], ["y"], alpha=0.5, beta=2.0)],
                    {"w": np.eye(3, 2), "b": [1.0, 2.0]},
                    lambda x: 0.5 * x @ np.eye(3, 2) + [2, 4],
                ),
                (
                    [helper.make_node("Gemm", ["x", "w"], ["y"], transA=1)],
                    {"w": np.eye(2, 4)},
                    lambda x: x.T @ np.eye(2, 4),
                ),
                (
                    [helper.make_node("Flatten", ["x"], ["y"], axis=0)],
                    {},
                    lambda x: x.reshape(1, -1),
                ),
                ([helper.make_node("Dropout", ["x"], ["y"])], {}, lambda x: x),
                (
                    [
                        helper.make_node("Unsqueeze", ["x", "a"], ["u"]),
                        helper.make_node("Squeeze", ["u", "a"], ["y"]),
                    ],
                    {"a": np.array([1])},
                    lambda x: x,
                ),
                (
                    [helper.make_node("Gather", ["x", "i"], ["y"], axis=1)],
                    {"i": np.array(2)},
                    lambda x: x[:, 2],
                ),
                (
                    [
                        helper.make_node("Unsqueeze", ["x", "a"], ["u"]),
                        helper.make_node("GlobalAveragePool", ["u"], ["y"]),
                    ],
                    {"a": np.array([2, 3])},
                    lambda x: x[:, :, None, None],
                ),
                (
                    [helper.make_node("Clip", ["x", "", "m"], ["y"])],
                    {"m": np.float32(0.5)},
                    lambda x: np.minimum(x, 0.5),
                ),
                (
                    [
                        helper.make_node("Constant", [], ["c"], value=_tensor("", np.float32(3))),
                        helper.make_node("Mul", ["x", "c"], ["y"]),
                    ],
                    {},
                    lambda x: 3 * x,
                ),
            ]
        )
    ],
)
def test_what_other_programs_write(nodes, tensors, expected):
    arrays = {
        name: np.asarray(array, np.float32) if np.asarray(array).dtype == float else array
        for name, array in tensors.items()
    }
    content = _file(*nodes, tensors=[_tensor(*each) for each in arrays.items()])
    x = floats(2, 3)
    found = onnx.from_bytes(content)(x).detach().numpy()
    np.testing.assert_allclose(found, expected(x.numpy()), rtol=1e-6, atol=1e-6)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_files_are_read_or_refused(data):
    """Anything but `OnnxError`, or a result, is a failure: no crash, no other exception."""
    content = bytearray(_SMALL)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["change", "cut", "insert", "end"]))
        if kind == "change":
            content[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del content[at : at + data.draw(st.integers(1, 20))]
        elif kind == "insert":
            content[at:at] = data.draw(st.binary(max_size=8))
        else:
            del content[at:]
        if not content:
            break
    with contextlib.suppress(onnx.OnnxError):
        onnx.from_bytes(bytes(content))


_SMALL = onnx.to_bytes(
    nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
    minidl.zeros(1, 1, 6, 6),
)
