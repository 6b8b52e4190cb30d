"""Compiled modules: modules like their originals, with the same bits forward and backward."""

import copy
import gc
import pickle
import warnings
import weakref
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.compiler import CaptureError
from minidl.compiler.halves import Lease
from minidl.compiler.module import CompiledModule
from minidl.nn import functional as F

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


class Residual(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.down(F.gelu(self.up(self.norm(x))))


MODELS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7)),
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 7),
    ),
    "pooled": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 7)
    ),
    "dropout": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(192, 16), nn.Dropout(0.4), nn.ReLU(), nn.Linear(16, 7)
    ),
    "layer norm": lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 7)),
    "residual": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(192, 8), Residual(), Residual(), nn.Linear(8, 7)
    ),
}
OPTIMIZERS = {
    "momentum": lambda p: minidl.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "adamw": lambda p: minidl.optim.AdamW(p, lr=0.01),
}


def pair(make, **options):
    """A module and another one like it, compiled."""
    minidl.manual_seed(1)
    eager = make()
    return eager, CompiledModule(copy.deepcopy(eager), **options)


def tensor(*shape, seed=0, requires_grad=False):
    values = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return minidl.tensor(values, requires_grad=requires_grad)


def batches(count, size=3, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = rng.standard_normal((size, 3, 8, 8)).astype(np.float32)
        yield minidl.tensor(x), minidl.tensor(rng.integers(0, 7, size))


def bits(tensors):
    return [None if t is None else (t.dtype, t.shape, t.array.tobytes()) for t in tensors]


def gradients(module):
    return bits([p.grad for p in module.parameters()])


def state(module):
    return bits(module.state_dict().values()) + gradients(module)


def both(eager, compiled, use, times=6):
    """``use(module, i)`` of both, which return tensors: the same bits, gradients included."""
    for i in range(times):
        found = []
        for module in (eager, compiled):
            minidl.manual_seed(i)
            found.append([bits(use(module, i)), state(module)])
        assert found[0] == found[1], f"call {i}"


# --------------------------------------------------------------------------- training


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_same_bits_as_eager(model, optimizer):
    eager, compiled = pair(MODELS[model])
    optimizers = {m: OPTIMIZERS[optimizer](m.parameters()) for m in (eager, compiled)}
    data = list(batches(7))

    def step(module, i):
        x, y = data[i]
        optimizers[module].zero_grad()
        logits = module(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizers[module].step()
        return loss, logits

    both(eager, compiled, step, 7)
    assert compiled.captures == 1


@pytest.mark.parametrize("model", ["convolutions", "dropout", "residual"])
def test_same_bits_in_the_emulator(model):
    eager, compiled = pair(lambda: MODELS[model]().to("emulator"))
    (x, y), *_ = batches(1, size=2)

    def use(module, i):
        given = (x * (i + 1)).to("emulator").requires_grad_()
        logits = module(given)
        F.cross_entropy(logits, y.to("emulator")).backward()
        (module(given) * logits.detach()).sum().backward()
        return [t.cpu() for t in (logits, given.grad)]

    for i in range(5):
        found = []
        for module in (eager, compiled):
            minidl.manual_seed(i)
            found.append([bits(use(module, i)), bits([p.grad.cpu() for p in module.parameters()])])
        assert found[0] == found[1], f"call {i}"
    assert compiled.captures in (1, 2)


def test_a_script_that_compiles_its_model(tmp_path):
    def main(compiles):
        minidl.manual_seed(0)
        model = MODELS["convolutions"]()
        if compiles:
            model = CompiledModule(model)
        optimizer = minidl.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        scheduler = minidl.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
        criterion = nn.CrossEntropyLoss()
        log = []
        for epoch in range(4):
            model.train()
            for x, y in [*batches(4, seed=epoch), *batches(1, size=2)]:
                optimizer.zero_grad()
                loss = criterion(model(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                log.append(loss.item())
            scheduler.step()
            model.eval()
            correct, total = 0, 0.0
            with minidl.no_grad():
                for x, y in batches(3, size=4):
                    logits = model(x)
                    total += criterion(logits, y).item()
                    correct += (logits.argmax(1) == y).sum().item()
            log.append((correct, total))
        minidl.save(model.state_dict(), tmp_path / "model.pt")
        model.load_state_dict(minidl.load(tmp_path / "model.pt"))
        return model, log

    (eager, expected), (compiled, found) = main(False), main(True)
    assert found == expected
    assert state(eager) == state(compiled)
    assert compiled.captures == 3  # a batch of 2 is seen once an epoch


def test_new_shapes_modes_and_frozen_parameters_are_captured_anew():
    eager, compiled = pair(MODELS["convolutions"])

    def use(module, i, size=5):
        out = module(tensor(size, 3, 8, 8, seed=i))
        out.square().sum().backward()
        return [out]

    both(eager, compiled, lambda module, i: use(module, i, 2))
    both(eager, compiled, use)
    for change in (
        lambda m: m.eval(),
        lambda m: m[5].weight.requires_grad_(False),
        lambda m: m[5].weight.requires_grad_(True),
        lambda m: m.train(),
    ):
        change(eager), change(compiled)
        both(eager, compiled, use)
    assert compiled.captures == 4 and compiled[1].training


def test_gradients_add_up_and_options_of_backward():
    eager, compiled = pair(MODELS["linear"])
    (x, y), *_ = batches(1)

    def use(module, i):
        loss = F.cross_entropy(module(x), y)
        loss.backward(retain_graph=True)
        loss.backward()
        with pytest.raises(RuntimeError, match="a second time"):
            loss.backward()
        return [loss]

    both(eager, compiled, use)


@pytest.mark.parametrize("reduce", ["sum", "mean", "square"])
def test_gradients_of_any_layout(reduce):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(tensor(37, 5)), nn.Parameter(tensor(5))

        def forward(self, x):
            return x @ self.weight / 3 + self.bias

    eager, compiled = pair(Net)

    def use(module, i):
        out = module(tensor(41, 37, seed=i))
        if reduce == "square":
            out = minidl.cat([out.t() * 2, out.t()], 0)[3:8].square()
        getattr(out, "mean" if reduce == "mean" else "sum")().backward()
        return [out]

    both(eager, compiled, use, 8)
    assert compiled.captures == 1


def test_gradients_of_another_layout_than_those_before():
    eager, compiled = pair(MODELS["linear"])
    (x, y), *_ = batches(1)

    def use(module, i):
        module.zero_grad()
        out = module(x)
        (F.cross_entropy(out, y) if i % 8 < 4 else out.sum()).backward()
        return [out]

    both(eager, compiled, use, 4)
    use(eager, 4), use(compiled, 4)  # the gradient is brought to the layout of those before
    for a, b in zip(eager.parameters(), compiled.parameters()):
        assert np.allclose(a.grad.array, b.grad.array, rtol=1e-6)
    both(eager, compiled, use, 20)
    assert compiled.captures == 2


# --------------------------------------------------------------------------- parts of a graph


def test_several_calls_before_backward():
    eager, compiled = pair(MODELS["dropout"])

    def use(module, i):
        real, fake = (module(tensor(3, 192, seed=i + j)) for j in (0, 50))
        loss = F.relu(1 - real).mean() + F.relu(1 + fake).mean() + (real * fake).sum()
        loss.backward()
        return real, fake

    both(eager, compiled, use)


def test_a_generator_and_a_discriminator():
    def make():
        minidl.manual_seed(3)
        generator = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 10))
        discriminator = nn.Sequential(nn.Linear(10, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
        return generator, discriminator

    def train(generator, discriminator):
        of_g = minidl.optim.AdamW(generator.parameters(), lr=0.01)
        of_d = minidl.optim.AdamW(discriminator.parameters(), lr=0.01)
        log = []
        for i in range(8):
            of_d.zero_grad()
            fake = generator(tensor(5, 4, seed=i))
            losses = F.relu(1 - discriminator(tensor(5, 10, seed=i))).mean()
            losses = losses + F.relu(1 + discriminator(fake.detach())).mean()
            losses.backward()
            of_d.step()
            of_g.zero_grad()
            loss = -discriminator(fake).mean()
            loss.backward()
            of_g.step()
            log += [losses.item(), loss.item()]
        return log, state(generator), state(discriminator)

    assert train(*make()) == train(*map(CompiledModule, make()))


def test_between_eager_operations():
    eager, compiled = pair(Residual)
    weights = {m: nn.Parameter(tensor(8)) for m in (eager, compiled)}

    def use(module, i):
        x = tensor(3, 8, seed=i, requires_grad=True)
        h = x * weights[module]
        for _ in range(3):  # with shared parameters, and h used beside the module
            h = module(h) + h * 0.5
        h.tanh().sum().backward()
        return h, x.grad, weights[module].grad

    both(eager, compiled, use, 8)


def test_an_argument_that_is_used_several_times():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(8, 8) for _ in range(3))

        def forward(self, x):
            scores = self.q(x) @ self.k(x).transpose(1, 2)
            return F.softmax(scores, 2) @ self.v(x)

    eager, compiled = pair(Attention)

    def use(module, i):
        x = tensor(2, 5, 8, seed=i, requires_grad=True)
        h = x.exp()
        y = module(h) + h
        (y * y).sum().backward()
        return y, x.grad

    both(eager, compiled, use)


def test_gradients_by_autograd_grad():
    eager, compiled = pair(MODELS["residual"])

    def use(module, i):
        x = tensor(3, 192, seed=i, requires_grad=True)
        out = module(x).exp().sum()
        some = [x, *list(module.parameters())[:2]]
        first = minidl.autograd.grad(out, some[:1], retain_graph=True)
        second = minidl.autograd.grad(out, some)
        kept.append((second, bits(second)))
        return [*first, *second]

    kept = []
    both(eager, compiled, use)
    assert all(bits(tensors) == before for tensors, before in kept)  # nobody has written there


def test_outputs_that_are_not_used():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, x):
            return self.a(x), self.b(x).exp()

    eager, compiled = pair(Two)

    def use(module, i):
        module.zero_grad()
        a, b = module(tensor(2, 4, seed=i))
        loss = (a.sum(), b.square().sum(), a.square().sum() + b.sum())[i // 4 % 3]
        loss.backward()
        return a, b

    both(eager, compiled, use, 24)
    assert None in gradients(compiled) or compiled.a.weight.grad is not None


def test_other_outputs_in_other_modes():
    class Auxiliary(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 5)

        def forward(self, x):
            return (self.a(x), self.b(x)) if self.training else (self.b(x),)

    eager, compiled = pair(Auxiliary)

    def use(module, i):
        module.train(i % 12 < 6)
        outs = module(tensor(2, 4, seed=i))
        sum(out.mean() for out in outs).backward()
        return outs

    both(eager, compiled, use, 24)
    assert compiled.captures == 2


def test_an_output_that_the_module_uses_itself():
    class Deep(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            hidden = self.a(x).tanh()
            return {"hidden": hidden, "out": [self.b(hidden), hidden]}

    eager, compiled = pair(Deep)

    def use(module, i):
        found = module(tensor(2, 4, seed=i))
        assert list(found) == ["hidden", "out"] and found["out"][1] is found["hidden"]
        (found["out"][0].exp() * found["hidden"]).sum().backward()
        return found["hidden"], found["out"][0]

    both(eager, compiled, use)


def test_hooks_on_parameters_outputs_and_modules():
    eager, compiled = pair(MODELS["linear"])
    seen = {m: [] for m in (eager, compiled)}
    for module in seen:
        parameter = next(iter(module.parameters()))
        parameter.register_hook(lambda g: g * 2)
        module.register_forward_hook(lambda m, args, out: out * 3)
        module.register_forward_pre_hook(lambda m, args: (args[0] + 1,))

    def use(module, i):
        out = module(tensor(3, 192, seed=i))
        out.register_hook(lambda g: seen[module].append(bits([g])))
        out.retain_grad()
        out.square().sum().backward()
        return out, out.grad

    both(eager, compiled, use)
    assert seen[eager] == seen[compiled]


Parts = namedtuple("Parts", "first rest")


def test_views_and_arguments_as_results():
    class Views(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(tensor(4, 3))
            self.register_buffer("count", minidl.zeros(3))

        def forward(self, x, y):
            h = x * self.weight.sum()
            rest = {
                "x": x,
                "view": y.reshape(2, 6),
                "row": x[1],
                "weight": self.weight,
                "turned": self.weight.t(),
                "buffer": self.count,
                "halves": h.chunk(2),
                "out of it": h.detach(),
                "number": 3,
            }
            return Parts(h, rest)

    eager, compiled = pair(Views)

    def use(module, i):
        x, y = tensor(4, 3, seed=i), tensor(4, 3, seed=i + 9, requires_grad=True)
        first, rest = module(x, y * 1)
        assert rest["x"] is x and rest["weight"] is module.weight
        assert rest["buffer"] is module.count and rest["number"] == 3
        assert np.shares_memory(rest["turned"].array, module.weight.array)
        assert np.shares_memory(rest["row"].array, x.array)
        assert np.shares_memory(rest["halves"][0].array, first.array)
        assert np.shares_memory(rest["out of it"].array, first.array)
        assert not rest["out of it"].requires_grad and rest["turned"].requires_grad
        with pytest.raises(RuntimeError, match="view"):
            rest["turned"].add_(1)
        total = first * 2 + rest["turned"].t() + rest["view"].reshape(4, 3) * rest["row"]
        (total.sum() + rest["halves"][1].exp().sum()).backward()
        return first, rest["view"], rest["turned"], *rest["halves"], y.grad

    both(eager, compiled, use)
    assert compiled.captures == 1
    with minidl.no_grad():
        for _ in range(4):
            x = tensor(4, 3)
            compiled(x, x)[1]["row"].zero_()
            assert not x.array[1].any()


def test_results_are_not_overwritten():
    _, compiled = pair(MODELS["pooled"])
    kept = [compiled(x) for x, _ in batches(5)]
    before = bits(kept)
    for x, _ in batches(5, seed=1):
        compiled(x).sum().backward()
    assert bits(kept) == before
    with minidl.no_grad():
        kept = [compiled(x) for x, _ in batches(5)]
        before = bits(kept)
        for x, _ in batches(5, seed=1):
            compiled(x)
    assert bits(kept) == before


def test_parameters_that_are_shared():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6)
            self.two.weight = self.one.weight

        def forward(self, x):
            return self.two(self.one(x).relu())

    eager, compiled = pair(Tied)
    assert len(list(compiled.parameters())) == 3

    def use(module, i):
        out = module(module(tensor(5, 6, seed=i))) + module(tensor(5, 6, seed=i))
        out.square().mean().backward()
        return [out]

    both(eager, compiled, use, 8)


def test_one_tensor_for_two_arguments():
    class Product(nn.Module):
        def forward(self, a, b=None, *, scale=1.0):
            return (a * b).exp() * scale

    eager, compiled = pair(Product)

    def use(module, i):
        a, b = (tensor(3, seed=s, requires_grad=True) for s in (i, 7))
        out = module(a, a) + module(a, b=b) * module(a, b, scale=2.0) + module(a.detach(), b)
        out.sum().backward()
        return out, a.grad, b.grad

    both(eager, compiled, use, 8)
    for _ in range(5):
        assert bits([compiled(tensor(1), tensor(1), scale=-0.0)]) == bits(
            [eager(tensor(1), tensor(1), scale=-0.0)]
        )


def test_batch_norm_moves_its_statistics_once_a_call():
    eager, compiled = pair(MODELS["convolutions"])

    def use(module, i):
        outs = [module(tensor(3, 3, 8, 8, seed=i + j)) for j in (0, 9)]
        (outs[0] * outs[1]).sum().backward()
        with minidl.no_grad():
            module(tensor(3, 3, 8, 8))
        return outs

    both(eager, compiled, use)
    assert compiled[1].num_batches_tracked.item() == 18


def test_in_place_operations_inside():
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            h = self.linear(x)
            h.add_(1.0)
            h.mul_(0.5)
            return h

    eager, compiled = pair(Places)

    def use(module, i):
        out = module(tensor(2, 4, seed=i))
        out.mul_(2.0)
        out.sum().backward()
        return [out]

    both(eager, compiled, use)
    assert compiled.captures == 1


# --------------------------------------------------------------------------- what is refused


def test_second_derivatives_are_an_error_in_its_name():
    _, compiled = pair(MODELS["linear"])
    for _ in range(5):
        x = tensor(3, 192, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"compile\(Sequential\): gradients"):
            minidl.autograd.grad(compiled(x).sum(), x, create_graph=True)
    x = tensor(3, 192, requires_grad=True)
    minidl.autograd.grad(compiled._orig_mod(x).exp().sum(), x, create_graph=True)


def test_changes_between_forward_and_backward_are_noticed():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(tensor(3)), nn.Parameter(tensor(3))

        def forward(self, x):
            return (x * self.weight + self.bias).exp()

    eager, compiled = pair(Scale)
    for _ in range(4):
        compiled(tensor(3, requires_grad=True)).sum().backward()
    for module in (eager, compiled):
        for change, fails in (
            (lambda m, x, y: m.weight.mul_(2), True),
            (lambda m, x, y: x.mul_(2), True),
            (lambda m, x, y: y.mul_(2), True),
            (lambda m, x, y: m.bias.mul_(2), False),
            (lambda m, x, y: m.weight.data.mul_(2), True),
        ):
            x = tensor(3, requires_grad=True)
            y = module(x)
            with minidl.no_grad():
                change(module, x, y)
            if fails:
                with pytest.raises(RuntimeError, match="changed in place"):
                    y.sum().backward()
            else:
                y.sum().backward()


class Looks(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        h = self.linear(x)
        return h * 2 if h.sum().item() > 0 else h


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.seen = nn.Linear(4, 4), []

    def forward(self, x):
        self.seen.append(len(self.seen))
        return self.linear(x)


class Stores(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        self.last = self.linear(x)
        return self.last.relu()


class Turns(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.turn = nn.Linear(4, 4), iter(range(10**6))

    def forward(self, x):
        h = self.linear(x)
        return h.exp() if next(self.turn) % 2 else h.tanh()


class Changes(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        with minidl.no_grad():
            x.add_(1)
        return self.linear(x)


class Outside(nn.Module):
    """Has a weight that is computed elsewhere, with a graph."""

    def __init__(self):
        super().__init__()
        self.leaf = nn.Parameter(tensor(4, 4))

    def forward(self, x):
        return x @ self.computed


class Objects(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return Result(self.linear(x))


class Result(dict):
    def __init__(self, logits):
        super().__init__(logits=logits)
        self.logits = logits


class Hooked(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        h = self.linear(x)
        h.register_hook(lambda g: g * 3)
        return h.exp()


@pytest.mark.parametrize(
    "make", [Looks, Counts, Stores, Turns, Changes, Outside, Objects, Hooked], ids=str
)
def test_what_cannot_be_captured_runs_as_the_original(make):
    eager, compiled = pair(make)

    def use(module, i):
        x = tensor(2, 4, seed=i, requires_grad=True)
        h = x * 1
        if make is Outside:
            module.computed = module.leaf * 2
        out = module(h)
        out = out.logits if make is Objects else out
        out.square().sum().backward()
        return out, h, x.grad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        both(eager, compiled, use, 9)
    assert compiled.captures == 0
    for name in ("calls", "seen", "last"):
        if hasattr(eager, name):
            found, expected = getattr(compiled, name), getattr(eager, name)
            assert bits([found]) == bits([expected]) if name == "last" else found == expected


def test_the_reason_is_said_once_or_is_an_error():
    with pytest.warns(
        RuntimeWarning, match=r"compile\(Looks\).*test_compiled_module.*item\(\) looks"
    ):
        compiled = CompiledModule(Looks())
        compiled(tensor(2, 4))
    compiled(tensor(2, 4))
    with pytest.raises(CaptureError, match="item"):
        CompiledModule(Looks(), fullgraph=True)(tensor(2, 4))


def test_shapes_that_never_repeat_are_given_up():
    compiled = CompiledModule(nn.ReLU())
    with pytest.warns(RuntimeWarning, match="of ever new kinds"):
        for size in range(1, 100):
            assert compiled(tensor(size)).shape == (size,)
    for _ in range(3):
        compiled(tensor(100))
    assert compiled.captures == 0


# --------------------------------------------------------------------------- as a module


def test_it_is_a_module_and_its_attributes_are_the_originals():
    class Net(nn.Module):
        k = 2

        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 2)
            self.modes = []

        def forward(self, x):
            return self.head(x) * self.k

        def train(self, mode=True):
            self.modes.append(mode)
            return super().train(mode)

        def reset(self):
            return "its own"

    net = Net()
    compiled = CompiledModule(net)
    assert isinstance(compiled, nn.Module) and compiled._orig_mod is net
    assert [name for name, _ in compiled.named_children()] == ["_orig_mod"]
    assert [n for n, _ in compiled.named_parameters()] == [
        "_orig_mod.head.weight",
        "_orig_mod.head.bias",
    ]
    assert compiled.reset() == "its own" and not hasattr(compiled, "nothing")
    assert compiled.training and compiled.eval() is compiled and not net.head.training
    compiled.train()
    assert net.modes == [False, True] and compiled.training
    x = tensor(2, 3)
    for _ in range(4):
        assert bits([compiled(x)]) == bits([net(x)])
    compiled.k = 7
    assert net.k == 7
    for _ in range(4):
        assert bits([compiled(x)]) == bits([net(x)])
    compiled.head = nn.Linear(3, 5)
    for _ in range(4):
        assert compiled(x).shape == (2, 5) and bits([compiled(x)]) == bits([net(x)])
    compiled.register_buffer("extra", minidl.zeros(1))
    assert "extra" in net.state_dict() and "_orig_mod.extra" in compiled.state_dict()
    del compiled.extra
    assert not hasattr(net, "extra")
    compiled.double()
    x = x.double()
    for _ in range(4):
        assert compiled(x).dtype == np.float64 and bits([compiled(x)]) == bits([net(x)])
    assert "CompiledModule(\n  (_orig_mod): Net(" in repr(compiled)
    assert {"head", "k", "captures"} <= set(dir(compiled))


def test_a_sequence_is_still_one():
    compiled = CompiledModule(MODELS["linear"]())
    assert len(compiled) == 2 and bool(compiled) and [*compiled][1] is compiled[1]
    assert bool(CompiledModule(nn.ReLU()))


def test_states_go_both_ways():
    eager, compiled = pair(MODELS["convolutions"])
    before = compiled.state_dict()
    assert set(before) == {f"_orig_mod.{name}" for name in eager.state_dict()}
    doubled = {name: t * 2 for name, t in eager.state_dict().items()}
    compiled.load_state_dict(doubled)
    eager.load_state_dict({n.removeprefix("_orig_mod."): t for n, t in before.items()})
    assert state(eager) == state(compiled)
    with pytest.raises(RuntimeError, match="nothing"):
        compiled.load_state_dict({**doubled, "nothing": minidl.zeros(1)})
    assert compiled.load_state_dict({}, strict=False).missing_keys[0] == "_orig_mod.0.weight"


def test_loaded_parameters_are_seen():
    eager, compiled = pair(MODELS["linear"])

    def use(module, i):
        if i % 3 == 2:
            module.load_state_dict({k: v * 0.5 for k, v in module.state_dict().items()})
        out = module(tensor(3, 192, seed=i))
        out.square().sum().backward()
        return [out]

    both(eager, compiled, use, 9)
    assert compiled.captures == 1


def test_copies_and_pickles():
    _, compiled = pair(MODELS["dropout"])
    x = tensor(3, 192)
    for _ in range(4):
        compiled(x).sum().backward()
    for twin in (copy.deepcopy(compiled), pickle.loads(pickle.dumps(compiled))):
        assert type(twin) is CompiledModule and twin.captures == 0
        assert twin[1].weight is not compiled[1].weight

        def use(module, i):
            module.zero_grad()
            out = module(x)
            out.sum().backward()
            return [out]

        both(compiled, twin, use)
        assert twin.captures == 1


def test_as_a_part_of_another_module():
    class Outer(nn.Module):
        def __init__(self, wrap):
            super().__init__()
            self.first = nn.Linear(4, 8)
            self.inner = wrap(Residual())

        def forward(self, x):
            return self.inner(self.first(x))

    minidl.manual_seed(0)
    compiled = Outer(CompiledModule)
    eager = Outer(lambda module: module)
    eager.load_state_dict(
        {k.replace("inner._orig_mod", "inner"): v for k, v in compiled.state_dict().items()}
    )
    optimizers = {m: OPTIMIZERS["adamw"](m.parameters()) for m in (eager, compiled)}

    def use(module, i):
        optimizers[module].zero_grad()
        out = module(tensor(3, 4, seed=i))
        out.square().sum().backward()
        optimizers[module].step()
        return [out]

    both(eager, compiled, use, 7)
    assert compiled.inner.captures == 1
    both(eager, CompiledModule(compiled), use := lambda m, i: [m(tensor(3, 4, seed=i))])
    assert compiled.eval().inner.training is False


def test_inside_a_compiled_step_it_is_the_original():
    eager, compiled = pair(MODELS["linear"])
    optimizers = {m: OPTIMIZERS["momentum"](m.parameters()) for m in (eager, compiled)}

    @minidl.compile
    def step(x, y):
        optimizers[compiled].zero_grad()
        loss = F.cross_entropy(compiled(x), y)
        loss.backward()
        optimizers[compiled].step()
        return loss

    def plain(x, y):
        optimizers[eager].zero_grad()
        loss = F.cross_entropy(eager(x), y)
        loss.backward()
        optimizers[eager].step()
        return loss

    for x, y in batches(6):
        assert bits([step(x, y)]) == bits([plain(x, y)])
    assert state(eager) == state(compiled)
    assert step.captures == 1 and compiled.captures == 0


def test_under_a_profiler():
    eager, compiled = pair(MODELS["pooled"])

    def use(module, i):
        out = module(tensor(3, 3, 8, 8, seed=i))
        out.square().sum().backward()
        return [out]

    both(eager, compiled, use, 4)
    with minidl.profiler.profile() as profile:
        both(eager, compiled, use, 2)
    assert compiled.captures == 1 and profile is not None


# --------------------------------------------------------------------------- memory


def leases(compiled):
    gc.collect()
    recordings = [r for kind in compiled._calls.kinds.values() for r in kind.recordings]
    return [lease for recording in recordings for lease in recording.leases]


def test_graphs_lease_memory_until_they_are_released():
    _, compiled = pair(MODELS["pooled"], audit=0)
    x = tensor(3, 3, 8, 8)
    for _ in range(3):
        compiled(x).sum().backward()
    outs = [compiled(x) for _ in range(5)]
    assert sum(not lease.is_free for lease in leases(compiled)) == 5
    outs[0].sum().backward(retain_graph=True)
    outs[1].sum().backward()
    assert sum(not lease.is_free for lease in leases(compiled)) == 4
    del outs
    assert all(lease.is_free for lease in leases(compiled))
    for _ in range(200):
        compiled(x).sum().backward()
    assert len(leases(compiled)) == 1


def test_no_growth_and_no_garbage():
    _, compiled = pair(MODELS["convolutions"])
    x = tensor(3, 3, 8, 8)

    def step():
        out = compiled(x)
        out.square().sum().backward()
        compiled.zero_grad()
        with minidl.no_grad():
            compiled(x)
        return weakref.ref(out.array)

    for _ in range(6):
        step()
    gc.collect()
    gc.disable()
    try:
        before = len(gc.get_objects())
        dead = [step() for _ in range(200)]
        assert all(ref() is None for ref in dead)
        assert len(gc.get_objects()) - before < 250  # the references themselves, mostly
    finally:
        gc.enable()
    assert len(leases(compiled)) == 1


def test_recorded_runs_and_plans_are_freed():
    _, compiled = pair(MODELS["pooled"])
    gc.collect()
    gc.disable()
    try:
        dead = []
        for _ in range(4):
            x = tensor(3, 3, 8, 8, requires_grad=True)
            out = compiled(x)
            dead += [weakref.ref(x), weakref.ref(out), weakref.ref(out.array)]
            out.sum().backward()
        del x, out
        assert all(ref() is None for ref in dead)
        plan = weakref.ref(leases(compiled)[0])
        assert type(plan()) is Lease
        del compiled
        assert plan() is None
    finally:
        gc.enable()


# --------------------------------------------------------------------------- modules at random

UNARY = [
    lambda t: t.exp() / 8,
    lambda t: t.relu(),
    lambda t: t * 0.5 + 1,
    lambda t: t.reshape(4, 3).t().reshape(3, 4),
    lambda t: t - t.mean(1, keepdim=True),
    lambda t: F.softmax(t, 1),
    lambda t: F.dropout(t, 0.3),
    lambda t: F.layer_norm(t, (4,)),
    lambda t: t[:, [1, 0, 3, 2]],
    lambda t: minidl.where(t > 0, t, -t),
    lambda t: minidl.cat([t[:, :2], t[:, 2:] * 2], 1),
    lambda t: t.t().contiguous().t(),
]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a @ b.t() @ b,
    lambda a, b: minidl.maximum(a, b),
]


class Drawn(nn.Module):
    def __init__(self, program, outputs):
        super().__init__()
        self.weight, self.program, self.outputs = nn.Parameter(tensor(3, 4)), program, outputs

    def forward(self, x):
        values = [x, self.weight]
        for unary, binary, one, other in self.program:
            a, b = values[one % len(values)], values[other % len(values)]
            value = BINARY[binary](UNARY[unary](a), b)
            values.append(value / (1 + value.abs().detach().max()))
        return tuple(values[i % len(values)] for i in self.outputs)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 3), st.integers(0, 9), st.integers(0, 9)),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.booleans(),
)
def test_drawn_modules_give_the_same_bits(program, outputs, mean):
    eager, compiled = pair(lambda: Drawn(program, outputs))

    def use(module, i):
        x = tensor(3, 4, seed=i, requires_grad=True)
        h = x * 2
        first, second = module(h), module(x)
        parts = [*first, *(a * b for a, b in zip(first, second)), h * x]
        loss = sum(part.mean() if mean else part.square().sum() for part in parts)
        loss.backward()
        return [*first, *second, x.grad]

    both(eager, compiled, use, 7)
