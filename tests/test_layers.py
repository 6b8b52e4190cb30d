"""Layers and losses as modules: both ways, and equal to PyTorch's."""

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import functional as F

# --------------------------------------------------------------------------- layers

# name, arguments, options, shape of the input
LAYERS = [
    ("Identity", (3,), {}, (2, 3)),
    ("Linear", (3, 4), {}, (2, 5, 3)),
    ("Linear", (3, 4), {"bias": False}, (3,)),
    ("Flatten", (), {}, (2, 3, 4)),
    ("Flatten", (0, 1), {}, (2, 3, 4)),
    ("Unflatten", (1, (2, -1)), {}, (2, 6, 3)),
    ("Unflatten", (-1, (3, 2)), {}, (2, 6)),
    ("Conv1d", (2, 4, 3), {"padding": 1}, (2, 2, 7)),
    ("Conv1d", (2, 2, 3), {"padding": 2, "padding_mode": "reflect"}, (2, 2, 7)),
    ("Conv2d", (3, 6, 5), {}, (2, 3, 8, 8)),
    ("Conv2d", (4, 4, 3), {"stride": 2, "padding": 1, "groups": 2, "bias": False}, (2, 4, 7, 6)),
    ("Conv2d", (2, 3, (3, 2)), {"padding": "same", "dilation": (1, 2)}, (2, 2, 6, 6)),
    ("Conv2d", (2, 3, 3), {"padding": "valid"}, (2, 2, 6, 6)),
    ("Conv2d", (2, 3, 4), {"padding": "same", "padding_mode": "circular"}, (1, 2, 6, 6)),
    ("Conv2d", (2, 3, 3), {"padding": (1, 2), "padding_mode": "replicate"}, (1, 2, 6, 6)),
    ("Conv2d", (2, 3, 3), {"padding": "valid", "padding_mode": "reflect"}, (1, 2, 6, 6)),
    ("ConvTranspose2d", (3, 2, 3), {}, (2, 3, 4, 4)),
    (
        "ConvTranspose2d",
        (4, 6, 3),
        {"stride": 2, "padding": 1, "output_padding": 1, "groups": 2, "dilation": 2},
        (1, 4, 4, 5),
    ),
    ("MaxPool2d", (2,), {}, (2, 3, 6, 6)),
    ("MaxPool2d", (3, 2), {"padding": 1, "ceil_mode": True}, (2, 3, 6, 6)),
    ("AvgPool2d", (2,), {}, (2, 3, 6, 6)),
    ("AvgPool2d", (3, 2, 1), {"count_include_pad": False}, (2, 3, 6, 6)),
    ("AdaptiveAvgPool2d", ((1, None),), {}, (2, 3, 5, 6)),
    ("AdaptiveAvgPool2d", (2,), {}, (2, 3, 5, 6)),
    ("BatchNorm1d", (3,), {}, (4, 3)),
    ("BatchNorm1d", (3,), {"momentum": None}, (4, 3, 5)),
    ("BatchNorm2d", (3,), {}, (4, 3, 5, 5)),
    ("BatchNorm2d", (3,), {"affine": False, "track_running_stats": False}, (4, 3, 5, 5)),
    ("LayerNorm", (4,), {}, (2, 3, 4)),
    ("LayerNorm", ((3, 4),), {"bias": False}, (2, 3, 4)),
    ("LayerNorm", ((3, 4),), {"elementwise_affine": False}, (2, 3, 4)),
    ("GroupNorm", (2, 4), {}, (2, 4, 3, 3)),
    ("GroupNorm", (2, 4), {"affine": False, "eps": 0.1}, (2, 4, 3)),
    ("Dropout", (0.0,), {}, (2, 3)),
    ("ReLU", (), {}, (2, 3)),
    ("ReLU", (True,), {}, (2, 3)),
    ("LeakyReLU", (0.2, True), {}, (2, 3)),
    ("ELU", (0.7,), {}, (2, 3)),
    ("GELU", (), {}, (2, 3)),
    ("GELU", ("tanh",), {}, (2, 3)),
    ("SiLU", (), {}, (2, 3)),
    ("Sigmoid", (), {}, (2, 3)),
    ("Tanh", (), {}, (2, 3)),
    ("Softplus", (2.0, 1.0), {}, (2, 3)),
    ("Softmax", (1,), {}, (2, 3)),
    ("LogSoftmax", (-1,), {}, (2, 3)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layer_runs_both_ways(name, args, options, shape):
    layer = getattr(nn, name)(*args, **options)
    x = minidl.randn(*shape, requires_grad=True)
    y = layer(x)
    assert y.dtype == minidl.float32
    (y * y).sum().backward()
    assert x.grad.shape == shape and np.isfinite(x.grad.array).all()
    assert all(p.grad.shape == p.shape for p in layer.parameters())
    assert name in repr(layer)


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layer_equals_torch(torch, name, args, options, shape):
    ours = getattr(nn, name)(*args, **options)
    theirs = getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for param in ours.parameters():  # not the ones and zeros that norms start from
        nn.init.normal_(param)
    theirs.load_state_dict(
        {k: torch.from_numpy(v.array.copy()) for k, v in ours.state_dict().items()}
    )
    values = np.random.default_rng(0).standard_normal((3, *shape), dtype=np.float32)
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = minidl.tensor(values[0], requires_grad=True)
        x_torch = torch.tensor(values[0] + 0.0, requires_grad=True)
        y, y_torch = ours(x), theirs(x_torch * 1)  # inplace=True may not touch a leaf
        close(y, y_torch)
        weight = np.linspace(-1, 1, y.numel(), dtype=np.float32).reshape(y.shape)
        (y * minidl.tensor(weight)).sum().backward()
        (y_torch * torch.from_numpy(weight)).sum().backward()
        close(x.grad, x_torch.grad)
        for (key, param), param_torch in zip(ours.named_parameters(), theirs.parameters()):
            close(param.grad, param_torch.grad, key)
        for key, value in ours.state_dict().items():
            close(value, theirs.state_dict()[key], key)


def close(ours, theirs, what=""):
    np.testing.assert_allclose(
        ours.detach().array, theirs.detach().numpy(), rtol=2e-4, atol=2e-5, err_msg=what
    )


def test_max_pool_returns_indices():
    values, indices = nn.MaxPool2d(2, return_indices=True)(minidl.arange(16.0).reshape(1, 1, 4, 4))
    assert values.tolist() == [[[[5, 7], [13, 15]]]] and indices.tolist() == [[[[5, 7], [13, 15]]]]


def test_batch_norm_statistics():
    norm = nn.BatchNorm1d(2, momentum=None)
    batches = np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
    for batch in batches:
        norm(minidl.tensor(batch))
    np.testing.assert_allclose(norm.running_mean.array, batches.mean((0, 1)), atol=1e-6)
    np.testing.assert_allclose(norm.running_var.array, batches.var(1, ddof=1).mean(0), rtol=1e-5)
    assert norm.num_batches_tracked.item() == 3
    norm.reset_parameters()
    assert norm.num_batches_tracked.item() == 0 and norm.running_var.tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"BatchNorm1d wants 2 or 3 dimensions.*\(1, 2, 3, 4\)"):
        norm(minidl.ones(1, 2, 3, 4))


def test_dropout_only_in_training():
    layer = nn.Dropout(0.5)
    x = minidl.ones(1000)
    dropped = layer(x)
    assert set(dropped.tolist()) == {0.0, 2.0}
    assert 400 < (dropped == 0).sum().item() < 600
    assert (layer.eval()(x) == x).all()
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        nn.Dropout(1.5)


def test_layers_refuse_bad_arguments():
    with pytest.raises(ValueError, match="3 groups do not divide 4"):
        nn.Conv2d(4, 4, 3, groups=3)
    with pytest.raises(ValueError, match="groups must be a positive"):
        nn.Conv2d(4, 4, 3, groups=0)
    with pytest.raises(ValueError, match="kernel_size is an integer or 2"):
        nn.Conv2d(4, 4, (3, 3, 3))
    with pytest.raises(ValueError, match='"same" or "valid"'):
        nn.Conv2d(4, 4, 3, padding="full")
    with pytest.raises(ValueError, match="needs a stride of 1"):
        nn.Conv2d(4, 4, 3, stride=2, padding="same")
    with pytest.raises(ValueError, match="padding_mode is one of"):
        nn.Conv2d(4, 4, 3, padding_mode="mirror")
    with pytest.raises(ValueError, match='"zeros" alone'):
        nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect")
    with pytest.raises(ValueError, match="numbers as padding"):
        nn.ConvTranspose2d(4, 4, 3, padding="same")
    with pytest.raises(ValueError, match="3 groups do not divide 4"):
        nn.GroupNorm(3, 4)


def test_layers_take_a_dtype():
    layers = [nn.Linear(2, 2, dtype=minidl.float64), nn.BatchNorm1d(2, dtype=minidl.float64)]
    layers += [nn.Conv2d(2, 2, 1, dtype=minidl.float64), nn.LayerNorm(2, dtype=minidl.float64)]
    for layer in layers:
        assert {t.dtype for t in layer.parameters()} == {minidl.float64}


def article_net(nn):
    class ArticleNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1 = nn.Conv2d(3, 6, 5)
            self.pool = nn.MaxPool2d(2, 2)
            self.conv2 = nn.Conv2d(6, 16, 5)
            self.fc1 = nn.Linear(16 * 5 * 5, 120)
            self.fc2 = nn.Linear(120, 84)
            self.fc3 = nn.Linear(84, 10)

        def forward(self, x):
            x = self.pool(nn.functional.relu(self.conv1(x)))
            x = self.pool(nn.functional.relu(self.conv2(x)))
            x = x.view(-1, 16 * 5 * 5)
            x = nn.functional.relu(self.fc1(x))
            x = nn.functional.relu(self.fc2(x))
            return self.fc3(x)

    return ArticleNet()


def test_the_articles_network_equals_torch(torch):
    ours, theirs = article_net(nn), article_net(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    x, labels = rng.random((4, 3, 32, 32), dtype=np.float32), rng.integers(0, 10, 4)
    loss = nn.CrossEntropyLoss()(ours(minidl.tensor(x)), minidl.tensor(labels))
    loss_torch = torch.nn.CrossEntropyLoss()(theirs(torch.tensor(x)), torch.tensor(labels))
    loss.backward()
    loss_torch.backward()
    close(loss, loss_torch)
    for (name, param), param_torch in zip(ours.named_parameters(), theirs.parameters()):
        close(param.grad, param_torch.grad, name)


# --------------------------------------------------------------------------- losses

_rng = np.random.default_rng(1)
_scores = _rng.standard_normal((5, 3)).astype(np.float32)
_logs = (_scores - np.log(np.exp(_scores).sum(1, keepdims=True))).astype(np.float32)
_labels = np.array([0, 2, 1, -100, 2])
_chances = _rng.uniform(0.1, 0.9, (5, 3)).astype(np.float32)
_shares = (_chances / _chances.sum(1, keepdims=True)).astype(np.float32)
_weight = np.array([0.5, 1.0, 2.0], np.float32)

# name, options, input, target
LOSSES = [
    ("CrossEntropyLoss", {}, _scores, _labels),
    ("CrossEntropyLoss", {"weight": _weight, "label_smoothing": 0.1}, _scores, _labels),
    ("CrossEntropyLoss", {"ignore_index": 2, "reduction": "sum"}, _scores, _labels.clip(0)),
    ("CrossEntropyLoss", {"reduction": "none"}, _scores, _shares),
    ("NLLLoss", {"weight": _weight}, _logs, _labels),
    ("NLLLoss", {"ignore_index": 1}, _logs, _labels.clip(0)),
    ("MSELoss", {}, _scores, _chances),
    ("L1Loss", {"reduction": "sum"}, _scores, _chances),
    ("SmoothL1Loss", {"beta": 0.5}, _scores, _chances),
    ("BCELoss", {"weight": _weight}, _chances, _shares),
    ("BCEWithLogitsLoss", {"pos_weight": _weight, "weight": _weight}, _scores, _shares),
    ("KLDivLoss", {"reduction": "batchmean"}, _logs, _shares),
    ("KLDivLoss", {"reduction": "sum", "log_target": True}, _logs, _logs[::-1].copy()),
]


def made_loss(library, name, options):
    options = {
        k: library.from_numpy(v) if isinstance(v, np.ndarray) else v for k, v in options.items()
    }
    return getattr(library.nn, name)(**options)


@pytest.mark.parametrize(("name", "options", "input", "target"), LOSSES)
def test_loss_has_a_gradient(name, options, input, target):
    loss = made_loss(minidl, name, options)
    assert repr(loss) == f"{name}()"
    x = minidl.tensor(input, requires_grad=True)
    loss(x, minidl.tensor(target)).sum().backward()
    assert np.isfinite(x.grad.array).all() and x.grad.array.any()


@pytest.mark.parametrize(("name", "options", "input", "target"), LOSSES)
def test_loss_equals_torch(torch, name, options, input, target):
    x = minidl.tensor(input, requires_grad=True)
    y = made_loss(minidl, name, options)(x, minidl.tensor(target))
    x_torch = torch.tensor(input, requires_grad=True)
    y_torch = made_loss(torch, name, options)(x_torch, torch.tensor(target))
    y.sum().backward()
    y_torch.sum().backward()
    close(y, y_torch)
    close(x.grad, x_torch.grad)


def test_losses_refuse_an_unknown_reduction():
    with pytest.raises(ValueError, match="MSELoss: reduction is one of 'mean', 'sum', 'none'"):
        nn.MSELoss(reduction="average")
    with pytest.raises(ValueError, match="batchmean"):
        nn.KLDivLoss(reduction="average")


def test_functional_holds_the_operators():
    assert F.relu is minidl.relu
    missing = [name for name in F.__all__ if not callable(getattr(minidl, name, None))]
    assert missing == []
