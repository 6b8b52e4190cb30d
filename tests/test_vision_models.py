"""Networks for pictures, beside the same source run on PyTorch."""

import numpy as np
import pytest

import minidl
from benchmarks.twins import on_torch
from minidl.vision import models

FAMILIES = {
    "resnet18": models.resnet,
    "resnet34": models.resnet,
    "vgg11": models.vgg,
    "vgg11_bn": models.vgg,
}


@pytest.mark.parametrize("name", FAMILIES)
def test_equals_torch(torch, name):
    # in double precision: with few values, batch norm makes much of every rounding error
    ours = getattr(models, name)(num_classes=10).double()
    theirs = getattr(on_torch(FAMILIES[name].__file__), name)(num_classes=10).double()
    for model in (ours, theirs):  # dropout draws different numbers
        for layer in getattr(model, "classifier", ()):
            layer.p = 0.0
    state = {key: torch.tensor(value.numpy()) for key, value in ours.state_dict().items()}
    theirs.load_state_dict(state)
    pictures = np.random.default_rng(0).standard_normal((3, 3, 32, 32))
    found, expected = ours(minidl.tensor(pictures)), theirs(torch.tensor(pictures))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), atol=1e-9)


def test_a_residual_network_learns_one_batch():
    minidl.manual_seed(0)
    net = models.resnet18(num_classes=3)
    pictures = minidl.rand(6, 3, 32, 32)
    labels = minidl.arange(6) % 3
    optimizer = minidl.optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    losses = []
    for _ in range(6):
        loss = minidl.nn.functional.cross_entropy(net(pictures), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
