"""Pruning: masks that hold, scores, schedules, and networks that become really smaller."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn, optim
from minidl.compress import pruning as p
from minidl.compress.counting import multiply_adds, parameters
from minidl.compress.pruning.channels import Channels
from minidl.compress.trace import trace
from minidl.recipes import ArticleNet, fast_net
from minidl.vision import models


def floats(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return minidl.tensor(drawn.astype(np.float32))


def _train(model, steps=5, after=None):
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    for i in range(steps):
        optimizer.zero_grad()
        x = floats(8, 6, seed=i)
        nn.functional.cross_entropy(model(x), minidl.arange(8) % 3).backward()
        if after is not None:
            after()
        optimizer.step()


@pytest.fixture
def model():
    minidl.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


# ------------------------------------------------------------------------------ masks


def test_the_smallest_weights_go(model):
    weight = model[0].weight.detach().numpy().copy()
    p.l1_unstructured(model[0], "weight", 0.25)
    kept = model[0].weight_mask.numpy() != 0
    assert kept.sum() == 72
    assert abs(weight)[kept].min() >= abs(weight)[~kept].max()
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), np.where(kept, weight, 0))
    assert p.is_pruned(model) and not p.is_pruned(model[2])
    assert p.sparsity(p.pruned(model)) == 0.25


def test_amounts_are_of_what_is_left(model):
    p.l1_unstructured(model[0], "weight", 0.5)
    p.l1_unstructured(model[0], "weight", 0.5)
    assert (model[0].weight_mask.numpy() != 0).sum() == 24
    p.random_unstructured(model[0], "weight", 4)
    assert (model[0].weight_mask.numpy() != 0).sum() == 20
    for wrong in (1.5, -0.1, 21, -1):
        with pytest.raises(ValueError, match="cannot prune"):
            p.l1_unstructured(model[0], "weight", wrong)


def test_masks_survive_training(model):
    p.global_unstructured(p.weights_of(model), 0.5)
    before = model[0].weight.detach().numpy().copy()
    _train(model)
    after = model[0].weight.detach().numpy()
    np.testing.assert_array_equal(after == 0, before == 0)
    assert not np.array_equal(after, before)
    names = {name for name, _ in model.named_parameters()}
    assert names == {"0.weight_orig", "0.bias", "2.weight_orig", "2.bias"}


def test_masks_survive_saving(model, tmp_path):
    p.l1_unstructured(model[0], "weight", 0.5)
    _train(model)
    minidl.save(model.state_dict(), tmp_path / "pruned.safetensors")
    minidl.manual_seed(9)
    again = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    state = minidl.load(tmp_path / "pruned.safetensors")
    p.prune_like(again, state).load_state_dict(state)
    x = floats(4, 6)
    np.testing.assert_array_equal(again(x).detach().numpy(), model(x).detach().numpy())
    _train(again)
    assert p.sparsity(p.pruned(again)) == 0.5


def test_copies_are_independent(model):
    p.l1_unstructured(model[0], "weight", 0.5)
    twin = copy.deepcopy(model)
    _train(twin)
    x = floats(4, 6)
    assert not np.array_equal(twin(x).detach().numpy(), model(x).detach().numpy())
    assert p.sparsity(p.pruned(twin)) == 0.5


def test_removing_makes_the_zeros_permanent(model):
    p.l1_unstructured(model[0], "weight", 0.5)
    pruned = model[0].weight.detach().numpy().copy()
    p.remove(model[0], "weight")
    assert isinstance(model[0].weight, nn.Parameter) and not p.is_pruned(model)
    np.testing.assert_array_equal(model[0].weight.detach().numpy(), pruned)
    assert type(model[0]) is nn.Linear
    _train(model)
    assert (model[0].weight.detach().numpy() != 0).all()
    with pytest.raises(ValueError, match="not pruned"):
        p.remove(model[0], "weight")


def test_several_parameters_of_one_module(model):
    for name in ("weight", "bias"):
        p.l1_unstructured(model[0], name, 0.5)
    assert repr(model[0]) == "Linear(in_features=6, out_features=16, bias=True)"
    p.remove(model[0], "weight")
    assert p.pruned(model) == [(model[0], "bias")]
    _train(model)
    assert p.sparsity(p.pruned(model)) == 0.5
    p.remove(model[0], "bias")
    assert type(model[0]) is nn.Linear


def test_pruning_more_captures_no_step_anew(model):
    gradual = p.GradualPruning(p.weights_of(model), final=0.8, end=20)
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    @minidl.compile
    def step(x, labels):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    gradual.step()
    for i in range(20):
        step(floats(8, 6, seed=i), minidl.arange(8) % 3)
        gradual.step()
    assert step.captures <= 2  # before the first pruning, and after
    assert p.sparsity(p.pruned(model)) == pytest.approx(0.8, abs=0.01)


def test_masks_that_do_not_fit(model):
    with pytest.raises(ValueError, match=r"shape \[16, 6\]"):
        p.custom_from_mask(model[0], "weight", minidl.ones(6, 16))
    with pytest.raises(ValueError, match="no parameter 'scale'"):
        p.custom_from_mask(model[0], "scale", minidl.ones(6, 16))


@pytest.mark.parametrize("amount", [0.3, 5])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("l1_unstructured", {}),
        ("ln_structured", {"n": 2, "dim": 0}),
        ("ln_structured", {"n": 1, "dim": 1}),
    ],
)
def test_pytorch_prunes_the_same(torch, model, amount, name, how):
    from torch.nn.utils import prune

    layer = torch.nn.Linear(6, 16)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(model[0].weight.detach().numpy()))
    getattr(prune, name)(layer, "weight", amount=amount, **how)
    getattr(p, name)(model[0], "weight", amount, **how)
    np.testing.assert_array_equal(model[0].weight_mask.numpy(), layer.weight_mask.numpy())


def test_global_pruning_compares_layers(model):
    with minidl.no_grad():
        model[2].weight.mul_(1e6)
    p.global_unstructured(p.weights_of(model), 96)
    assert model[0].weight.detach().numpy().sum() == 0
    assert (model[2].weight.detach().numpy() != 0).all()
    with pytest.raises(ValueError, match="no parameters"):
        p.global_unstructured([], 0.5)


@pytest.mark.parametrize(("n", "m", "dim"), [(2, 4, 1), (1, 4, 0), (2, 5, 1)])
def test_n_of_m(model, n, m, dim):
    weight = abs(model[0].weight.detach().numpy())
    p.n_m_structured(model[0], "weight", n, m, dim)
    mask = np.moveaxis(model[0].weight_mask.numpy(), dim, -1)
    values = np.moveaxis(weight, dim, -1)
    whole = mask.shape[-1] // m * m
    groups = mask[..., :whole].reshape(-1, m)
    assert (groups.sum(1) == n).all() and (mask[..., whole:] == 1).all()
    for group, numbers in zip(groups, values[..., :whole].reshape(-1, m)):
        assert numbers[group != 0].min() >= numbers[group == 0].max()
    with pytest.raises(ValueError, match="0 < n < m"):
        p.n_m_structured(model[0], "weight", 4, 4)


# ------------------------------------------------------------------------------ schedules


def test_movement_scores(model):
    scores = p.MovementScores(p.weights_of(model))
    with pytest.raises(RuntimeError, match="backward"):
        scores.update()
    total = 0
    for i in range(3):
        model.zero_grad()
        model(floats(4, 6, seed=i)).square().mean().backward()
        scores.update()
        total = total - model[0].weight.detach().numpy() * model[0].weight.grad.numpy()
    np.testing.assert_allclose(scores.of(model[0], "weight"), total, rtol=1e-5)
    p.global_unstructured(p.weights_of(model), 0.5, scores.of)
    assert p.sparsity(p.pruned(model)) == 0.5


def test_the_cubic_schedule(model):
    gradual = p.GradualPruning(p.weights_of(model), final=0.9, begin=2, end=12, every=2)
    assert [gradual.wanted(t) for t in (0, 2, 12, 99)] == [0, 0, 0.9, 0.9]
    assert gradual.wanted(7) == pytest.approx(0.9 * (1 - 0.5**3))
    shares = []
    for _ in range(14):
        gradual.step()
        shares.append(p.sparsity(p.weights_of(model)))
    assert (
        shares == sorted(shares) and shares[0] == 0 and shares[-1] == pytest.approx(0.9, abs=0.01)
    )
    assert len(set(shares)) == 6
    with pytest.raises(ValueError, match="begin"):
        p.GradualPruning(p.weights_of(model), final=0.9, begin=5, end=5)


def test_rewinding_to_early_weights(model):
    early = {}

    def warm_up(model):
        _train(model, 2)
        early.update({name: tensor.numpy().copy() for name, tensor in model.state_dict().items()})

    seen = []

    def train(model):
        seen.append(model[0].weight.detach().numpy().copy())
        _train(model, 3)

    shares = p.iterative_pruning(model, train, amount=0.5, rounds=2, warm_up=warm_up)
    assert shares == [0.5, 0.75]
    np.testing.assert_array_equal(seen[0], early["0.weight"])
    for weight in seen[1:]:
        kept = weight != 0
        np.testing.assert_array_equal(weight[kept], early["0.weight"][kept])
    assert p.sparsity(p.pruned(model)) == 0.75


# ------------------------------------------------------------------------------ channels


class Residual(nn.Module):
    """A residual connection, a depthwise convolution, and two branches that are joined."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.inner, self.back = nn.Conv2d(8, 6, 1), nn.Conv2d(6, 8, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 5, 1)
        self.head = nn.Linear(9 * 4 * 4, 3)

    def forward(self, x):
        x = self.norm(self.stem(x)).relu()
        x = x + self.back(self.inner(x).relu())
        x = nn.functional.max_pool2d(self.depthwise(x), 2)
        x = minidl.cat([self.left(x), self.right(x)], 1)
        return self.head(x.flatten(1))


def _without(model, example, removed_of):
    """The model with channels at zero, and the same with them removed."""
    zeroed = copy.deepcopy(model).eval()
    channels = Channels(trace(zeroed, example))
    roots = removed_of(channels)
    with minidl.no_grad():
        for use in channels.uses:
            places = np.flatnonzero(np.isin(channels.roots(use.labels), list(roots)))
            if use.side == "in" or not len(places):
                continue
            for name, tensor in use.module.state_dict().items():
                if tensor.ndim and "running" not in name:
                    tensor[minidl.tensor(places)] = 0.0
    return zeroed


@pytest.mark.parametrize("make", [Residual, ArticleNet, fast_net, models.resnet18])
def test_a_smaller_network_computes_what_the_larger_one_did_without_the_channels(make):
    minidl.manual_seed(3)
    model = make().eval()
    size = 8 if make is Residual else 32
    x = floats(2, 3, size, size)
    removed = {}

    def chosen(channels):
        removable = sorted(channels.removable())
        random = np.random.default_rng(0)
        roots = set(random.choice(removable, len(removable) // 3, replace=False).tolist())
        removed.update(dict.fromkeys(roots, True))
        return roots

    zeroed = _without(model, x, chosen)
    smaller = p.prune_channels(zeroed, x, 0.0)  # nothing more
    wanted = zeroed(x).detach().numpy()
    np.testing.assert_array_equal(smaller(x).detach().numpy(), wanted)
    smaller = p.prune_channels(zeroed, x, 0.3, importance=_magnitudes)
    assert parameters(smaller) < parameters(zeroed)
    np.testing.assert_allclose(smaller.eval()(x).detach().numpy(), wanted, rtol=1e-4, atol=1e-5)


def _magnitudes(module):
    weight = module.weight.detach().numpy()
    return abs(weight.reshape(len(weight), -1)).sum(1)


def test_what_is_tied_goes_together():
    model, x = Residual(), floats(2, 3, 8, 8)
    smaller = p.prune_channels(model, x, 0.5, per_layer=True)
    assert smaller.stem.out_channels == smaller.norm.num_features == smaller.back.out_channels
    assert smaller.depthwise.groups == smaller.stem.out_channels == smaller.left.in_channels == 4
    assert smaller.back.in_channels == smaller.inner.out_channels == 3
    joined = smaller.left.out_channels + smaller.right.out_channels
    assert smaller.head.in_features == joined * 16 and smaller.head.out_features == 3
    assert smaller.stem.in_channels == 3
    smaller.train()
    smaller(x).sum().backward()


def test_half_the_multiply_adds():
    model, x = fast_net(), floats(1, 3, 32, 32)
    smaller = p.prune_channels_to(model, x, 0.5)
    share = multiply_adds(smaller, x) / multiply_adds(model, x)
    assert 0.47 < share <= 0.5
    rounded = p.prune_channels(model, x, 0.4, round_to=4)
    widths = [m.out_channels for m in rounded.modules() if isinstance(m, nn.Conv2d)]
    assert all(width % 4 == 0 for width in widths)
    narrow = p.prune_channels_to(ArticleNet(), x, 0.5, round_to=8)
    assert narrow.conv1.out_channels in (2, 4) and narrow.conv2.out_channels in (4, 8, 12)
    assert multiply_adds(narrow, x) > 0.3 * multiply_adds(ArticleNet(), x)


def test_operators_that_are_not_known_forbid():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.b(self.a(x).flip((1,)))

    with pytest.raises(ValueError, match="no channel can be removed"):
        p.prune_channels(Odd(), floats(1, 3, 4, 4), 0.5)
    for amount in (-0.1, 1.0):
        with pytest.raises(ValueError, match="share from 0"):
            p.prune_channels(ArticleNet(), floats(1, 3, 32, 32), amount)


@given(st.floats(0, 0.99), st.booleans(), st.integers(1, 8))
@settings(max_examples=25, deadline=None)
def test_any_amount_leaves_a_network_that_runs(amount, per_layer, round_to):
    model, x = Residual(), floats(2, 3, 8, 8)
    smaller = p.prune_channels(model, x, amount, per_layer=per_layer, round_to=round_to)
    assert smaller(x).shape == (2, 3)
    assert all(min(t.shape, default=1) >= 1 for t in smaller.state_dict().values())


def test_counting():
    x = floats(2, 3, 32, 32)
    # conv1 28*28*6*75, conv2 10*10*16*150, and the linear layers
    wanted = 28 * 28 * 6 * 75 + 10 * 10 * 16 * 150 + 400 * 120 + 120 * 84 + 84 * 10
    assert multiply_adds(ArticleNet(), x) == wanted
    assert parameters(ArticleNet()) == 62_006
