"""Distillation, fine-tuning, tracing, the report and compress_model."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

import minidl
from minidl import compress, nn
from minidl.compress import Target
from minidl.nn import functional as F
from minidl.recipes import ArticleNet
from minidl.utils.data import DataLoader, TensorDataset


def floats(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return minidl.tensor(drawn.astype(np.float32))


def _softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def test_the_loss_is_its_formula():
    logits, teacher = floats(6, 4), floats(6, 4, seed=1)
    labels = minidl.tensor([0, 1, 2, 3, 0, 1])
    found = compress.DistillationLoss(temperature=3.0, alpha=0.8)(logits, teacher, labels).item()
    a, b = logits.numpy().astype(np.float64), teacher.numpy().astype(np.float64)
    hard = -np.log(_softmax(a)[np.arange(6), labels.numpy()]).mean()
    p, q = _softmax(b / 3), _softmax(a / 3)
    soft = (p * (np.log(p) - np.log(q))).sum(1).mean() * 9
    assert found == pytest.approx(0.2 * hard + 0.8 * soft, rel=1e-5)


def test_the_teacher_gets_no_gradient():
    logits, teacher = floats(3, 4).requires_grad_(), floats(3, 4, seed=1).requires_grad_()
    loss = compress.DistillationLoss()(logits, teacher, minidl.tensor([0, 1, 2]))
    loss.backward()
    assert logits.grad is not None and teacher.grad is None


def test_arguments_of_the_loss():
    with pytest.raises(ValueError, match="temperature"):
        compress.DistillationLoss(temperature=0)
    with pytest.raises(ValueError, match="alpha"):
        compress.DistillationLoss(alpha=1.5)
    with pytest.raises(ValueError, match="logits of shapes"):
        compress.DistillationLoss()(floats(3, 4), floats(3, 5), minidl.tensor([0, 1, 2]))


def test_features_of_modules():
    model, x = ArticleNet(), floats(2, 3, 32, 32)
    with compress.Features(model, ["conv2", "fc1"]) as features:
        model(x)
    assert features["conv2"].shape == (2, 16, 10, 10) and features["fc1"].shape == (2, 120)
    assert not any(module._hooks for module in model.modules())
    with pytest.raises(AttributeError, match="no submodule"):
        compress.Features(model, ["conv9"])


@pytest.mark.parametrize(
    ("student", "teacher"),
    [((2, 3, 8, 8), (2, 5, 4, 4)), ((2, 3, 4, 4), (2, 5, 4, 4)), ((2, 3), (2, 5))],
)
def test_feature_loss(student, teacher):
    loss = compress.FeatureLoss(3, 5, dims=len(student))
    a, b = floats(*student).requires_grad_(), floats(*teacher, seed=1).requires_grad_()
    found = loss(a, b)
    led = loss.regressor(a)
    if len(student) == 4:
        led = F.adaptive_avg_pool2d(led, teacher[2:])
    assert found.item() == pytest.approx(((led - b) ** 2).mean().item(), rel=1e-5)
    found.backward()
    assert a.grad is not None and b.grad is None and loss.regressor.weight.grad is not None
    with pytest.raises(ValueError, match="dims=3"):
        compress.FeatureLoss(3, 5, dims=3)


class Pictures:
    """Data that can be learnt: two classes, of dark and of bright pictures."""

    def __init__(self, count, seed):
        random = np.random.default_rng(seed)
        labels = random.integers(0, 2, count)
        pictures = (
            random.standard_normal((count, 3, 32, 32)) + 2.0 * labels[:, None, None, None] - 1
        )
        self.set = TensorDataset(
            minidl.tensor(pictures.astype(np.float32)), minidl.tensor(labels.astype(np.int64))
        )


@pytest.fixture(scope="module")
def data():
    return SimpleNamespace(train=Pictures(256, 0).set, test=Pictures(200, 1).set)


@pytest.fixture(scope="module")
def trained(data):
    minidl.manual_seed(0)
    model = ArticleNet()
    compress.fine_tune(model, DataLoader(data.train, 32, shuffle=True), 2, lr=0.02)
    return model


def test_fine_tuning_learns(data, trained):
    assert not trained.training
    assert compress.report.accuracy(trained, DataLoader(data.test, 100)) > 0.95


def test_a_student_learns_from_a_teacher_without_labels(data, trained):
    minidl.manual_seed(5)
    student = ArticleNet()
    wrong = TensorDataset(data.train.tensors[0], 1 - data.train.tensors[1])
    loader = DataLoader(wrong, 32, shuffle=True)
    compress.fine_tune(student, loader, 12, lr=0.02, teacher=trained, alpha=1.0)
    assert compress.report.accuracy(student, DataLoader(data.test, 100)) > 0.95


@pytest.mark.parametrize("integers", ["static", "dynamic", "trained"])
def test_compress_model(data, trained, integers, tmp_path):
    before = {name: t.numpy().copy() for name, t in trained.state_dict().items()}
    target = Target(multiply_adds=0.5, weights=0.3, integers=integers)
    found = compress.compress_model(trained, data, target, epochs=8, batch_size=32)
    rows = found.report.rows
    assert [row.step for row in rows][:3] == ["original", "channels removed", "weights pruned"]
    assert rows[1].multiply_adds <= 0.5 * rows[0].multiply_adds
    assert rows[2].nonzero <= 0.35 * rows[1].parameters
    assert rows[2].parameters == rows[1].parameters
    assert rows[3].nonzero <= rows[2].nonzero + 1
    assert rows[3].bytes < rows[0].bytes and min(row.accuracy for row in rows) > 0.9
    for name, tensor in trained.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    text = str(found.report)
    assert "channels removed" in text and "1:1.00" in text
    assert json.loads(found.report.to_json())[3]["step"] == f"integers, {integers}"
    compress.plot(found.report, tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 5000


@pytest.mark.parametrize("wrong", [{"weights": 0.0}, {"multiply_adds": 1.5}, {"integers": "int4"}])
def test_targets_that_cannot_be(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Target(**wrong)


def test_tracing():
    model, x = ArticleNet(), floats(2, 3, 32, 32)
    network = compress.trace(model, x)
    names = [node.name for node in network.nodes]
    assert names == [
        "Conv2d", "relu", "max_pool2d", "Conv2d", "relu", "max_pool2d", "reshape",
        "Linear", "relu", "Linear", "relu", "Linear",
    ]  # fmt: skip
    assert network.nodes[0].module is model.conv1
    assert network.nodes[0].inputs == network.inputs
    assert network.nodes[-1].outputs == network.outputs
    assert network.users(network.nodes[0].outputs[0]) == [network.nodes[1]]
    assert network.maker(network.outputs[0]) is network.nodes[-1]
    assert not any(module._hooks or module._pre_hooks for module in model.modules())


def test_tracing_a_model_that_fails_leaves_no_hooks():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="linear"):
        compress.trace(model, floats(1, 3))
    assert not any(module._hooks or module._pre_hooks for module in model.modules())
