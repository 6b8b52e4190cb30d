"""Explanations of a model's choice, against their definitions written out."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import CLASSES, tiny_cifar10

import minidl
from minidl import explain, nn
from minidl.cli import main
from minidl.cli.explain import _METHODS
from minidl.explain.colours import coloured
from minidl.explain.resize import resized
from minidl.recipes import RECIPES, ArticleNet, classifier_of, fast_net, load_model

METHODS = {
    "saliency": explain.saliency,
    "smooth_grad": lambda *args, **more: explain.smooth_grad(*args, samples=2, **more),
    "integrated_gradients": lambda *args, **more: explain.integrated_gradients(
        *args, steps=2, **more
    ),
    "grad_cam": explain.grad_cam,
    "grad_cam_plus_plus": explain.grad_cam_plus_plus,
    "occlusion": lambda *args, **more: explain.occlusion(*args, window=8, stride=8, **more),
}


def pictures(*shape, seed=0, dtype=np.float32):
    return minidl.tensor(np.random.default_rng(seed).normal(size=shape).astype(dtype))


def linear(seed=0, channels=2, size=3, classes=4):
    """A linear model in float64, and its weights as maps (classes, C, H, W)."""
    minidl.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes)).double()
    return model, model[1].weight.numpy(force=True).reshape(classes, channels, size, size)


def article(seed=0):
    minidl.manual_seed(seed)
    return ArticleNet()


def as_onnx(model, example):
    onnx = pytest.importorskip("minidl.onnx")
    pytest.importorskip("onnx")
    return onnx.from_bytes(onnx.to_bytes(model, example))


# --------------------------------------------------------------------------- gradients


def test_saliency_of_a_linear_model_is_its_weights():
    model, weights = linear()
    x = pictures(3, 2, 3, 3, dtype=np.float64)
    found = explain.saliency(model, x, target=[2, 0, 3])
    np.testing.assert_allclose(found.numpy(), np.abs(weights[[2, 0, 3]]).max(1))
    top = model(x).argmax(1).numpy()
    np.testing.assert_allclose(explain.saliency(model, x).numpy(), np.abs(weights[top]).max(1))
    np.testing.assert_allclose(
        explain.saliency(model, x, 1).numpy(), np.abs(weights[[1, 1, 1]]).max(1)
    )


def test_saliency_is_the_slope_of_the_logit():
    model, x = article().double(), pictures(1, 3, 32, 32, dtype=np.float64)
    model.eval()
    found = explain.saliency(model, x, 7).numpy()
    for i, j in [(0, 0), (15, 16), (31, 3)]:
        slopes = []
        for channel in range(3):
            step = np.zeros(x.shape)
            step[0, channel, i, j] = 1e-6
            above, below = (model(x + sign * minidl.tensor(step))[0, 7] for sign in (1, -1))
            slopes.append(abs((above - below).item()) / 2e-6)
        assert found[0, i, j] == pytest.approx(max(slopes), rel=1e-5, abs=1e-10)


def test_smooth_grad_is_the_mean_gradient():
    x = minidl.tensor(np.full((1, 1, 2, 1), 3.0))
    x[0, 0, 1, 0] = 5.0  # the range is 2

    class Sum(nn.Module):
        def forward(self, x):
            return (x**3).sum((1, 2, 3)).unsqueeze(1)

    found = explain.smooth_grad(Sum(), x, samples=20_000, noise=0.25).numpy()
    expected = 3 * (np.array([[[3.0], [5.0]]]) ** 2 + 0.5**2)  # E[3 (x + s e)^2] = 3 (x^2 + s^2)
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_smooth_grad_takes_the_magnitude_after_the_mean():
    """Around 0 the gradients of x^2 cancel out; their magnitudes would not."""
    x = minidl.tensor(np.array([0.0, 1.0]).reshape(1, 1, 2, 1))

    class Sum(nn.Module):
        def forward(self, x):
            return (x**2).sum((1, 2, 3)).unsqueeze(1)

    found = explain.smooth_grad(Sum(), x, samples=10_000, noise=1.0).numpy().ravel()
    np.testing.assert_allclose(found, [0, 2], atol=0.06)


def test_smooth_grad_is_decided_by_its_seed():
    model, x = article(), pictures(2, 3, 32, 32)
    minidl.manual_seed(5)
    state = minidl.get_rng_state()
    first = explain.smooth_grad(model, x, samples=3, seed=1).numpy()
    assert (minidl.get_rng_state() == state).all()
    minidl.rand(3)
    assert (explain.smooth_grad(model, x, samples=3, seed=1).numpy() == first).all()
    assert (explain.smooth_grad(model, x, samples=3, seed=2).numpy() != first).any()


def test_smooth_grad_without_noise_is_saliency():
    model, x = article(), pictures(2, 3, 32, 32)
    found = explain.smooth_grad(model, x, samples=4, noise=0).numpy()
    np.testing.assert_allclose(found, explain.saliency(model, x).numpy(), rtol=1e-5)


def test_smooth_grad_keeps_to_the_class_of_the_clean_picture():
    """Two linear logits of which noise makes now this, now that the larger one."""
    model, weights = linear()
    x = minidl.zeros(1, 2, 3, 3, dtype=minidl.float64)
    x[0, 0, 0, 0] = 1e-3
    top = int(model(x).argmax())
    found = explain.smooth_grad(model, x, noise=1e6, samples=8).numpy()
    np.testing.assert_allclose(found, np.abs(weights[[top]]).max(1))


@pytest.mark.parametrize("steps", [1, 2, 64])
def test_integrated_gradients_of_a_linear_model_are_exact(steps):
    model, weights = linear()
    x, baseline = pictures(2, 2, 3, 3, dtype=np.float64), pictures(2, 3, 3, seed=1)
    found = explain.integrated_gradients(model, x, 3, baseline, steps)
    expected = weights[3] * (x.numpy() - baseline.numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    found = explain.integrated_gradients(model, x, 3, steps=steps)
    np.testing.assert_allclose(found.numpy(), weights[3] * x.numpy(), rtol=1e-12)


def test_integrated_gradients_of_products():
    """f = x y^2: the integral of (b + a (x - b)) by hand, with b = 0: x y^2 (1/3, 2/3)."""

    class Product(nn.Module):
        def forward(self, x):
            return (x[:, 0] * x[:, 1] ** 2).flatten(1)

    x = minidl.tensor(np.array([2.0, 3.0]).reshape(1, 2, 1, 1))
    found = explain.integrated_gradients(Product(), x, steps=2)
    np.testing.assert_allclose(found.numpy().ravel(), [6, 12], rtol=1e-12)


def rise(model, x, baseline, classes):
    """The logits of ``classes`` less those at the baseline, in evaluation mode."""
    model.eval()
    rows = np.arange(len(x))
    return (model(x).numpy(force=True) - model(baseline).numpy(force=True))[rows, classes]


@pytest.mark.parametrize("seed", range(4))
def test_integrated_gradients_of_the_articles_network_are_complete(seed):
    """Its kinks are what keeps the sum from being exact: 1 % with 64 steps, 0.1 % with 1,024."""
    model, x = article(seed), 2 * pictures(4, 3, 32, 32, seed=seed)
    classes = model(x).argmax(1).numpy()
    expected = rise(model, x, x * 0, classes)
    for steps, tolerance in ((64, 0.01), (1024, 0.001)):
        found = explain.integrated_gradients(model, x, steps=steps)
        total = found.numpy().sum((1, 2, 3))
        scale = np.abs(found.numpy()).sum((1, 2, 3))
        assert (np.abs(total - expected) <= tolerance * scale).all()


@st.composite
def smooth_networks(draw):
    """Small networks without kinks, for pictures (N, 2, 6, 6), in float64."""
    minidl.manual_seed(draw(st.integers(0, 1000)))
    channels, layers = 2, []
    for _ in range(draw(st.integers(1, 3))):
        width = draw(st.integers(1, 4))
        layers.append(nn.Conv2d(channels, width, 3, padding=1, bias=draw(st.booleans())))
        layers += draw(st.sampled_from([[], [nn.BatchNorm2d(width)], [nn.Dropout(0.5)]]))
        layers.append(draw(st.sampled_from([nn.Tanh(), nn.Sigmoid(), nn.SiLU(), nn.GELU()])))
        channels = width
    layers.append(draw(st.sampled_from([nn.AvgPool2d(2), nn.Identity()])))
    layers.append(nn.Flatten())
    features = nn.Sequential(*layers)(minidl.zeros(1, 2, 6, 6)).shape[1]
    return nn.Sequential(*layers, nn.Linear(features, draw(st.integers(1, 5)))).double()


@given(smooth_networks(), st.integers(1, 3), st.integers(0, 100), st.data())
@settings(deadline=None)
def test_integrated_gradients_are_complete(model, count, seed, data):
    classes = model[-1].out_features
    target = data.draw(st.lists(st.integers(0, classes - 1), min_size=count, max_size=count))
    x, baseline = (pictures(count, 2, 6, 6, seed=s, dtype=np.float64) for s in (seed, seed + 1))
    found = explain.integrated_gradients(model, x, target, baseline).numpy()
    expected = rise(model, x, baseline, np.array(target))
    np.testing.assert_allclose(found.sum((1, 2, 3)), expected, rtol=1e-6, atol=1e-9)


# --------------------------------------------------------------------------- class maps


class InPlace(nn.Module):
    """ReLU that changes what it is given."""

    def forward(self, x):
        return x.relu_()


class TwoStages(nn.Module):
    """Maps A = relu(conv(x)), logits = W tanh(pool(A)): their gradient is easily written out."""

    def __init__(self, inplace=False):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)
        self.relu = InPlace() if inplace else nn.ReLU()
        self.pool = nn.AvgPool2d(2)
        self.head = nn.Linear(5 * 4 * 4, 6, bias=False)

    def forward(self, x):
        return self.head(self.pool(self.relu(self.conv(x))).tanh().flatten(1))


def maps_and_gradient(model, x, classes):
    """The maps after ReLU and d logit / d maps, in plain NumPy."""
    maps = np.maximum(model.conv(x).numpy(force=True), 0)  # (N, 5, 8, 8)
    pooled = maps.reshape(len(maps), 5, 4, 2, 4, 2).mean((3, 5))
    weights = model.head.weight.numpy(force=True)[classes].reshape(len(maps), 5, 4, 4)
    gradient = weights * (1 - np.tanh(pooled) ** 2) / 4
    return maps, gradient.repeat(2, 2).repeat(2, 3)


def two_stages(**options):
    minidl.manual_seed(1)
    return TwoStages(**options).double(), pictures(3, 3, 8, 8, dtype=np.float64)


@pytest.mark.parametrize("target", [None, [4, 0, 5]])
def test_grad_cam_is_its_formula(target):
    model, x = two_stages()
    classes = model(x).argmax(1).numpy() if target is None else np.array(target)
    maps, gradient = maps_and_gradient(model, x, classes)
    found = explain.grad_cam(model, x, "relu", target).numpy()
    for n in range(3):
        expected = np.zeros((8, 8))
        for k in range(5):
            weight = gradient[n, k].sum() / 64
            expected += weight * maps[n, k]
        expected = np.maximum(expected, 0)
        np.testing.assert_allclose(found[n], expected / expected.max(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("target", [None, [4, 0, 5]])
def test_grad_cam_plus_plus_is_its_formula(target):
    """With Y = exp(S): dY/dA = e^S g, and alpha of g alone."""
    model, x = two_stages()
    logits = model(x).numpy(force=True)
    classes = logits.argmax(1) if target is None else np.array(target)
    maps, gradient = maps_and_gradient(model, x, classes)
    found = explain.grad_cam_plus_plus(model, x, model.relu, target).numpy()
    for n in range(3):
        expected = np.zeros((8, 8))
        for k in range(5):
            g, total = gradient[n, k], maps[n, k].sum()
            alpha = g**2 / (2 * g**2 + total * g**3)
            slope = np.exp(logits[n, classes[n]]) * g
            expected += (alpha * np.maximum(slope, 0)).sum() * maps[n, k]
        expected = np.maximum(expected, 0)
        np.testing.assert_allclose(found[n], expected / expected.max(), rtol=1e-10, atol=1e-12)


def test_layers_that_work_in_place_do_not_change_what_is_seen():
    model, x = two_stages(inplace=True)
    plain, _ = two_stages()
    for layer in ("conv", "relu"):
        for method in (explain.grad_cam, explain.grad_cam_plus_plus):
            found = method(model, x, layer, 2).numpy()
            np.testing.assert_allclose(found, method(plain, x, layer, 2).numpy(), rtol=1e-12)
    before = x.numpy().copy()
    first = nn.Sequential(InPlace(), nn.Flatten(), nn.Linear(192, 2)).double()
    for name in ("saliency", "integrated_gradients", "occlusion"):
        METHODS[name](first, x)
    assert (x.numpy() == before).all()


def test_class_maps_are_enlarged_as_pillow_does():
    """Half-pixel centres; the default layer is the last one with a place in its maps."""
    image = pytest.importorskip("PIL.Image")
    model, x = two_stages()
    pooled = explain.grad_cam(model, x).numpy()  # of the pooled maps, (4, 4)
    maps = minidl.tensor(np.random.default_rng(2).random((2, 4, 5)).astype(np.float32))
    found = resized(maps, 11, 32).numpy()
    for small, large in zip(maps.numpy(), found):
        expected = image.fromarray(small).resize((32, 11), image.Resampling.BILINEAR)
        np.testing.assert_allclose(large, np.asarray(expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(pooled, explain.grad_cam(model, x, model.pool).numpy())
    assert (
        pooled.shape == (3, 8, 8) and (pooled != explain.grad_cam(model, x, "relu").numpy()).any()
    )


def test_a_layer_called_twice_counts_by_its_last_call():
    model, x = article(), pictures(1, 3, 32, 32)
    model.eval()
    found = explain.grad_cam(model, x).numpy()
    np.testing.assert_array_equal(found, explain.grad_cam(model, x, "pool").numpy())
    small = model.pool(model.conv2(model.pool(model.conv1(x).relu())).relu()).detach()
    maps = small.requires_grad_()
    score = model.fc3(model.fc2(model.fc1(maps.flatten(1)).relu()).relu()).max()
    (gradient,) = minidl.autograd.grad(score, maps)
    weights = gradient.numpy().mean((2, 3), keepdims=True)
    expected = np.maximum((weights * maps.numpy(force=True)).sum(1), 0)
    expected = resized(minidl.tensor(expected), 32, 32).numpy()
    np.testing.assert_allclose(found, expected / expected.max(), rtol=1e-4, atol=1e-5)


def test_nothing_for_the_class_is_an_empty_map():
    model, x = two_stages()
    with minidl.no_grad():
        model.head.weight.copy_(-minidl.ones(6, 80).abs())
    for method in (explain.grad_cam, explain.grad_cam_plus_plus):
        assert (method(model, x, "relu").numpy() == 0).all()


def test_grad_cam_plus_plus_of_small_gradients():
    """g^3 is 0 in float32 there; the reduced fraction is not."""
    model, x = two_stages()
    expected = explain.grad_cam_plus_plus(model, x, "relu", 1).numpy()
    model.float()
    model.head.weight.data *= 1e-20
    found = explain.grad_cam_plus_plus(model, x.float(), "relu", 1).numpy()
    assert np.isfinite(found).all() and found.max() == 1
    assert found.shape == expected.shape


# --------------------------------------------------------------------------- occlusion


@pytest.mark.parametrize(("window", "stride"), [(8, 4), (5, 3), (12, 12), (1, 1), (4, 2)])
def test_occlusion_is_a_slow_loop(window, stride):
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(240, 4))
    x = pictures(2, 2, 12, 10)
    if window > 10:
        x = minidl.cat([x, x[:, :, :, :6]], 3)
        model = nn.Sequential(nn.Flatten(), nn.Linear(2 * 12 * 16, 4))
    found = explain.occlusion(model, x, [1, 3], window, stride, value=0.5).numpy()
    height, width = x.shape[2:]
    tops, lefts = ({*range(0, n - window, stride), n - window} for n in (height, width))
    for n, target in enumerate([1, 3]):
        before = model(x[n : n + 1]).softmax(1)[0, target].item()
        total, count = np.zeros((height, width)), np.zeros((height, width))
        for top in tops:
            for left in lefts:
                covered = x[n : n + 1].numpy().copy()
                covered[:, :, top : top + window, left : left + window] = 0.5
                after = model(minidl.tensor(covered)).softmax(1)[0, target].item()
                total[top : top + window, left : left + window] += before - after
                count[top : top + window, left : left + window] += 1
        np.testing.assert_allclose(found[n], total / count, atol=1e-6)


# --------------------------------------------------------------------------- what holds for all


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("make", [article, fast_net], ids=["article", "fast"])
def test_shapes_and_ranges(name, make):
    minidl.manual_seed(0)
    found = METHODS[name](make(), pictures(2, 3, 32, 32))
    assert found.shape == ((2, 3, 32, 32) if name == "integrated_gradients" else (2, 32, 32))
    assert found.dtype == minidl.float32 and not found.requires_grad
    assert np.isfinite(found.numpy()).all() and np.ptp(found.numpy()) > 0
    if name.startswith("grad_cam"):
        assert found.numpy().min() >= 0
        np.testing.assert_array_equal(found.amax((1, 2)).numpy(), 1)


@pytest.mark.parametrize("name", METHODS)
def test_pictures_are_explained_one_by_one(name):
    model, x = article(), pictures(3, 3, 32, 32)
    together = METHODS[name](model, x, target=[1, 2, 3]).numpy()
    for i in range(3):
        alone = METHODS[name](model, x[i : i + 1], target=i + 1).numpy()
        np.testing.assert_allclose(together[i], alone[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("make", [article, fast_net], ids=["article", "fast"])
def test_a_file_of_onnx_is_explained_as_its_model_is(name, make):
    minidl.manual_seed(0)
    model, x = make(), pictures(2, 3, 32, 32)
    read = as_onnx(model, x)
    expected = METHODS[name](model, x).numpy()
    np.testing.assert_allclose(METHODS[name](read, x).numpy(), expected, rtol=1e-3, atol=1e-5)


def test_steps_of_an_onnx_file_are_layers():
    model, x = article(), pictures(2, 3, 32, 32)
    read = as_onnx(model, x)
    expected = explain.grad_cam(model, x, model.conv2).numpy()
    found = explain.grad_cam(read, x, "conv2d_3").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    found = explain.grad_cam(nn.Sequential(nn.Identity(), read), x, "1.conv2d_3").numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)
    assert not read._step_hooks
    with pytest.raises(ValueError, match="returned by 'conv2d_0', 'relu_1', 'max_pool2d_2'"):
        explain.grad_cam(read, x, "nothere")


def test_a_step_hook_may_change_the_result():
    read = as_onnx(article(), pictures(1, 3, 32, 32))
    x, names = pictures(1, 3, 32, 32), []
    with read.register_step_hook(lambda name, result: names.append(name)):
        expected = read(x)
    assert names[:2] == ["conv2d_0", "relu_1"] and names[-1] == "output"
    with read.register_step_hook(lambda name, result: result + 1 if name == "output" else None):
        np.testing.assert_allclose(read(x).numpy(force=True), expected.numpy(force=True) + 1)
    np.testing.assert_array_equal(read(x).numpy(force=True), expected.numpy(force=True))


class Fails(nn.Module):
    """Breaks off in the middle of the network, from the second call on."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 1:
            raise ArithmeticError("broken")
        return x


def state_of(model):
    """What an explanation must leave as it is."""
    return (
        [(module.training, len(module._hooks)) for module in model.modules()],
        [(p.requires_grad, id(p.grad), None if p.grad is None else p.grad.numpy().tobytes())
         for p in model.parameters()],
        [t.numpy(force=True).tobytes() for t in model.state_dict().values()],
    )  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_the_model_is_left_as_it_was(name, fails):
    minidl.manual_seed(0)
    model = fast_net()
    x = pictures(2, 3, 32, 32)
    model(x).sum().backward()
    for parameter in list(model.parameters())[:3]:
        parameter.requires_grad_(False)
    list(model.parameters())[4].grad = None
    model.train()
    model[1].eval()
    asked = pictures(2, 3, 32, 32).requires_grad_()
    if fails:
        model.insert(9, Fails())
        model[9].calls = 1
    before = state_of(model)
    if fails:
        with pytest.raises(ArithmeticError):
            METHODS[name](model, asked)
    else:
        METHODS[name](model, asked)
    assert state_of(model) == before
    assert asked.requires_grad and asked.grad is None
    assert minidl.is_grad_enabled()


@pytest.mark.parametrize("name", METHODS)
def test_no_grad_and_frozen_parameters_change_nothing(name):
    model, x = article(), pictures(2, 3, 32, 32)
    expected = METHODS[name](model, x).numpy()
    with minidl.no_grad():
        np.testing.assert_array_equal(METHODS[name](model, x).numpy(), expected)
        assert not minidl.is_grad_enabled()
    model.requires_grad_(False)
    np.testing.assert_array_equal(METHODS[name](model, x).numpy(), expected)


@pytest.mark.parametrize("name", METHODS)
def test_evaluation_mode_is_what_is_explained(name):
    """Dropout and the statistics of the batch would make it another model."""
    minidl.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5)
    model = nn.Sequential(*layers, nn.AvgPool2d(6), nn.Flatten(), nn.Linear(100, 3))
    x = pictures(2, 3, 32, 32)
    expected = METHODS[name](model.eval(), x).numpy()
    np.testing.assert_array_equal(METHODS[name](model.train(), x).numpy(), expected)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    ("target", "message"),
    [
        (10, "classes are 0 to 9, got 10"),
        (-1, "classes are 0 to 9, got -1"),
        ([0, 10], r"classes are 0 to 9, got \[0, 10\]"),
        ([0], "one for each of 2 pictures"),
        ([0, 1, 2], "one for each of 2 pictures"),
        (1.5, "target is a class"),
        ("cat", "target is a class"),
        (True, "target is a class"),
        ([[0], [1, 2]], "target is a class"),
    ],
)
def test_targets_that_cannot_be(name, target, message):
    with pytest.raises(ValueError, match=message):
        METHODS[name](article(), pictures(2, 3, 32, 32), target=target)


@pytest.mark.parametrize("name", METHODS)
def test_inputs_that_cannot_be(name):
    method = METHODS[name]
    for wrong in (pictures(3, 32, 32), pictures(0, 3, 32, 32), pictures(1, 3, 32, 32).long()):
        with pytest.raises(ValueError, match=r"batch of pictures \(N, C, H, W\)"):
            method(article(), wrong)
    with pytest.raises(TypeError, match="Tensor of pictures, got ndarray"):
        method(article(), np.zeros((1, 3, 32, 32)))
    with pytest.raises(TypeError, match="is a Module, got function"):
        method(lambda x: x, pictures(1, 3, 32, 32))
    with pytest.raises(ValueError, match=r"\(2, classes\) for 2 pictures"):
        method(nn.Conv2d(3, 4, 3), pictures(2, 3, 32, 32))


@pytest.mark.parametrize("method", [explain.grad_cam, explain.grad_cam_plus_plus])
def test_layers_that_cannot_be(method):
    model, x = article(), pictures(1, 3, 32, 32)
    with pytest.raises(ValueError, match=r"no layer 'conv3': .* by 'conv1', 'conv2', 'pool'"):
        method(model, x, "conv3")
    with pytest.raises(ValueError, match="layer 'fc1' returns something else"):
        method(model, x, model.fc1)
    with pytest.raises(ValueError, match="this Linear does not belong to it"):
        method(model, x, nn.Linear(1, 1))
    model, _ = linear()
    with pytest.raises(ValueError, match="are returned by no layer of the model"):
        method(model, pictures(1, 2, 3, 3, dtype=np.float64))

    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 2, 3)

        def forward(self, x):
            self.conv(x)
            return x.flatten(1)

    with pytest.raises(ValueError, match="do not depend on that layer"):
        method(Aside(), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: explain.smooth_grad(m, x, samples=0), "samples is a positive whole number"),
        (lambda m, x: explain.smooth_grad(m, x, samples=1.5), "samples is a positive"),
        (lambda m, x: explain.smooth_grad(m, x, noise=-0.1), "noise is a share"),
        (lambda m, x: explain.smooth_grad(m, x, noise=float("nan")), "noise is a share"),
        (lambda m, x: explain.integrated_gradients(m, x, steps=0), "steps is a positive"),
        (lambda m, x: explain.integrated_gradients(m, x, None, x[:, :, 1:]), "the baseline is"),
        (lambda m, x: explain.integrated_gradients(m, x, None, x.unsqueeze(0)), "the baseline is"),
        (lambda m, x: explain.occlusion(m, x, window=33), "does not cover pictures of 32x32"),
        (lambda m, x: explain.occlusion(m, x, window=4, stride=5), "stride <= window <= 32"),
        (lambda m, x: explain.occlusion(m, x, stride=0), "stride is a positive"),
    ],
)
def test_options_that_cannot_be(call, message):
    with pytest.raises(ValueError, match=message):
        call(article(), pictures(1, 3, 32, 32))


# --------------------------------------------------------------------------- pictures


def test_colours_run_from_dark_to_bright():
    found = coloured(np.linspace(0, 1, 101))
    assert found[0].tolist() == [0, 0, 4] and found[-1].tolist() == [252, 255, 164]
    brightness = found @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(brightness) >= 0).all()
    matplotlib = pytest.importorskip("matplotlib")
    theirs = matplotlib.colormaps["inferno"](np.linspace(0, 1, 101))[:, :3] * 255
    assert np.abs(found - theirs).max() < 20
    assert np.abs(found[::25] - theirs[::25]).max() <= 1  # there are the table's own colours


def test_overlay_blends():
    pytest.importorskip("PIL")
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    heatmap = np.linspace(-1, 2, 24).reshape(4, 6)
    found = np.asarray(explain.overlay(picture, heatmap, alpha=0.25)).astype(float)
    expected = 0.75 * picture + 0.25 * coloured(heatmap.clip(0) / 2)
    assert np.abs(found - expected).max() <= 1
    alone = explain.overlay(picture, minidl.tensor(heatmap), alpha=0)
    np.testing.assert_array_equal(np.asarray(alone), picture)
    empty = np.asarray(explain.overlay(picture, heatmap * 0, alpha=1))
    assert (empty == [0, 0, 4]).all()


def test_overlay_takes_maps_and_pictures_of_all_sizes():
    image = pytest.importorskip("PIL.Image")
    grey = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    wanted = np.asarray(explain.overlay(grey, np.eye(5)))
    assert wanted.shape == (20, 30, 3)
    for same in (grey[..., None], image.fromarray(grey), image.fromarray(grey).convert("RGBA")):
        np.testing.assert_array_equal(np.asarray(explain.overlay(same, np.eye(5))), wanted)
    corner = np.zeros((2, 2))
    corner[0, 1] = 1
    found = np.asarray(explain.overlay(grey, corner, alpha=1)).astype(int).sum(2)
    assert found[0, -1] == 252 + 255 + 164 and found[-1, 0] == 4


@pytest.mark.parametrize(
    ("picture", "heatmap", "alpha", "message"),
    [
        (np.zeros((4, 4)), np.eye(4), 0.5, "uint8 array"),
        (np.zeros((4, 4, 2), np.uint8), np.eye(4), 0.5, "uint8 array"),
        (np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4)), 0.5, "that of one picture"),
        (np.zeros((4, 4), np.uint8), np.full((4, 4), np.nan), 0.5, "no numbers"),
        (np.zeros((4, 4), np.uint8), np.eye(4), 1.5, "alpha lies from 0 to 1"),
    ],
)
def test_overlays_that_cannot_be(picture, heatmap, alpha, message):
    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match=message):
        explain.overlay(picture, heatmap, alpha)


# --------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a fresh network, ``model``, and a picture, ``picture.png``."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path_factory.mktemp("files")
    minidl.manual_seed(0)
    recipe = RECIPES["fast"]
    classifier_of(recipe, recipe.model(), CLASSES).save(folder / "model")
    pixels = np.random.default_rng(1).integers(0, 256, (50, 40, 3)).astype(np.uint8)
    image.fromarray(pixels).save(folder / "picture.png")
    return folder


def run(capsys, *words):
    """The exit code, and what was printed as an answer and beside it."""
    code = main(["explain", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def expected_map(method, network, x, target):
    if method == "integrated-gradients":
        return explain.integrated_gradients(network, x, target).sum(1)
    if method == "occlusion":
        return explain.occlusion(network, x, target, window=8, stride=4)
    name = method.replace("++", "_plus_plus").replace("-", "_")
    return getattr(explain, name)(network, x, target=target)


@pytest.mark.parametrize("method", _METHODS)
def test_the_command_writes_the_overlay(capsys, files, tmp_path, method):
    image = pytest.importorskip("PIL.Image")
    out = tmp_path / "overlay.png"
    words = files / "model", files / "picture.png", "--out", out, "--method", method
    code, printed, err = run(capsys, *words, "--target", "class3", "--json")
    assert code == 0, err
    model, picture = load_model(files / "model"), image.open(files / "picture.png")
    x = model.prepare(picture).unsqueeze(0)
    share = model.probabilities(x)[0, 3]
    assert json.loads(printed) == {
        "picture": str(files / "picture.png"),
        "method": method,
        "target": "class3",
        "probability": pytest.approx(float(share)),
        "overlay": str(out),
    }
    expected = explain.overlay(picture, expected_map(method, model.network, x, 3)[0])
    np.testing.assert_array_equal(np.asarray(image.open(out)), np.asarray(expected))


def test_the_command_explains_the_likeliest_class(capsys, files, tmp_path):
    image = pytest.importorskip("PIL.Image")
    model, picture = load_model(files / "model"), image.open(files / "picture.png")
    x = model.prepare(picture).unsqueeze(0)
    shares = model.probabilities(x)[0]
    for layer in (None, "9"):
        out = tmp_path / f"{layer}.png"
        words = files / "model", files / "picture.png", "--out", out
        code, printed, _ = run(capsys, *words, *([] if layer is None else ["--layer", layer]))
        name = CLASSES[shares.argmax()]
        line = f"{files / 'picture.png'}: {name} {shares.max():.1%}; wrote {out}\n"
        assert (code, printed) == (0, line)
        expected = explain.overlay(picture, explain.grad_cam(model.network, x, layer)[0])
        np.testing.assert_array_equal(np.asarray(image.open(out)), np.asarray(expected))


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--target", "cat"], 1, "'cat' is none of them"),
        (["--layer", "x"], 1, "calls no layer 'x': maps (N, K, H, W) of more than one pixel are"),
        (["--layer", "9", "--method", "occlusion"], 2, "--layer goes with grad-cam or grad-cam++"),
        (["--out", "{files}/nothere/x.png"], 1, "No such file"),
    ],
)
def test_what_the_command_cannot_do(capsys, files, tmp_path, words, code, message):
    usual = files / "model", files / "picture.png", "--out", tmp_path / "x.png"
    found, printed, err = run(capsys, *usual, *(word.format(files=files) for word in words))
    assert (found, printed) == (code, "")
    assert err.startswith("minidl") and message in err
    assert not list(tmp_path.iterdir())


def test_the_command_writes_no_other_formats(capsys, files):
    with pytest.raises(SystemExit):
        main(["explain", str(files / "model"), str(files / "picture.png"), "--out", "x.txt"])
    assert "ends with .png, .jpg or .webp" in capsys.readouterr().err


def test_the_sheet_of_the_documentation(files, tmp_path, monkeypatch):
    sheet = pytest.importorskip("explain_sheet")  # it needs matplotlib
    data = tiny_cifar10(tmp_path, per_file=4)
    out = tmp_path / "sheet.png"
    words = [files / "model", "--data", data, "--pictures", 0, 3, "--out", out]
    monkeypatch.setattr("sys.argv", ["explain_sheet.py", *map(str, words)])
    monkeypatch.setenv("MPLBACKEND", "agg")
    sheet.main()
    assert out.read_bytes().startswith(b"\x89PNG")


def test_maps_by_default_are_not_too_coarse():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 2),
    )
    x = minidl.randn(1, 3, 8, 8)
    by_default = explain.grad_cam(model, x, target=1).numpy()
    np.testing.assert_array_equal(by_default, explain.grad_cam(model, x, "1", 1).numpy())
    assert not np.array_equal(by_default, explain.grad_cam(model, x, "2", 1).numpy())


def test_maps_of_one_pixel_are_none():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )
    x = minidl.randn(1, 3, 6, 6)
    by_default = explain.grad_cam(model, x, target=1).numpy()
    np.testing.assert_array_equal(by_default, explain.grad_cam(model, x, "0", 1).numpy())
    with pytest.raises(ValueError, match="more than one pixel"):
        explain.grad_cam(model, x, "1", 1)
