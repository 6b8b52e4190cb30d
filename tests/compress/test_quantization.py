"""8-bit integers: observers, rounding that is rehearsed, conversion, kernels to the last bit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.compress import quantization as q
from minidl.kernels import use_kernels
from minidl.kernels.quantized import cpu, reference
from minidl.recipes import ArticleNet, fast_net


def floats(*shape, seed=0):
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return minidl.tensor(drawn.astype(np.float32))


# ------------------------------------------------------------------------------ kernels


@st.composite
def convolutions(draw):
    """Arguments of a convolution in integers, of any geometry."""
    groups = draw(st.integers(1, 3))
    channels, filters = draw(st.integers(1, 6)) * groups, draw(st.integers(1, 9)) * groups
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    size = draw(st.tuples(st.integers(7, 21), st.integers(7, 21)))
    how = (
        draw(st.tuples(st.integers(1, 2), st.integers(1, 3))),
        draw(st.tuples(*[st.integers(-1, 2)] * 4)),
        draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        groups,
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    x = random.standard_normal((draw(st.integers(1, 5)), channels, *size)).astype(np.float32)
    w = random.integers(-128, 128, (filters, channels // groups, *kernel)).astype(np.int8)
    scales = random.random(filters).astype(np.float32) / 50 + np.float32(1e-3)
    w_scale = scales if draw(st.booleans()) else np.asarray(scales[0])
    bias = random.standard_normal(filters).astype(np.float32) if draw(st.booleans()) else None
    zero = np.asarray(draw(st.integers(-128, 127)), np.int8)
    after = draw(st.sampled_from([reference.PLAIN, reference.RELU, reference.POOL]))
    return x, np.asarray(np.float32(0.03)), zero, w, w_scale, bias, *how, after


@given(convolutions())
@settings(max_examples=60, deadline=None)
def test_convolutions_of_all_kernel_sets_have_the_same_bits(args):
    assert cpu.quantized_conv2d(*args).tobytes() == reference.quantized_conv2d(*args).tobytes()


@given(st.integers(1, 70), st.integers(1, 300), st.integers(1, 150), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_linear_layers_of_all_kernel_sets_have_the_same_bits(rows, size, outputs, seed):
    random = np.random.default_rng(seed)
    x = random.standard_normal((rows, size)).astype(np.float32)
    w = random.integers(-128, 128, (outputs, size)).astype(np.int8)
    bias = random.standard_normal(outputs).astype(np.float32)
    scale, zero = np.asarray(np.float32(0.02)), np.asarray(np.int8(-7))
    args = x, scale, zero, w, random.random(outputs).astype(np.float32), bias
    assert cpu.quantized_linear(*args).tobytes() == reference.quantized_linear(*args).tobytes()


def test_the_reference_is_the_sum_of_products_of_integers():
    x, w = floats(2, 3, 6, 5).numpy(), np.arange(-40, 41).reshape(3, 3, 3, 3).astype(np.int8)
    scale, zero = np.asarray(np.float32(0.1)), np.asarray(np.int8(5))
    w_scale = np.array([0.5, 1.0, 2.0], np.float32)
    integers = np.clip(np.rint(x / scale) + 5, -128, 127).astype(np.int64) - 5
    y = reference.quantized_conv2d(x, scale, zero, w, w_scale, None, (1, 1), (0,) * 4, (1, 1), 1)
    for n, o, i, j in np.ndindex(*y.shape):
        total = (integers[n, :, i : i + 3, j : j + 3] * w[o]).sum()
        assert y[n, o, i, j] == np.float32(total) * (scale * w_scale[o])


def test_numbers_at_the_limits():
    x = np.array([[np.nan, np.inf, -np.inf, 1e38, -1e38, 0.5, 1.5, -0.5, 2.5]], np.float32)
    found = reference.quantize(x, np.float32(1), np.int8(0))
    assert found.tolist() == [[-128, 127, -128, 127, -128, 0, 2, 0, 2]]
    w, one = np.eye(9, dtype=np.int8), np.asarray(np.float32(1))
    args = x, one, np.asarray(np.int8(0)), w, np.ones(9, np.float32), None
    assert cpu.quantized_linear(*args).tobytes() == reference.quantized_linear(*args).tobytes()
    assert cpu.quantized_linear(*args).tolist() == found.tolist()


def test_the_largest_sums_do_not_overflow():
    size = 2**31 // (255 * 128)
    x, w = np.full((1, size), 1e9, np.float32), np.full((2, size), -128, np.int8)
    one, low = np.asarray(np.float32(1)), np.asarray(np.int8(-128))
    found = cpu.quantized_linear(x, one, low, w, np.ones(2, np.float32), None)
    assert found.tolist() == [[np.float32(-128 * 255 * size)] * 2]
    with pytest.raises(ValueError, match="32 bits"):
        minidl.quantized_linear(
            minidl.zeros(1, size + 1), 1.0, 0, minidl.tensor(np.zeros((1, size + 1), np.int8)), 1.0
        )


@pytest.mark.parametrize("scale", [0.03, 0.0078, 1 / 3, 7e-5])
def test_numbers_near_the_middle_of_two_integers(scale):
    """Where a quotient that is off by one unit in the last place is rounded the other way."""
    scale = np.asarray(np.float32(scale))
    middles = ((np.arange(-128, 128) + 0.5) * scale).astype(np.float32)
    x = np.concatenate([np.nextafter(middles, side, dtype=np.float32) for side in (-9, 9)])
    x = np.concatenate([x, middles]).reshape(-1, 1, 16, 16)
    one, w = np.asarray(np.float32(1)), np.ones((1, 1, 1, 1), np.int8)
    args = x, scale, np.asarray(np.int8(3)), w, one, None, (1, 1), (0,) * 4, (1, 1), 1
    assert cpu.quantized_conv2d(*args).tobytes() == reference.quantized_conv2d(*args).tobytes()
    rows = x.reshape(1, -1), scale, np.asarray(np.int8(3)), np.eye(768, dtype=np.int8), one, None
    assert cpu.quantized_linear(*rows).tobytes() == reference.quantized_linear(*rows).tobytes()


def test_changed_weights_are_packed_anew():
    weight, x = minidl.tensor(np.ones((4, 4), np.int8)), floats(2, 4)
    with minidl.no_grad():
        first = minidl.quantized_linear(x, 0.1, 0, weight, 1.0)
        weight.copy_(weight * 2)
        second = minidl.quantized_linear(x, 0.1, 0, weight, 1.0)
    np.testing.assert_array_equal(second.numpy(), 2 * first.numpy())


# ------------------------------------------------------------------------------ rehearsal


@pytest.mark.parametrize("axis", [None, 0])
def test_the_straight_through_gradient(axis):
    """1 between what -128 and 127 stand for, 0 beyond: by the definition, number by number."""
    x = minidl.tensor(np.linspace(-40, 40, 322, dtype=np.float32).reshape(2, 161))
    x.requires_grad_()
    scale = 0.25 if axis is None else minidl.tensor(np.array([0.25, 0.125], np.float32))
    zero = 10 if axis is None else minidl.tensor(np.array([10, -3], np.int8))
    y = minidl.fake_quantize(x, scale, zero, axis)
    weights = floats(2, 161)
    (y * weights).sum().backward()
    steps = np.broadcast_to(np.asarray(scale if axis is None else scale.numpy()), (2,))
    zeros = np.broadcast_to(np.asarray(zero if axis is None else zero.numpy()), (2,))
    for row, step, z in zip(range(2), steps, zeros.astype(int)):
        there = (x.detach().numpy()[row] >= (-128 - z) * step) & (
            x.detach().numpy()[row] <= (127 - z) * step
        )
        assert 0 < there.sum() < 161
        np.testing.assert_array_equal(x.grad.numpy()[row], np.where(there, weights.numpy()[row], 0))
        integers = np.clip(np.rint(x.detach().numpy()[row] / step) + z, -128, 127)
        np.testing.assert_array_equal(y.detach().numpy()[row], (integers - z) * step)


def test_fake_quantize_is_pytorchs(torch):
    x = floats(50, 7).numpy() * 20
    ours, theirs = minidl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    a = minidl.fake_quantize(ours, 0.13, -5)
    b = torch.fake_quantize_per_tensor_affine(theirs, 0.13, -5, -128, 127)
    a.sum().backward()
    b.sum().backward()
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-6)
    # PyTorch lets the gradient pass half a step further out
    differ = ours.grad.numpy() != theirs.grad.numpy()
    edge = (x / 0.13 - 5 < -127.5) | (x / 0.13 - 5 > 126.5)
    assert not (differ & ~edge).any()


# ------------------------------------------------------------------------------ observers


def test_min_max():
    observer = q.MinMaxObserver()
    observer(minidl.tensor([1.0, 3.0]))
    observer(minidl.tensor([-1.0, 2.0]))
    assert (observer.min_val.item(), observer.max_val.item()) == (-1, 3)
    scale, zero = observer.calculate_qparams()
    assert scale.item() == np.float32(4 / 255) and zero.item() == -128 + round(255 / 4)
    symmetric = q.MinMaxObserver(symmetric=True, axis=1)
    symmetric(minidl.tensor([[1.0, -2.0], [-4.0, 1.0]]))
    scale, zero = symmetric.calculate_qparams()
    np.testing.assert_allclose(scale.numpy(), np.array([4, 2], np.float32) / 127)
    assert zero.tolist() == [0, 0] and zero.dtype == minidl.int8


def test_moving_average():
    observer = q.MovingAverageMinMaxObserver(averaging_constant=0.5)
    for high in (4.0, 8.0):
        observer(minidl.tensor([0.0, high]))
    assert observer.max_val.item() == 6


def test_zero_is_always_an_integer():
    for numbers in ([3.0, 5.0], [-5.0, -3.0], [0.0, 0.0]):
        observer = q.MinMaxObserver()
        observer(minidl.tensor(numbers))
        scale, zero = observer.calculate_qparams()
        there = minidl.quantize(minidl.tensor([0.0]), scale, zero)
        assert minidl.dequantize(there, scale, zero).tolist() == [0.0]


def test_percentiles_leave_rare_numbers_out():
    observer = q.PercentileObserver(percentile=99.0)
    observer(minidl.tensor(np.append(np.linspace(0, 1, 9999), 1000.0).astype(np.float32)))
    assert observer.max_val.item() < 2
    everything = q.PercentileObserver(percentile=100.0)
    everything(minidl.tensor([0.0, 1.0, 1000.0]))
    assert everything.max_val.item() >= 1000
    with pytest.raises(ValueError, match="percentile"):
        q.PercentileObserver(percentile=20)


@pytest.mark.parametrize("symmetric", [False, True])
def test_mean_squared_error_is_smaller_than_that_of_the_whole_range(symmetric):
    numbers = floats(20_000) ** 3
    errors = []
    for kind in (q.MSEObserver, q.MinMaxObserver):
        observer = kind(symmetric=symmetric)
        for part in numbers.chunk(4):
            observer(part)
        scale, zero = observer.calculate_qparams()
        there = minidl.fake_quantize(numbers, scale, zero)
        errors.append(((there - numbers) ** 2).mean().item())
    assert errors[0] < errors[1]


def test_histograms_do_not_depend_on_the_order_of_batches():
    observers = [q.MSEObserver(), q.MSEObserver()]
    batches = [floats(500, seed=i) * 10.0**i for i in range(3)]
    for observer, order in zip(observers, (batches, batches[::-1])):
        for batch in order:
            observer(batch)
    assert observers[0].reach == observers[1].reach
    assert observers[0].counts.sum() == observers[1].counts.sum() == 1500
    assert abs(observers[0].counts - observers[1].counts).sum() <= 4  # rounding at edges


# ------------------------------------------------------------------------------ models


@pytest.fixture(scope="module")
def model():
    minidl.manual_seed(0)
    return ArticleNet().eval()


def _logits(model, x):
    with minidl.no_grad():
        return model(x).numpy()


def test_static(model):
    x = floats(16, 3, 32, 32)
    before = {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}
    integers = q.quantize_static(model, [x[:8], x[8:]])
    kinds = [type(each) for each in (integers.conv1, integers.fc3)]
    assert kinds == [q.QuantizedConv2d, q.QuantizedLinear]
    assert integers.conv1.weight.dtype == minidl.int8
    wanted, found = _logits(model, x), _logits(integers, x)
    assert abs(found - wanted).max() < 0.05 * np.ptp(wanted)
    assert not np.array_equal(found, wanted)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), before[name])
    with use_kernels("numpy"):
        np.testing.assert_array_equal(integers.conv1(x).numpy(), _reference(integers.conv1, x))


def _reference(layer, x):
    with use_kernels("numba"):
        return layer(x).numpy()


def test_compiled_layers_have_the_same_bits(model):
    x = floats(5, 3, 32, 32)
    integers = q.quantize_static(model, [x])
    forward = minidl.compile(integers)
    with minidl.no_grad():
        for seed in range(4):
            x = floats(5, 3, 32, 32, seed=seed)
            np.testing.assert_array_equal(forward(x).numpy(), integers(x).numpy())
    assert forward.captures == 1


@pytest.mark.parametrize(
    "behind",
    [
        [nn.ReLU(), nn.MaxPool2d(2)],
        [nn.MaxPool2d(2), nn.ReLU()],
        [nn.ReLU(), nn.MaxPool2d(3, 2)],
        [nn.MaxPool2d(3, 2, 1), nn.ReLU()],
        [nn.ReLU()],
        [nn.MaxPool2d(2)],
    ],
)
def test_what_compiled_steps_put_into_a_layer(behind):
    x = floats(3, 3, 11, 13)
    integers = q.quantize_static(nn.Sequential(nn.Conv2d(3, 5, 3), *behind), [x])
    forward = minidl.compile(integers)
    with minidl.no_grad():
        for seed in range(4):
            x = floats(3, 3, 11, 13, seed=seed)
            np.testing.assert_array_equal(forward(x).numpy(), integers(x).numpy())
    assert forward.captures == 1


def test_dynamic(model):
    integers = q.quantize_dynamic(model)
    assert isinstance(integers.conv1, nn.Conv2d) and not isinstance(
        integers.conv1, q.QuantizedConv2d
    )
    x = floats(4, 3, 32, 32)
    assert abs(_logits(integers, x) - _logits(model, x)).max() < 0.01
    # each input has a scale of its own: a hundred times as large, and no worse
    assert abs(_logits(integers, 100 * x) - _logits(model, 100 * x)).max() < 1


def test_per_tensor_weights(model):
    integers = q.quantize_static(
        model, [floats(8, 3, 32, 32)], q.QConfig(q.MinMaxObserver, q.per_tensor)
    )
    assert integers.conv1.weight_scale.shape == ()


def test_converting_what_has_seen_nothing(model):
    with pytest.raises(RuntimeError, match="seen no data"):
        q.convert(q.prepare(model))


def test_weights_with_a_zero_point_are_refused(model):
    config = q.QConfig(q.MinMaxObserver, q.MinMaxObserver)
    with pytest.raises(ValueError, match="symmetrically"):
        q.quantize_static(model, [floats(8, 3, 32, 32)], config)


def test_a_shared_layer_stays_shared():
    layer = nn.Linear(3, 3)
    integers = q.quantize_dynamic(nn.Sequential(layer, nn.ReLU(), layer))
    assert integers[0] is integers[2]


def test_padding_modes_and_geometry():
    x = floats(2, 4, 9, 9)
    for how in (
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": "same", "dilation": 2},
        {"stride": 2, "padding": 1, "groups": 2, "bias": False},
    ):
        layer = nn.Conv2d(4, 6, 3, **how)
        integers = q.quantize_static(layer, [x])
        assert abs(_logits(integers, x) - _logits(layer, x)).max() < 0.1
        assert repr(integers) == repr(layer).replace("Conv2d", "QuantizedConv2d")


def test_training_rehearses_what_the_integers_compute():
    minidl.manual_seed(1)
    model = q.prepare_qat(ArticleNet())
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    x, labels = floats(32, 3, 32, 32), minidl.arange(32) % 10
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    model.eval()
    q.disable_observer(model)
    with minidl.no_grad():
        model.conv1.weight_quantizer.observer(model.conv1.weight)
    rehearsed, integers = _logits(model, x), _logits(q.convert(model), x)
    assert abs(rehearsed - integers).max() < 0.05 * np.ptp(rehearsed)
    assert (rehearsed.argmax(1) == integers.argmax(1)).mean() > 0.95


def test_a_rehearsing_step_compiles():
    minidl.manual_seed(1)
    models = [q.prepare_qat(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)))]
    models.append(copy.deepcopy(models[0]))
    outcomes = []
    for model, compile in zip(models, (minidl.compile, lambda step: step)):
        optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

        def step(x, labels, model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        run = compile(step)
        labels = minidl.tensor([0, 1, 2, 0])
        outcomes.append([run(floats(4, 6, seed=i), labels).item() for i in range(6)])
    assert outcomes[0] == outcomes[1]


def test_switches():
    model = q.prepare_qat(nn.Linear(3, 2))
    x = floats(4, 3)
    q.disable_fake_quant(model)
    np.testing.assert_array_equal(
        _logits(model, x), _logits(lambda x: minidl.linear(x, model.weight, model.bias), x)
    )
    q.enable_fake_quant(model)
    q.disable_observer(model)
    low = model.input_quantizer.observer.min_val.item()
    model(100 * x)
    assert model.input_quantizer.observer.min_val.item() == low
    q.enable_observer(model)
    model(100 * x)
    assert model.input_quantizer.observer.min_val.item() < low


def test_state_dicts():
    x = floats(8, 3, 32, 32)
    minidl.manual_seed(0)
    first = q.quantize_static(ArticleNet(), [x])
    minidl.manual_seed(1)
    second = q.quantize_static(ArticleNet(), [2 * x])
    second.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(_logits(first, x), _logits(second, x))


# ------------------------------------------------------------------------------ folding


def _trained(model):
    """With statistics and weights of norms that are not the first ones."""
    random = np.random.default_rng(3)
    with minidl.no_grad():
        for name, tensor in model.state_dict().items():
            if "running" in name or tensor.ndim == 1:
                new = random.random(tensor.shape) + 0.5
                tensor.copy_(minidl.tensor(new.astype(tensor.numpy().dtype)))
    return model.eval()


def test_folding_batch_norm():
    model = _trained(fast_net())
    x = floats(4, 3, 32, 32)
    folded = q.fold_batch_norm(model, x)
    assert not any(isinstance(each, nn.BatchNorm2d) for each in folded.modules())
    scale = abs(_logits(model, x)).max()
    assert abs(_logits(folded, x) - _logits(model, x)).max() < 1e-5 * scale
    assert isinstance(model[1], nn.BatchNorm2d)


class Branches(nn.Module):
    """A norm whose input is used elsewhere, too, and one behind no layer."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.first = nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(self.first(x))
        return y + self.norm(y)


def test_what_cannot_be_folded_stays():
    model, x = _trained(Branches()), floats(2, 3, 8, 8)
    folded = q.fold_batch_norm(model, x)
    assert isinstance(folded.norm, nn.BatchNorm2d) and isinstance(folded.first, nn.BatchNorm2d)
    np.testing.assert_array_equal(_logits(folded, x), _logits(model, x))
