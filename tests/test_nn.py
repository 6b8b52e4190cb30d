"""Modules, containers, layers, losses and initial values."""

import copy
import math
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.nn import functional as F


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


class Net(nn.Module):
    """A block used twice, a buffer that is saved and one that is not."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.again = self.first
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.scale = nn.Parameter(minidl.ones(4))
        self.register_buffer("count", minidl.zeros((), dtype=minidl.int64))
        self.register_buffer("cache", minidl.zeros(2), persistent=False)
        self.register_buffer("nothing", None)

    def forward(self, x):
        return self.body(self.first(x)) * self.scale


# --------------------------------------------------------------------------- the tree


def test_members_come_in_order_and_once():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == [
        "scale",
        "first.weight",
        "first.bias",
        "body.0.weight",
        "body.0.bias",
    ]
    assert len(list(net.parameters())) == 5
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale"]
    assert [name for name, _ in net.named_parameters("net", remove_duplicate=False)] == [
        "net.scale",
        "net.first.weight",
        "net.first.bias",
        "net.again.weight",
        "net.again.bias",
        "net.body.0.weight",
        "net.body.0.bias",
    ]
    assert [name for name, _ in net.named_buffers()] == ["count", "cache"]
    assert list(net.buffers())[1] is net.cache
    assert [name for name, _ in net.named_children()] == ["first", "body"]
    assert list(net.children()) == [net.first, net.body]
    assert [name for name, _ in net.named_modules()] == ["", "first", "body", "body.0", "body.1"]
    assert next(net.modules()) is net


def test_get_submodule():
    net = Net()
    assert net.get_submodule("body.0") is net.body[0]
    assert net.get_submodule("") is net
    for path in ("body.7", "scale", "first.weight"):
        with pytest.raises(AttributeError, match=r"no submodule"):
            net.get_submodule(path)


def test_apply_visits_children_first():
    net, seen = Net(), []
    assert net.apply(seen.append) is net
    assert seen == [net.first, *net.body, net.body, net]


def test_train_and_eval():
    net = Net()
    assert net.training and net.body[1].training
    assert net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert all(module.training for module in net.modules())
    with pytest.raises(ValueError, match="True or False"):
        net.train("yes")


def test_requires_grad_and_zero_grad():
    net = Net()
    net(minidl.ones(2, 3)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.requires_grad_(False)
    assert not net(minidl.ones(2, 3)).requires_grad


def test_attributes_know_their_roles():
    net = Net()
    with pytest.raises(TypeError, match=r"Net.scale is a parameter.*not Tensor"):
        net.scale = minidl.ones(4)
    with pytest.raises(TypeError, match=r"Net.body is a module.*not int"):
        net.body = 3
    with pytest.raises(TypeError, match=r"Net.count is a buffer.*not float"):
        net.count = 1.0
    net.count = minidl.ones(3)
    net.scale = None
    assert [name for name, _ in net.named_parameters(recurse=False)] == []
    net.scale = nn.Linear(1, 1)  # a parameter's name becomes a module's
    assert "scale" in dict(net.named_children())
    del net.scale, net.cache
    assert not hasattr(net, "scale") and "cache" not in dict(net.named_buffers())
    net.plain = minidl.ones(2)
    assert "plain" not in net.state_dict()


def test_registration_errors():
    module = nn.Module()
    with pytest.raises(KeyError, match="no dots"):
        module.register_buffer("a.b", None)
    with pytest.raises(KeyError, match="not empty"):
        module.add_module("", None)
    with pytest.raises(TypeError, match="is a string"):
        module.register_parameter(3, None)
    with pytest.raises(TypeError, match="Parameter or None, got Tensor"):
        module.register_parameter("w", minidl.ones(2))
    with pytest.raises(TypeError, match="Module or None, got str"):
        module.register_module("m", "x")
    with pytest.raises(KeyError, match="'forward'"):
        module.add_module("forward", nn.ReLU())
    with pytest.raises(NotImplementedError, match='misses its "forward"'):
        module(1)


def test_forgotten_init_is_named():
    class Broken(nn.Module):
        def __init__(self):
            self.layer = nn.ReLU()

    with pytest.raises(AttributeError, match=r"Broken: call super\(\).__init__\(\)"):
        Broken()


def test_conversion_keeps_integers_and_converts_gradients():
    net = Net()
    net(minidl.ones(2, 3)).sum().backward()
    weight = net.first.weight
    assert net.double() is net and net.first.weight is weight
    assert {p.dtype for p in net.parameters()} == {minidl.float64}
    assert {p.grad.dtype for p in net.parameters()} == {minidl.float64}
    assert net.count.dtype == minidl.int64 and net.cache.dtype == minidl.float64
    net(minidl.ones(2, 3, dtype=minidl.float64)).sum().backward()
    assert net.half().scale.dtype == minidl.float16
    assert net.float().scale.dtype == minidl.float32
    assert net.to(minidl.ones(1, dtype=minidl.float64)).scale.dtype == minidl.float64
    assert net.to("cpu", minidl.float32).cpu().scale.dtype == minidl.float32
    with pytest.raises(TypeError, match="floating-point"):
        net.to(minidl.int64)
    with pytest.raises(ValueError, match="not available"):
        net.to("nowhere")


def test_conversion_is_noticed_by_a_graph_that_saved_the_weight():
    layer = nn.Linear(2, 2)
    loss = layer(minidl.ones(1, 2, requires_grad=True)).sum()
    layer.float()  # changes nothing
    loss.backward(retain_graph=True)
    layer.double()
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


# --------------------------------------------------------------------------- hooks


def test_hooks_replace_and_come_off():
    layer = nn.Identity()
    calls = []
    before = layer.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    single = layer.register_forward_pre_hook(lambda module, args: args[0] * 2)
    after = layer.register_forward_hook(lambda module, args, result: result * 10)
    seen = layer.register_forward_hook(lambda *call: calls.append(call))
    assert layer(2) == 60
    assert calls == [(layer, (6,), 60)]
    for handle in (before, after, seen, seen):
        handle.remove()
    assert layer(2) == 4
    with single:
        pass
    assert layer(2) == 2


# --------------------------------------------------------------------------- state


def test_state_dict_shares_memory_and_loads():
    net, other = Net(), Net()
    state = net.state_dict()
    assert list(state) == [
        "scale",
        "count",
        "first.weight",
        "first.bias",
        "again.weight",
        "again.bias",
        "body.0.weight",
        "body.0.bias",
    ]
    assert np.shares_memory(state["scale"].array, net.scale.array)
    assert not state["scale"].requires_grad
    result = other.load_state_dict(state)
    assert result.missing_keys == [] and result.unexpected_keys == []
    assert repr(result) == "<All keys matched successfully>"
    for name, value in other.state_dict().items():
        assert (value == state[name]).all() and not np.shares_memory(value.array, state[name].array)


def test_load_state_dict_takes_arrays_and_converts():
    layer = nn.Linear(2, 1)
    layer.load_state_dict({"weight": np.array([[1.5, 2.5]]), "bias": np.array([3])})
    assert layer.weight.tolist() == [[1.5, 2.5]] and layer.bias.dtype == minidl.float32


def test_load_state_dict_names_all_that_is_wrong_and_changes_nothing():
    net = Net()
    state = {name: value * 0 + 7 for name, value in net.state_dict().items()}
    before = copy.deepcopy(net.state_dict())
    del state["scale"]
    state |= {"extra": minidl.ones(1), "first.bias": minidl.ones(9), "body.0.bias": "text"}
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "loading state_dict for Net" in message
    assert 'Missing key(s) in state_dict: "scale".' in message
    assert 'Unexpected key(s) in state_dict: "extra".' in message
    assert "size mismatch for first.bias" in message and "(9,)" in message and "(4,)" in message
    assert '"body.0.bias" should be a tensor, got str' in message
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(state, strict=False)
    for name, value in net.state_dict().items():
        assert (value == before[name]).all()
    with pytest.raises(TypeError, match="dictionary"):
        net.load_state_dict([1])


def test_load_state_dict_not_strict():
    layer = nn.Linear(2, 1)
    bias = layer.bias.tolist()
    result = layer.load_state_dict({"weight": minidl.ones(1, 2), "x": minidl.ones(1)}, strict=False)
    assert result == (["bias"], ["x"]) and "missing_keys=['bias']" in repr(result)
    assert layer.weight.tolist() == [[1, 1]] and layer.bias.tolist() == bias


# --------------------------------------------------------------------------- parameters


def test_parameter():
    data = minidl.ones(2)
    param = nn.Parameter(data)
    assert isinstance(param, minidl.Tensor) and param.requires_grad and param.is_leaf
    assert np.shares_memory(param.array, data.array)
    assert type(param * 2) is minidl.Tensor and type(param.detach()) is minidl.Tensor
    assert not nn.Parameter([1.0, 2.0], requires_grad=False).requires_grad
    assert repr(param).startswith("Parameter containing:\ntensor([1., 1.]")
    with pytest.raises(RuntimeError, match="floating-point"):
        nn.Parameter(minidl.ones(2, dtype=minidl.int64))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_modules_can_be_copied(duplicate):
    net = Net()
    twin = duplicate(net)
    assert twin.again is twin.first and isinstance(twin.scale, nn.Parameter)
    x = minidl.randn(2, 3)
    assert (twin(x) == net(x)).all()
    twin(x).sum().backward()
    assert net.scale.grad is None and twin.scale.grad is not None
    assert twin.state_dict().keys() == net.state_dict().keys()
    assert not np.shares_memory(twin.scale.array, net.scale.array)


# --------------------------------------------------------------------------- containers


def test_sequential():
    relu, tanh, flat = nn.ReLU(), nn.Tanh(), nn.Flatten()
    net = nn.Sequential(relu, tanh)
    assert net.append(flat) is net and len(net) == 3 and list(net) == [relu, tanh, flat]
    assert net[0] is relu and net[-1] is flat
    assert isinstance(net[1:], nn.Sequential) and list(net[1:]) == [tanh, flat]
    net[1] = relu
    assert net(minidl.tensor([[-1.0]])).tolist() == [[0.0]]
    net.insert(1, tanh)
    assert list(net) == [relu, tanh, relu, flat]
    del net[0]
    assert [name for name, _ in net.named_children()] == ["0", "1", "2"]
    with pytest.raises(IndexError, match="out of range for 3"):
        net[3]
    named = nn.Sequential({"a": relu, "b": tanh})
    assert named.a is relu and dict(named[1:].named_children()) == {"b": tanh}
    assert list(nn.Sequential().extend([relu, tanh])) == [relu, tanh]


def test_module_list():
    layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    layers += [nn.ReLU()]
    assert len(layers) == 4 and isinstance(layers[:2], nn.ModuleList) and len(layers[:2]) == 2
    assert len(list(layers.parameters())) == 6
    del layers[1:3]
    assert [type(m).__name__ for m in layers] == ["Linear", "ReLU"]
    assert list(layers.state_dict()) == ["0.weight", "0.bias"]
    assert layers[-1] is layers[1]


def test_module_dict():
    layers = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    assert list(layers) == list(layers.keys()) == ["a", "b"] and len(layers) == 2
    assert "a" in layers and "c" not in layers
    layers["c"] = nn.Tanh()
    layers.update([("a", nn.Sigmoid())])
    assert [type(m).__name__ for m in layers.values()] == ["Sigmoid", "Linear", "Tanh"]
    assert layers.pop("a") is not None and layers.items()[0][0] == "b"
    with pytest.raises(KeyError, match="no module 'a'; there are b, c"):
        layers["a"]
    with pytest.raises(KeyError, match="such an attribute already"):
        layers["keys"] = nn.ReLU()
    layers.clear()
    assert len(layers) == 0


# --------------------------------------------------------------------------- repr


def test_repr():
    net = nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.ModuleList([nn.Linear(2, 2, bias=False), nn.ReLU(), nn.ReLU()]),
    )
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Conv2d(3, 6, kernel_size=(5, 5), stride=(1, 1))\n"
        "  (1): ModuleList(\n"
        "    (0): Linear(in_features=2, out_features=2, bias=False)\n"
        "    (1-2): 2 x ReLU()\n"
        "  )\n"
        ")"
    )


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


# --------------------------------------------------------------------------- initial values


def uniform_within(values, bound):
    values = values.detach().array.ravel()
    assert np.abs(values).max() <= bound
    assert np.abs(values).max() > 0.99 * bound
    assert values.mean() == pytest.approx(0, abs=4 * bound / math.sqrt(3 * values.size))
    assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def normal_with(values, std):
    values = values.detach().array.ravel()
    assert values.mean() == pytest.approx(0, abs=4 * std / math.sqrt(values.size))
    assert values.std() == pytest.approx(std, rel=0.05)
    assert np.abs(values).max() > 2.5 * std


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: nn.Linear(50, 400), 50),
        (lambda: nn.Conv2d(6, 400, 5), 6 * 25),
        (lambda: nn.Conv2d(8, 400, 3, groups=2), 4 * 9),
        (lambda: nn.Conv1d(8, 400, 3), 8 * 3),
        (lambda: nn.ConvTranspose2d(40, 400, 3), 400 * 9),
    ],
)
def test_layers_start_as_in_torch(layer, fan_in):
    minidl.manual_seed(0)
    made = layer()
    uniform_within(made.weight, 1 / math.sqrt(fan_in))
    uniform_within(made.bias, 1 / math.sqrt(fan_in))
    assert (layer().weight != made.weight).any()
    minidl.manual_seed(0)
    assert (layer().weight == made.weight).all()


def test_init_distributions():
    weight = nn.Parameter(minidl.empty(100, 60, 2))  # fan in 120, fan out 200
    fan_in, fan_out = 120, 200
    uniform_within(nn.init.uniform_(weight, -2, 2), 2)
    normal_with(nn.init.normal_(weight, 0, 3), 3)
    xavier = math.sqrt(2 / (fan_in + fan_out))
    uniform_within(nn.init.xavier_uniform_(weight, 2.0), 2 * math.sqrt(3) * xavier)
    normal_with(nn.init.xavier_normal_(weight), xavier)
    uniform_within(nn.init.kaiming_uniform_(weight, 1.0), math.sqrt(3 / fan_in))
    normal_with(nn.init.kaiming_normal_(weight, nonlinearity="relu"), math.sqrt(2 / fan_in))
    normal_with(
        nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="linear"),
        math.sqrt(1 / fan_out),
    )
    assert (nn.init.constant_(weight, 2.5) == 2.5).all()
    assert (nn.init.ones_(weight) == 1).all() and (nn.init.zeros_(weight) == 0).all()
    assert weight.is_leaf and weight.requires_grad


def test_init_generator_and_dtype():
    draws = [
        nn.init.normal_(minidl.zeros(9, dtype=minidl.float64), generator=minidl.Generator(seed))
        for seed in (1, 1, 2)
    ]
    assert (draws[0] == draws[1]).all() and (draws[0] != draws[2]).any()
    assert (draws[0].float().double() != draws[0]).any()  # float64 numbers have all their digits


def test_init_errors():
    with pytest.raises(ValueError, match=r"2 or more dimensions, got shape \(3,\)"):
        nn.init.xavier_normal_(minidl.zeros(3))
    with pytest.raises(ValueError, match="fan_in"):
        nn.init.kaiming_normal_(minidl.zeros(3, 3), mode="fan")
    with pytest.raises(ValueError, match="no nonlinearity 'swish'"):
        nn.init.calculate_gain("swish")


def test_gains_equal_torch(torch):
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "selu", "leaky_relu"):
        assert nn.init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    theirs = torch.nn.init.calculate_gain("leaky_relu", 0.3)
    assert nn.init.calculate_gain("leaky_relu", 0.3) == pytest.approx(theirs)


# --------------------------------------------------------------------------- utils


def with_gradients(*gradients):
    params = [nn.Parameter(minidl.zeros(len(g))) for g in gradients]
    for param, gradient in zip(params, gradients):
        param.grad = minidl.tensor(gradient)
    return [*params, nn.Parameter(minidl.zeros(1))]  # the last has no gradient


@pytest.mark.parametrize(("p", "norm"), [(2, 13.0), (1, 19.0), (math.inf, 12.0)])
def test_clip_grad_norm(p, norm):
    params = with_gradients([3.0, 4.0], [-12.0])
    assert nn.utils.clip_grad_norm_(params, 100.0, p).item() == pytest.approx(norm)
    assert params[1].grad.tolist() == [-12.0]
    nn.utils.clip_grad_norm_(params, 1.0, p)
    assert params[0].grad.tolist() == pytest.approx([3 / norm, 4 / norm])
    assert params[1].grad.tolist() == pytest.approx([-12 / norm])


def test_clip_grad_norm_of_nothing_and_of_nan():
    assert nn.utils.clip_grad_norm_([], 1.0).item() == 0
    params = with_gradients([math.nan])
    assert math.isnan(nn.utils.clip_grad_norm_(params, 1.0).item())
    with pytest.raises(RuntimeError, match="is nan"):
        nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_clip_grad_value():
    params = with_gradients([3.0, -4.0], [0.5])
    nn.utils.clip_grad_value_(params, 1.0)
    assert params[0].grad.tolist() == [1, -1] and params[1].grad.tolist() == [0.5]
    nn.utils.clip_grad_value_(params[0], 0.5)
    assert params[0].grad.tolist() == [0.5, -0.5]


def test_parameters_as_a_vector():
    layer = nn.Linear(3, 2)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.tolist() == [*layer.weight.reshape(-1).tolist(), *layer.bias.tolist()]
    nn.utils.vector_to_parameters(minidl.arange(8.0), layer.parameters())
    assert layer.weight.tolist() == [[0, 1, 2], [3, 4, 5]] and layer.bias.tolist() == [6, 7]
    with pytest.raises(ValueError, match=r"wants 8 elements.*\(9,\)"):
        nn.utils.vector_to_parameters(minidl.zeros(9), layer.parameters())
