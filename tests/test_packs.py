"""Filters are packed once for many calls, and again after every change of the weights."""

import copy
import gc
import pickle

import numpy as np
import pytest

import minidl
from minidl import kernels, nn
from minidl.kernels import packs
from minidl.kernels.conv import wide
from minidl.nn import functional


@pytest.fixture
def packed(monkeypatch):
    """How often filters were packed, as a list of one number."""
    count, pack = [0], wide.pack_filters.run

    def counted(*args):
        count[0] += 1
        pack(*args)

    monkeypatch.setattr(wide.pack_filters, "run", counted)
    return count


@pytest.fixture
def model():
    minidl.manual_seed(0)
    return nn.Sequential(nn.Conv2d(16, 20, 3, padding=1), nn.ReLU(), nn.Conv2d(20, 33, 3))


@pytest.fixture
def x():
    return minidl.tensor(np.random.default_rng(0).standard_normal((2, 16, 6, 6), np.float32))


def _infer(model, x):
    with minidl.no_grad():
        return model(x).numpy()


def _reference(model, x):
    with kernels.use_kernels("numpy"):
        return _infer(model, x)


def _holds(model, x):
    np.testing.assert_allclose(_infer(model, x), _reference(model, x), rtol=1e-4, atol=1e-5)


def test_filters_are_packed_once(model, x, packed):
    first = _infer(model, x)
    for _ in range(3):
        np.testing.assert_array_equal(_infer(model, x), first)
    assert packed == [2]  # two layers
    _infer(model, x[:, :, :5])  # another size in the same order
    assert packed == [2]


@pytest.mark.parametrize("again", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_packs_of_their_own(model, x, packed, again):
    twin = again(model)
    for _ in range(3):
        _infer(model, x), _infer(twin, x)
    assert packed == [4]


def _step(weight):
    optimizer = minidl.optim.SGD([weight], lr=0.5)
    weight.grad = minidl.ones_like(weight)
    optimizer.step()


def _assign(weight):
    weight.data = minidl.ones_like(weight)


def _write(array):
    array[:2] = 3


CHANGES = {
    "in place": lambda w: w.mul_(2),
    "part": lambda w: w[1].zero_(),
    "item": lambda w: w.__setitem__((0, 0), 7.0),
    "detached": lambda w: w.detach().add_(1),
    "data": lambda w: w.data.add_(1),
    "other data": _assign,
    "view": lambda w: w.view(-1)[::2].fill_(0.5),
    "optimizer": _step,
    "numpy": lambda w: _write(w.detach().numpy()),
    "numpy, force": lambda w: _write(w.detach().numpy(force=True)),
    "asarray": lambda w: _write(np.asarray(w.detach())),
    "initialiser": lambda w: nn.init.normal_(w),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_seen(model, x, change):
    before = _infer(model, x)
    with minidl.no_grad():
        change(model[2].weight)
    _holds(model, x)
    assert not np.allclose(_infer(model, x), before)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_compiled_pass_sees_a_change(model, x, change):
    compiled = minidl.compile(model)
    before = [_infer(compiled, x) for _ in range(3)][-1]
    with minidl.no_grad():
        change(model[2].weight)
    for _ in range(3):
        np.testing.assert_array_equal(_infer(compiled, x), _infer(model, x))
    _holds(model, x)
    assert not np.allclose(_infer(compiled, x), before)


def test_a_compiled_pass_packs_nothing(model, x, packed):
    compiled = minidl.compile(model)
    for _ in range(6):
        _infer(compiled, x)
    assert packed == [2]


def test_changes_within_a_compiled_step(x):
    """They are counted when the step is over; its convolutions must see them all the same."""

    def step(weight):
        with minidl.no_grad():
            before = functional.conv2d(x, weight)
            weight.mul_(-2)
            return before, functional.conv2d(x, weight)

    weights = [minidl.ones(16, 16, 3, 3) for _ in range(2)]
    steps = step, minidl.compile(lambda w: step(w))
    for _ in range(5):
        (a, b), (c, d) = (f(w) for f, w in zip(steps, weights))
        np.testing.assert_array_equal(a.numpy(), c.numpy())
        np.testing.assert_array_equal(b.numpy(), d.numpy())


def test_memory_that_numpy_wrote_before_and_writes_again(x):
    array = np.ones((16, 16, 3, 3), np.float32)
    for weight in (minidl.from_numpy(array), minidl.as_tensor(array)):
        layer = nn.Conv2d(16, 16, 3)
        layer.weight = nn.Parameter(weight)
        before = _infer(layer, x)
        array *= 2
        _holds(layer, x)
        assert not np.allclose(_infer(layer, x), before)


def test_an_array_kept_from_before_the_first_pass(model, x):
    array = model[0].weight.detach().numpy()
    before = _infer(model, x)
    array *= 2
    _holds(model, x)
    assert not np.allclose(_infer(model, x), before)


def test_training_keeps_nothing(model, x):
    known = set(packs._watched)
    model(x).sum().backward()
    assert set(packs._watched) <= known


def test_packs_go_with_their_weights(model, x):
    gc.collect()
    known = len(packs._watched)
    _infer(model, x)
    assert len(packs._watched) == known + 2
    del model[2], model[0]
    gc.collect()
    assert len(packs._watched) == known


def test_each_order_has_its_own_pack(model):
    """On pictures of one line only the middle of a filter is packed."""
    rng = np.random.default_rng(0)
    for size in 2 * ((6, 6), (1, 1), (1, 6), (6, 1), (2, 2)):
        _holds(model[:1], minidl.tensor(rng.standard_normal((2, 16, *size), np.float32)))
