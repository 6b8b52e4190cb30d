"""Tensors on devices: made there, moved there and back, printed, saved, and kept apart."""

import copy
import pickle

import numpy as np
import pytest

import minidl
from minidl import backend, nn, optim
from minidl.backend import to_host
from minidl.testing.close import assert_all_close

MAKERS = {
    "zeros": lambda place: minidl.zeros(2, 3, device=place),
    "ones": lambda place: minidl.ones((2,), dtype=minidl.int64, device=place),
    "full": lambda place: minidl.full((2, 1), 1.5, device=place),
    "tensor": lambda place: minidl.tensor([[1, 2], [3, 4]], device=place),
    "of tensors": lambda place: minidl.tensor([minidl.ones(2, device=place), [0, 1]], device=place),
    "as_tensor": lambda place: minidl.as_tensor(np.arange(3.0), device=place),
    "arange": lambda place: minidl.arange(0, 1, 0.25, device=place),
    "linspace": lambda place: minidl.linspace(0, 1, 5, device=place),
    "eye": lambda place: minidl.eye(2, 3, device=place),
    "rand": lambda place: minidl.rand(3, 3, device=place),
    "rand64": lambda place: minidl.rand(5, dtype=minidl.float64, device=place),
    "rand16": lambda place: minidl.rand(5, dtype=minidl.float16, device=place),
    "randint": lambda place: minidl.randint(-5, 10**12, (7,), device=place),
    "randperm": lambda place: minidl.randperm(9, device=place),
}


@pytest.fixture
def there(place):
    """The device with its index: what the tensors on it say."""
    return backend.indexed(place)


@pytest.fixture
def x(place):
    return minidl.tensor([[1.0, -2.0], [3.0, 0.5]], device=place)


@pytest.mark.parametrize("name", MAKERS)
def test_new_tensors_are_those_of_the_cpu(place, there, name):
    minidl.manual_seed(5)
    expected = MAKERS[name]("cpu")
    minidl.manual_seed(5)
    found = MAKERS[name](place)
    assert (found.device, found.dtype) == (there, expected.dtype)
    np.testing.assert_array_equal(to_host(found.array), expected.array)


@pytest.mark.parametrize("dtype", [minidl.float16, minidl.float32, minidl.float64])
def test_normal_numbers_differ_by_the_rounding_of_log_and_cos(place, dtype):
    """`normal` computes float16 in float32 first."""
    draws = [minidl.Generator(4).normal(100, 1, 2, dtype, device) for device in ("cpu", place)]
    assert draws[0].dtype == draws[1].dtype == dtype
    epsilon = float(np.finfo(dtype).eps)
    assert_all_close(draws[1:], draws[:1], 4 * epsilon, "normal")


def test_a_generator_may_have_a_device(place, there):
    bits = minidl.Generator(1, device=place).bits(9)
    assert backend.device_of(bits) == there
    np.testing.assert_array_equal(to_host(bits), minidl.Generator(1).bits(9))


def test_the_default_device(place, there, x):
    with place:
        assert minidl.get_default_device() == place
        assert minidl.zeros(1).device == minidl.rand(1).device == there
        assert nn.Linear(2, 2).weight.device == there
        assert minidl.zeros(1, device="cpu").device == minidl.from_numpy(np.ones(1)).device
        minidl.set_default_device(None)
        assert minidl.zeros(1).device == minidl.device("cpu")
    assert minidl.get_default_device() == minidl.device("cpu")
    assert minidl.tensor(x).device == minidl.as_tensor(x).device == there


def test_new_ones_lie_beside_the_old_one(x, there):
    made = [minidl.zeros_like(x), minidl.ones_like(x), minidl.full_like(x, 2)]
    made += [minidl.empty_like(x), minidl.rand_like(x), minidl.randn_like(x)]
    made += [x.new_zeros(2), x.new_ones(2), x.new_full((2,), 3), x.new_tensor([1, 2])]
    assert {t.device for t in made} == {there}
    assert minidl.zeros_like(x, device="cpu").device == minidl.device("cpu")


# --------------------------------------------------------------------------- there and back


def test_to(place, there):
    x = minidl.tensor([[1.0, 2.0], [3.0, 4.0]])
    moved = x.to(place)
    assert moved.device == there and moved.to(place) is moved
    assert moved.to(place, copy=True) is not moved
    assert moved.to(x).device == moved.cpu().device == x.device
    for options in ((place, minidl.float64), (place, minidl.float16, True, True)):
        converted = x.to(*options)
        assert (converted.device, converted.dtype) == (there, options[1])
    assert x.to(device=place, dtype=minidl.int64, non_blocking=True).tolist() == [[1, 2], [3, 4]]
    assert moved.cpu().numpy().tolist() == x.tolist()
    assert moved.is_cuda == (place.type == "cuda") and not x.is_cuda


def test_gradients_travel_back(place, there):
    x = minidl.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x.to(place, minidl.float64) ** 3).sum().backward()
    assert x.grad.device == minidl.device("cpu") and x.grad.dtype == minidl.float32
    assert x.grad.tolist() == [3.0, 12.0, 27.0]
    y = minidl.tensor([1.0, 2.0], device=place, requires_grad=True)
    for _ in range(2):
        (y.cpu() * y.detach().cpu()).sum().backward()
    assert y.grad.device == there and y.grad.tolist() == [2.0, 4.0]


def test_copy_takes_any_device(x, place):
    host = minidl.zeros(2, 2)
    host.copy_(x)
    x.copy_(host * 2)
    assert x.tolist() == [[2.0, -4.0], [6.0, 1.0]]
    assert x.copy_(np.ones((2, 2))).tolist() == x.fill_(1).tolist()


def test_modules_and_optimizers_move(place, there):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    twin = copy.deepcopy(model).to(place)
    assert {t.device for t in [*twin.parameters(), *twin.buffers()]} == {there}
    inputs, labels = minidl.randn(8, 3), minidl.randint(2, (8,))
    losses = []
    for net in (model, twin):
        optimizer = optim.Adam(net.parameters(), lr=0.1)
        for _ in range(3):
            device = net[0].weight.device
            loss = nn.functional.cross_entropy(net(inputs.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        losses.append(loss.item())
        resumed = optim.Adam(twin.parameters(), lr=0.1)
        resumed.load_state_dict(optimizer.state_dict())
        assert resumed.state[twin[0].weight]["exp_avg"].device == there
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    twin.load_state_dict(model.state_dict())
    assert twin[0].weight.device == there
    assert twin.cpu()[0].weight.grad.device == minidl.device("cpu")
    np.testing.assert_array_equal(twin[0].weight.detach(), model[0].weight.detach())


def test_initial_values_do_not_depend_on_the_device(place):
    minidl.manual_seed(0)
    here = nn.Linear(5, 3)
    minidl.manual_seed(0)
    np.testing.assert_array_equal(
        nn.Linear(5, 3, device=place).weight.detach().cpu(), here.weight.detach()
    )


# --------------------------------------------------------------------------- as Python objects


def test_numbers_come_out(x, there):
    assert x.tolist() == [[1.0, -2.0], [3.0, 0.5]]
    assert x[0, 1].item() == -2.0 == float(x[0, 1]) and bool((x == x).all())
    assert x.max() == 3 and len(x) == 2 and 0.5 in x
    with pytest.raises(TypeError, match=rf"on {there} has no numpy\(\): use cpu\(\)"):
        x.numpy()
    with pytest.raises(TypeError, match="has no numpy"):
        np.asarray(x)
    assert x.numpy(force=True).tolist() == x.tolist()


def test_repr_names_the_device(x, there):
    expected = "tensor([[ 1.0000, -2.0000],\n        [ 3.0000,  0.5000]], device='{}')"
    assert repr(x) == expected.format(there)
    assert repr(x.new_zeros(0)) == f"tensor([], device='{there}')"
    assert "..." in repr(minidl.zeros(2000, device=there))


def test_pickles_and_copies_stay_there(x, there):
    weight = nn.Parameter(x)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.device == there and twin.tolist() == x.tolist()
    for twin in (copy.deepcopy(weight), pickle.loads(pickle.dumps(weight))):
        assert type(twin) is nn.Parameter and twin.device == there and twin.requires_grad


def test_checkpoints_come_from_any_device(x, place, there, tmp_path):
    model = nn.Linear(2, 2, device=place)
    minidl.save({"x": x, "model": model.state_dict()}, tmp_path / "state")
    state = minidl.load(tmp_path / "state")
    assert state["x"].device == minidl.device("cpu") and state["x"].tolist() == x.tolist()
    other = nn.Linear(2, 2, device=place)
    other.load_state_dict(state["model"])
    assert other.weight.device == there
    assert other.weight.tolist() == model.weight.tolist()


@pytest.mark.parametrize(
    "index",
    [
        [1, 0],
        ([0, 1], slice(None)),
        np.array([1]),
        (..., np.array([True, False])),
        minidl.tensor([0, 0, 1]),
        (0, minidl.tensor(1)),
        (None, -1),
        True,
    ],
    ids=str,
)
def test_indices_may_come_from_the_host(x, there, index):
    here = x.cpu()
    assert x[index].device == there and x[index].tolist() == here[index].tolist()
    x[index], here[index] = 7.0, 7.0
    assert x.tolist() == here.tolist()


# --------------------------------------------------------------------------- kept apart

MIXED = {
    "add": lambda x, h: x + h,
    "mul": lambda x, h: h * x,
    "where": lambda x, h: minidl.where(h > 0, x, x),
    "matmul": lambda x, h: h @ x,
    "linear": lambda x, h: nn.functional.linear(x, h),
    "cat": lambda x, h: minidl.cat([x, h]),
    "conv2d": lambda x, h: nn.functional.conv2d(x[None, None], h[None, None]),
    "conv2d ": lambda x, h: nn.functional.conv2d(h[None, None], x[None, None]),
    "layer_norm": lambda x, h: nn.functional.layer_norm(x, 2, h[0]),
    "normalize": lambda x, h: nn.functional.batch_norm(h, None, None, x[0], training=True),
    "gather": lambda x, h: minidl.gather(x, 0, h.long().clamp(0, 1)),
    "cross_entropy": lambda x, h: nn.functional.cross_entropy(x, h[0].long().clamp(0, 1)),
    "add_": lambda x, h: x.add_(h),
}


@pytest.mark.parametrize("name", MIXED)
def test_mixed_devices_are_named(x, there, name):
    with pytest.raises(TypeError) as caught:
        MIXED[name](x, x.cpu())
    message = str(caught.value)
    assert f"@{there}" in message and "[" in message and "(" in message
    assert f"tensors on different devices ['cpu', '{there}']" in message


def test_numbers_go_with_every_device(x, there):
    number = minidl.tensor(2.0, requires_grad=True)
    product = (x * number).sum() + np.float64(1) + 1
    product.backward()
    assert product.device == there and product.dtype == minidl.float32
    assert number.grad.device == minidl.device("cpu") and number.grad.item() == 2.5
    x[0] = minidl.tensor(4.0)
    assert x[0].tolist() == [4.0, 4.0]


def test_data_sets_may_lie_there(x, there):
    data = minidl.utils.data.TensorDataset(x, minidl.tensor([0, 1], device=there))
    for inputs, labels in minidl.utils.data.DataLoader(data, 2):
        assert inputs.device == labels.device == there
        assert inputs.tolist() == x.tolist()
