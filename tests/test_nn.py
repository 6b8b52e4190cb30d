"""Modules: their tree, state, hooks and repr; containers, parameters, nn.utils."""

import copy
import math
import pickle

import numpy as np
import pytest

import minidl
from minidl import nn


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
    with pytest.raises(ValueError, match="there is no device"):
        net.to("nowhere")


@pytest.mark.parametrize("optimizer", [minidl.optim.SGD, minidl.optim.Adam, minidl.optim.AdamW])
@pytest.mark.parametrize("convert", ["double", "half"])
def test_a_converted_module_trains_in_its_dtype(convert, optimizer):
    layer = nn.Linear(1, 1, bias=False)
    getattr(layer, convert)()
    dtype = layer.weight.dtype
    x = minidl.tensor([[1 / 3]], dtype=dtype)
    layer(x).sum().backward()
    (found,) = minidl.autograd.grad([layer(x).sum()], [layer.weight])
    assert layer.weight.grad.dtype == found.dtype == dtype
    assert layer.weight.grad.item() == found.item() == x.item()
    before = layer.weight.item()
    optimizer(layer.parameters(), lr=0.25).step()
    assert layer.weight.dtype == dtype and layer.weight.item() != before


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
