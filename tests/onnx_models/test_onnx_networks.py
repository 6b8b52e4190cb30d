"""Whole networks, those of the examples and drawn ones, through ONNX and back."""

from __future__ import annotations

import json

import numpy as np
import onnx as reference
import pytest
from exported import Calls, by_onnxruntime, check, floats
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn, onnx, optim
from minidl.compress.quantization import (
    disable_observer,
    fold_batch_norm,
    prepare_qat,
    quantize_dynamic,
    quantize_static,
)
from minidl.recipes import RECIPES
from minidl.vision import models


@pytest.mark.parametrize("recipe", RECIPES)
def test_networks_of_the_recipes(recipe):
    model = RECIPES[recipe].model()
    check(model, floats(2, 3, 32, 32), more=[floats(5, 3, 32, 32, seed=1)])


@pytest.mark.parametrize("make", [models.resnet18, models.vgg11])
def test_networks_of_pictures(make):
    model = make(num_classes=10)
    check(model, floats(1, 3, 32, 32), more=[floats(3, 3, 32, 32, seed=1)])


def _activations():
    return st.sampled_from(
        [nn.ReLU(), nn.GELU(), nn.SiLU(), nn.Tanh(), nn.ELU(), nn.LeakyReLU(0.1), nn.Identity()]
    )


class Residual(nn.Module):
    """x + block(x)."""

    def __init__(self, *layers):
        super().__init__()
        self.block = nn.Sequential(*layers)

    def forward(self, x):
        return x + self.block(x)


@st.composite
def networks(draw):
    """Convolutional networks for (N, 3, 12, 12) pictures."""
    channels, layers = 3, []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.sampled_from([2, 4, 6]))
        kernel = draw(st.sampled_from([1, 3]))
        layers += [
            nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=draw(st.booleans()))
        ]
        layers += draw(
            st.sampled_from(
                [[], [nn.BatchNorm2d(width)], [nn.GroupNorm(2, width)], [nn.Dropout(0.5)]]
            )
        )
        layers.append(draw(_activations()))
        if draw(st.booleans()):
            inner = nn.Conv2d(width, width, 3, padding=1, groups=draw(st.sampled_from([1, 2])))
            layers.append(Residual(inner, draw(_activations())))
        channels = width
    layers.append(draw(st.sampled_from([nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.Identity()])))
    layers += [nn.AdaptiveAvgPool2d(draw(st.sampled_from([1, 2, 5]))), nn.Flatten()]
    model = nn.Sequential(*layers)
    features = model(minidl.zeros(1, 3, 12, 12)).shape[1]
    model.append(nn.LayerNorm(features) if draw(st.booleans()) else nn.Identity())
    return model.append(nn.Linear(features, 4))


@given(networks(), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_drawn_networks(model, batch):
    for tensor in model.buffers():  # statistics as after some training
        if tensor.dtype.kind == "f":
            tensor.copy_(tensor + 0.5)
    check(model, floats(batch, 3, 12, 12), more=[floats(4, 3, 12, 12, seed=1)], tolerance=3e-5)


def test_names_are_kept():
    model = RECIPES["fast"].model()
    content = onnx.to_bytes(model, floats(1, 3, 32, 32), ["pictures"], ["logits"])
    proto = reference.load_from_string(content)
    assert [each.name for each in proto.graph.input] == ["pictures"]
    assert [each.name for each in proto.graph.output] == ["logits"]
    assert proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert proto.opset_import[0].version >= 17
    loaded, own = onnx.from_bytes(content), model.state_dict()
    for name, tensor in loaded.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), own[name].numpy())
    assert set(own) - set(loaded.state_dict()) == {
        name for name in own if name.endswith("num_batches_tracked")
    }


def test_metadata_is_kept():
    metadata = onnx.Metadata(["cat", "dog"], [0.5], [0.25], "NCHW", results={"accuracy": 0.75})
    content = onnx.to_bytes(nn.Linear(3, 2), floats(1, 3), metadata=metadata)
    again = onnx.from_bytes(content).metadata
    assert again == metadata
    assert again.trainable == ["bias", "weight"]
    facts = {p.key: json.loads(p.value) for p in reference.load_from_string(content).metadata_props}
    assert facts["minidl.classes"] == ["cat", "dog"]


def test_a_model_that_was_read_trains_as_the_original_does():
    model = RECIPES["fast"].model()
    loaded = onnx.from_bytes(onnx.to_bytes(model, floats(2, 3, 32, 32)))
    losses = []
    for each in (model, loaded):
        each.train()
        optimizer = optim.SGD(each.parameters(), lr=0.1, momentum=0.9)
        for i in range(3):
            optimizer.zero_grad()
            out = each(floats(8, 3, 32, 32, seed=i))
            loss = nn.functional.cross_entropy(out, minidl.arange(8))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    np.testing.assert_allclose(losses[:3], losses[3:], rtol=1e-5)
    ours, theirs = model.state_dict(), loaded.state_dict()
    for name, tensor in theirs.items():  # statistics have moved alike
        np.testing.assert_allclose(tensor.numpy(), ours[name].numpy(), rtol=1e-3, atol=1e-4)
    assert losses[0] != losses[1]


def test_frozen_parameters_and_statistics_are_not_learnt():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    loaded = onnx.from_bytes(onnx.to_bytes(model, floats(4, 3)))
    assert {name for name, _ in loaded.named_parameters()} == {
        name for name, _ in model.named_parameters()
    }
    assert {name for name, _ in loaded.named_buffers()} == {"0.running_mean", "0.running_var"}


def test_several_inputs_and_outputs():
    def both(x, y):
        return x @ y.transpose(1, 2), x * 2

    content = check(Calls(both), floats(2, 3, 4), floats(2, 5, 4, seed=1))
    loaded = onnx.from_bytes(content)
    assert loaded.input_names == ["in0", "in1"]
    assert loaded.input_shapes == [[None, 3, 4], [None, 5, 4]]
    with pytest.raises(TypeError, match="in1"):
        loaded(floats(2, 3, 4))


def test_an_input_that_is_an_output():
    check(Calls(lambda x: (x, x + 1)), floats(2, 3))


def test_tensors_of_the_model_that_no_module_owns():
    scale = floats(3)
    check(Calls(lambda x: x * scale), floats(2, 3))


def test_what_no_result_needs_is_not_written():
    def forward(x):
        x.exp().cumsum(0)
        return x + 1

    content = onnx.to_bytes(Calls(forward), floats(2, 3))
    kinds = [node.op_type for node in reference.load_from_string(content).graph.node]
    assert kinds == ["Add", "Identity"]


def test_exporting_leaves_the_model_as_it_was():
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 2))
    model[1].eval()
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    onnx.to_bytes(model, floats(4, 3))
    assert [module.training for module in model.modules()] == [True, True, False, True]
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])


def test_a_compiled_model_that_was_read():
    loaded = onnx.from_bytes(onnx.to_bytes(RECIPES["article"].model(), floats(1, 3, 32, 32)))
    forward = minidl.compile(loaded)
    with minidl.no_grad():
        for seed in range(4):
            x = floats(2, 3, 32, 32, seed=seed)
            np.testing.assert_array_equal(forward(x).numpy(), loaded(x).numpy())
    assert forward.captures == 1


def test_onnxruntime_optimises_to_the_same_labels():
    model = RECIPES["article"].model().eval()
    content = onnx.to_bytes(model, floats(1, 3, 32, 32))
    x = floats(16, 3, 32, 32)
    (found,) = by_onnxruntime(content, x)
    with minidl.no_grad():
        np.testing.assert_array_equal(found.argmax(1), model(x).argmax(1).numpy())


# ------------------------------------------------------------------------------ integers


def _one_step(model, x, *found):
    """Results agree up to one step of 8 bits over the output's range.

    Sums of integers are exact, but inputs near the middle between two integers may be rounded
    either way, seeing that the layers before compute floats in another order.
    """
    with minidl.no_grad():
        wanted = model(x).numpy()
    for each in found:
        assert abs(each - wanted).max() <= np.ptp(wanted) / 255


@pytest.mark.parametrize("recipe", RECIPES)
def test_quantized_networks_of_the_recipes(recipe):
    x = floats(8, 3, 32, 32)
    model = fold_batch_norm(RECIPES[recipe].model().eval(), x)
    integers = quantize_static(model, [x])
    content = onnx.to_bytes(integers, x)
    loaded = onnx.from_bytes(content)
    kinds = {node.op_type for node in reference.load_from_string(content).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Gemm", "Conv"} <= kinds
    more = floats(5, 3, 32, 32, seed=1)
    with minidl.no_grad():
        np.testing.assert_array_equal(loaded(more).numpy(), integers(more).numpy())
    _one_step(integers, more, *by_onnxruntime(content, more))


@given(networks(), st.sampled_from(["static", "dynamic"]))
@settings(max_examples=15, deadline=None)
def test_drawn_quantized_networks(model, how):
    x = floats(4, 3, 12, 12)
    model = fold_batch_norm(model, x)
    integers = quantize_dynamic(model) if how == "dynamic" else quantize_static(model, [x])
    content = onnx.to_bytes(integers, x)
    more = floats(3, 3, 12, 12, seed=1)
    with minidl.no_grad():
        wanted, again = integers(more).numpy(), onnx.from_bytes(content)(more).numpy()
    np.testing.assert_allclose(again, wanted, rtol=1e-5, atol=1e-6)
    (found,) = by_onnxruntime(content, more)
    if how != "dynamic":
        _one_step(integers, more, found)


def test_a_rehearsing_model_can_be_written():
    x = floats(8, 3, 32, 32)
    model = prepare_qat(RECIPES["article"].model())
    model(x)
    disable_observer(model.eval())
    content = onnx.to_bytes(model, x)
    with minidl.no_grad():
        wanted = model(x).numpy()
    (found,) = by_onnxruntime(content, x)
    assert abs(found - wanted).max() < 0.02 * np.ptp(wanted)
