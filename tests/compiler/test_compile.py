"""Compiled steps: the same bits as eager ones, and never anything stale."""

import gc
import random
import time
import tracemalloc
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minidl
from minidl import nn
from minidl.compiler import CaptureError
from minidl.compiler.trace import Call
from minidl.nn import functional as F

MODELS = {
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 7)),
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(54, 7)
    ),
    "batch norm": lambda: nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 7),
    ),
    "dropout": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Dropout(0.4), nn.GELU()),
    "layer norm": lambda: nn.Sequential(nn.Flatten(), nn.LayerNorm(192), nn.Linear(192, 7)),
}
OPTIMIZERS = {
    "sgd": lambda p: minidl.optim.SGD(p, lr=0.1),
    "momentum": lambda p: minidl.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adamw": lambda p: minidl.optim.AdamW(p, lr=0.01),
}


class Training:
    """A network and its optimizer, made the same way every time, and its step."""

    def __init__(self, model, optimizer, **options):
        minidl.manual_seed(1)
        self.model = model()
        self.optimizer = optimizer(self.model.parameters())
        self.schedule = minidl.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)
        self.options = options

    def step(self, x, y):
        self.optimizer.zero_grad()
        logits = self.model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        if "clip" in self.options:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.options["clip"])
        self.optimizer.step()
        if "schedule" in self.options:
            self.schedule.step()
        return loss, logits

    def state(self):
        tensors = [*self.model.state_dict().values()]
        tensors += [p.grad for p in self.model.parameters()]
        return [tensor.array.copy() for tensor in tensors]


def batches(count, size=3, classes=7, seed=0):
    rng = np.random.default_rng(seed)
    for _ in range(count):
        x = rng.standard_normal((size, 3, 8, 8)).astype(np.float32)
        yield minidl.tensor(x), minidl.tensor(rng.integers(0, classes, size))


def same_bits(one, other):
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in zip(one, other))


def assert_same_training(eager, compiled, steps=6, size=3):
    """Both train on the same batches, with the same random numbers, to the same bits."""
    step = minidl.compile(compiled.step)
    for i, (x, y) in enumerate(batches(steps, size)):
        minidl.manual_seed(i)
        expected = eager.step(x, y)
        minidl.manual_seed(i)
        found = step(x, y)
        assert same_bits([t.array for t in found], [t.array for t in expected]), f"step {i}"
        assert same_bits(compiled.state(), eager.state()), f"step {i}"
    return step


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_same_bits_as_eager(model, optimizer):
    pair = [Training(MODELS[model], OPTIMIZERS[optimizer]) for _ in range(2)]
    step = assert_same_training(*pair)
    assert step.captures == 1


@pytest.mark.parametrize("options", [{"clip": 0.5}, {"schedule": True}])
def test_clipping_and_schedules_in_the_step(options):
    pair = [Training(MODELS["linear"], OPTIMIZERS["momentum"], **options) for _ in range(2)]
    assert_same_training(*pair)
    assert pair[0].optimizer.param_groups[0]["lr"] == pair[1].optimizer.param_groups[0]["lr"]


def test_learning_rates_and_dropout_go_on():
    run = Training(MODELS["dropout"], OPTIMIZERS["sgd"])
    step = minidl.compile(run.step)
    (x, y), *_ = batches(1)
    outputs = [step(x, y)[1].numpy() for _ in range(5)]
    assert not np.array_equal(outputs[3], outputs[4])
    run.optimizer.param_groups[0]["lr"] = 0.0
    before = run.state()[0]
    step(x, y)
    assert np.array_equal(run.state()[0], before)


def test_running_statistics_move_in_every_repetition():
    run = Training(MODELS["batch norm"], OPTIMIZERS["sgd"])
    step = minidl.compile(run.step)
    for x, y in batches(5):
        step(x, y)
    assert run.model[1].num_batches_tracked.item() == 5


def test_new_shapes_and_modes_are_captured_anew():
    run = Training(MODELS["batch norm"], OPTIMIZERS["sgd"])
    twin = Training(MODELS["batch norm"], OPTIMIZERS["sgd"])
    step = minidl.compile(run.step)
    for size in (3, 5):
        for x, y in batches(4, size):
            assert same_bits([step(x, y)[0].array], [twin.step(x, y)[0].array])
    assert step.captures == 2

    infer = minidl.compile(lambda x: run.model(x))
    with minidl.no_grad():
        for training in (True, False, True, False):
            run.model.train(training), twin.model.train(training)
            for x, _ in batches(3):
                assert same_bits([infer(x).array], [twin.model(x).array])
    assert infer.captures == 2  # and neither a third time


def test_half_precision_is_another_capture():
    double = minidl.compile(lambda x: x * 2 + 1)
    for dtype in (np.float32, np.float64):
        for _ in range(4):
            assert double(minidl.tensor(np.ones(3, dtype))).dtype == dtype
    assert double.captures == 2


def test_the_number_of_plans_is_bounded():
    step = minidl.compile(lambda x: x + 1)
    for size in range(1, 30):
        for _ in range(3):
            step(minidl.zeros(size))
    assert sum(map(len, step._plans.values())) == 16
    assert step(minidl.zeros(1)).shape == (1,)


def test_gradients_add_up_where_the_step_does_not_reset_them():
    weight, twin = (minidl.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    step = minidl.compile(lambda x: (x * weight).sum().backward())
    for i in range(6):
        x = minidl.tensor([float(i), 1.0])
        step(x)
        (x * twin).sum().backward()
        assert same_bits([weight.grad.array], [twin.grad.array])
    weight.grad = twin.grad = None  # and afresh
    for i in range(5):
        x = minidl.tensor([float(i), 1.0])
        step(x)
        (x * twin).sum().backward()
        assert same_bits([weight.grad.array], [twin.grad.array])


def test_gradients_that_are_reset_at_times():
    weight, twin = (minidl.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    step = minidl.compile(lambda x: (x * weight).sum().backward())
    for i in range(12):
        if i < 5 or i % 3 == 0:
            weight.grad = twin.grad = None
        x = minidl.tensor([float(i), 1.0])
        step(x)
        (x * twin).sum().backward()
        assert same_bits([weight.grad.array], [twin.grad.array]), i


def test_places_of_maxima_that_are_used_elsewhere():
    minidl.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3)

    def step(x):
        pooled, places = F.max_pool2d(F.relu(conv(x)), 2, return_indices=True)
        return pooled, places

    compiled = minidl.compile(step)
    with minidl.no_grad():
        for x, _ in batches(4):
            found, expected = compiled(x), step(x)
            assert same_bits([t.array for t in found], [t.array for t in expected])


def test_gradients_reset_outside_the_step():
    run, twin = (Training(MODELS["convolutions"], OPTIMIZERS["sgd"]) for _ in range(2))

    def step(x, y, run=run):
        loss = F.cross_entropy(run.model(x), y)
        loss.backward()
        return loss

    compiled = minidl.compile(step)
    for x, y in batches(6):
        for function, side in ((compiled, run), (lambda x, y: step(x, y, twin), twin)):
            side.optimizer.zero_grad()
            function(x, y)
            side.optimizer.step()
        assert same_bits(run.state(), twin.state())


def test_results_are_not_overwritten_by_the_next_call():
    run = Training(MODELS["convolutions"], OPTIMIZERS["sgd"])
    step = minidl.compile(run.step)
    kept = [step(x, y) for x, y in batches(6)]
    copies = [tuple(t.numpy().copy() for t in pair) for pair in kept]
    for x, y in batches(3, seed=1):
        step(x, y)
    for pair, copied in zip(kept, copies):
        assert same_bits([t.array for t in pair], copied)


def test_parameters_that_are_loaded_or_replaced_are_seen():
    run, twin = (Training(MODELS["linear"], OPTIMIZERS["sgd"]) for _ in range(2))
    infer = minidl.compile(lambda x: run.model(x))
    (x, _), *_ = batches(1)
    with minidl.no_grad():
        for _ in range(3):
            infer(x)
        state = {k: v * 2 for k, v in run.model.state_dict().items()}
        run.model.load_state_dict(state), twin.model.load_state_dict(state)
        assert same_bits([infer(x).array], [twin.model(x).array])
        for side in (run, twin):
            side.model[1].weight = nn.Parameter(minidl.ones(7, 192))
        for _ in range(3):
            assert same_bits([infer(x).array], [twin.model(x).array])
        run.model[1].weight.data = minidl.zeros(7, 192)
        assert np.array_equal(infer(x).numpy()[0], run.model[1].bias.detach().numpy())


# --------------------------------------------------------------------------- the guard


def line_of(text):
    """The number of the only line of this file that ends with the comment ``text``."""
    with open(__file__) as file:
        (number,) = [i for i, line in enumerate(file, 1) if line.endswith(f"# {text}\n")]
    return number


def fails_at(text):
    return pytest.raises(CaptureError, match=f"test_compile.py:{line_of(text)}: ")


def test_a_look_at_a_value():
    def step(x):
        total = x.sum()
        if total.item() > 0:  # looks at a value
            x = x + 1
        return x

    with fails_at("looks at a value"):
        minidl.compile(step)(minidl.ones(2))
    for how in (float, bool, int, repr, np.asarray, lambda t: t.tolist(), lambda t: t.numpy()):
        with pytest.raises(CaptureError, match="looks at a value"):
            minidl.compile(lambda x, how=how: how(x.sum()))(minidl.ones(2))


def test_a_mask_as_an_index():
    def step(x):
        return x[x > 0].sum()  # a shape that depends on values

    with fails_at("a shape that depends on values"):
        minidl.compile(step)(minidl.ones(2))


factor = 2.0


def test_a_changed_global():
    global factor

    def step(x):
        return x * factor  # names a global

    compiled = minidl.compile(step)
    try:
        for factor in (2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 4.0, 4.0, 4.0, 5.0, 6.0):
            assert compiled(minidl.ones(1)).item() == factor
    finally:
        factor = 2.0
    assert compiled.captures == 3  # the third makes it an input: it is then any number
    assert f"test_compile.py:{line_of('names a global')}, changed from 2.0" in compiled.report()


def test_a_changed_variable():
    scale = 2.0

    def step(x):
        return x * scale

    compiled = minidl.compile(step)
    for scale in (2.0, 2.0, 2.0, 3.0, 3.0, 2.0):
        assert compiled(minidl.ones(1)).item() == scale


def test_a_changed_attribute_and_a_changed_list():
    class Settings:
        scale = 1.0

        def __init__(self):
            self.weights = [1.0, 2.0]

    settings = Settings()

    def step(x):
        return x * settings.scale * settings.weights[0]

    for change in (
        lambda: setattr(settings, "scale", 4.0),
        lambda: setattr(Settings, "scale", 5.0),
        lambda: settings.weights.__setitem__(0, 7.0),
        lambda: setattr(settings, "weights", [8.0]),
    ):
        vars(settings).clear()
        settings.__init__()
        compiled = minidl.compile(step)
        for _ in range(4):
            compiled(minidl.ones(1))
        change()
        for _ in range(4):
            assert compiled(minidl.ones(1)).item() == step(minidl.ones(1)).item()
        assert compiled.captures == 2


def test_requires_grad_is_set_in_each_replay():
    def run(compile):
        weight = minidl.ones(2)

        def step(x):
            y = (x * weight).sum()
            weight.requires_grad_(True)
            return y.detach()

        step, facts = compile(step), []
        for _ in range(6):
            weight.requires_grad_(False)
            step(minidl.ones(2))
            facts.append(weight.requires_grad)
        return facts

    assert run(minidl.compile) == run(lambda step: step) == [True] * 6


def test_hooks_that_a_step_leaves_behind_are_refused():
    weight = minidl.ones(2, requires_grad=True)
    with pytest.raises(CaptureError, match=r"register_hook\(\) of a tensor from outside"):
        minidl.compile(lambda x: weight.register_hook(lambda g: g * 2) and x)(minidl.ones(2))


def test_defaults_of_a_function_without_reads():
    def factor(*, value=2.0):
        return value

    step = minidl.compile(lambda x: x * factor())
    for value in (2.0, 2.0, 2.0, 3.0, 3.0, 4.0):
        factor.__kwdefaults__["value"] = value
        assert step(minidl.ones(1)).item() == value


def test_what_the_step_itself_counts_and_keeps():
    count, losses = 0, []

    def step(x):
        nonlocal count
        count += 1
        losses.append((x * count).detach())
        return x * 100 if count % 4 == 0 else x * 2

    compiled = minidl.compile(step)
    for i in range(1, 17):
        assert compiled(minidl.ones(1)).item() == (100 if i % 4 == 0 else 2)
        assert count == len(losses) == i and losses[-1].item() == i
    assert compiled.captures == 2  # one for each way


@pytest.mark.parametrize("source", [random.random, time.perf_counter, iter(range(9)).__next__])
def test_numbers_from_elsewhere(source):
    def step(x):
        return x * source()  # a number from elsewhere

    compiled = minidl.compile(step)
    with fails_at("a number from elsewhere"):
        for _ in range(6):
            compiled(minidl.ones(1))


def test_data_of_the_host():
    def step(x):
        noise = minidl.from_numpy(np.random.default_rng(0).random(2))  # NumPy's numbers
        return x + noise

    with fails_at("NumPy's numbers"):
        minidl.compile(step)(minidl.ones(2))
    with pytest.raises(CaptureError, match="looks at a value"):
        minidl.compile(lambda x: x + minidl.autograd.wrap(x.array + 1))(minidl.ones(2))


def test_constants_may_be_made_inside():
    compiled = minidl.compile(lambda x: x + minidl.tensor([1.0, 2.0]) + minidl.zeros(2))
    for i in range(5):
        assert compiled(minidl.full((2,), float(i))).tolist() == [i + 1.0, i + 2.0]


def test_a_step_that_takes_another_way_each_time():
    turn = iter(range(100))

    def step(x):
        return x.exp() if next(turn) % 2 else x.log()  # another way

    compiled = minidl.compile(step)
    with fails_at("another way"):
        for _ in range(6):
            compiled(minidl.ones(1))


def test_a_result_with_a_graph_is_refused():
    weight = minidl.ones(2, requires_grad=True)
    with pytest.raises(CaptureError, match=r"backward\(\) has not used"):
        minidl.compile(lambda x: (x * weight).sum())(minidl.ones(2))
    with pytest.raises(CaptureError, match="result of mul, whose graph"):
        minidl.compile(lambda x: x * 2)(weight * 2)


def test_labels_are_checked_in_every_repetition():
    step = minidl.compile(lambda x, y: F.cross_entropy(x, y))
    for label in (0, 1, 2, 0):
        step(minidl.zeros(2, 3), minidl.tensor([label, 1]))
    with pytest.raises(IndexError, match="label 5 is outside"):
        step(minidl.zeros(2, 3), minidl.tensor([5, 1]))


def test_changes_in_place_are_noticed_by_other_graphs():
    run = Training(MODELS["linear"], OPTIMIZERS["sgd"])
    step = minidl.compile(run.step)
    for x, y in batches(4):
        step(x, y)
    other = (run.model[1].weight * run.model[1].weight).sum()
    for x, y in batches(1):
        step(x, y)
    with pytest.raises(RuntimeError, match="changed in place"):
        other.backward()


def test_numbers_and_structures_as_arguments():
    def step(parts, scale, *, negative=False):
        total = parts["a"] * scale + parts["b"][0]
        return {"sum": -total if negative else total, "parts": [total, parts["a"]]}

    compiled = minidl.compile(step)
    for scale in (1.0, 2.0):
        for negative in (False, True):
            for i in range(4):
                parts = {"a": minidl.full((2,), float(i)), "b": (minidl.ones(2),)}
                found = compiled(parts, scale, negative=negative)
                expected = step(parts, scale, negative=negative)
                assert found["sum"].tolist() == expected["sum"].tolist()
                assert found["parts"][1].tolist() == expected["parts"][1].tolist()
    with pytest.raises(CaptureError, match="arguments of a compiled step"):
        compiled({"a": minidl.ones(1), "b": (np.ones(1),)}, 1.0)


def test_one_tensor_in_two_places():
    step = minidl.compile(lambda a, b: a - b)
    one, two = minidl.ones(2), minidl.full((2,), 2.0)
    for _ in range(4):
        assert step(one, one).tolist() == [0, 0]
        assert step(two, one).tolist() == [1, 1]


def test_random_tensors_are_drawn_anew():
    step = minidl.compile(lambda x: x + minidl.rand(4) + minidl.randint(0, 9, (4,)))
    for i in range(5):
        minidl.manual_seed(i)
        expected = minidl.ones(4) + minidl.rand(4) + minidl.randint(0, 9, (4,))
        minidl.manual_seed(i)
        assert same_bits([step(minidl.ones(4)).array], [expected.array])


# --------------------------------------------------------------------------- steps at random

UNARY = [
    lambda t: t.exp(),
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
]
BINARY = [
    lambda a, b: a + b,
    lambda a, b: a * b,
    lambda a, b: a @ b.t() @ b,
    lambda a, b: minidl.maximum(a, b),
]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 3), st.booleans()), max_size=6))
def test_drawn_steps_give_the_same_bits(program):
    def training():
        minidl.manual_seed(0)
        weight = minidl.randn(3, 4, requires_grad=True)
        optimizer = minidl.optim.SGD([weight], lr=0.01, momentum=0.5)

        def step(x):
            optimizer.zero_grad()
            t = x
            for unary, binary, first in program:
                t = UNARY[unary](t)
                t = BINARY[binary](t, weight) if first else BINARY[binary](weight, t)
                t = t / (1 + t.abs().detach().max())
            loss = (t * weight).sum()
            loss.backward()
            optimizer.step()
            return loss, t.detach()

        return step, weight

    (step, weight), (twin, twin_weight) = training(), training()
    compiled = minidl.compile(step)
    rng = np.random.default_rng(1)
    for i in range(5):
        x = minidl.tensor(rng.standard_normal((3, 4)).astype(np.float32))
        minidl.manual_seed(i)
        found = compiled(x)
        minidl.manual_seed(i)
        expected = twin(x)
        assert same_bits([t.array for t in found], [t.array for t in expected])
        assert same_bits([weight.array], [twin_weight.array])


def test_the_arrays_of_recorded_runs_are_freed():
    weight = minidl.ones(4, requires_grad=True)
    kept = []

    def step(x):
        weight.grad = None
        y = (x * weight).exp()
        kept.append(weakref.ref(y.array))
        y.sum().backward()
        return y.detach()

    compiled = minidl.compile(step)
    for _ in range(2):
        with pytest.raises(CaptureError, match="a ReferenceType that the step makes"):
            compiled(minidl.ones(4))
    gc.collect()
    assert len(kept) == 2 and not any(ref() is not None for ref in kept)


def test_a_function_without_source_keeps_no_recording():
    function = eval("lambda x: x * 3", {"__builtins__": {}})
    function = type(function)(function.__code__.replace(co_firstlineno=77), {})
    step = minidl.compile(lambda x: function(x * 2))
    for _ in range(2):
        with pytest.raises(CaptureError, match="its source is not known"):
            step(minidl.ones(3))
    del step
    gc.collect()
    assert not [o for o in gc.get_objects() if type(o) is Call and o.name == "mul"]


def test_a_plan_keeps_no_recording():
    step = minidl.compile(lambda x: (x * 2).sum())
    for _ in range(4):
        step(minidl.ones(3))
    assert step.captures == 1
    gc.collect()
    alive = [o for o in gc.get_objects() if type(o) is Call]
    assert not [call for call in alive if call.name in ("mul", "sum")]


@pytest.mark.parametrize("model", ["convolutions", "batch norm"])
def test_recorded_arrays_are_freed_without_the_collector(model):
    (x, y), *_ = batches(1, 400)
    for _ in range(2):  # once for all kernels to be compiled
        step = minidl.compile(Training(MODELS[model], OPTIMIZERS["sgd"]).step)
        left, most = memory_of(step, x, y)
    assert step.captures == 1
    # what is left is the plan's own memory, far less than the arrays of the recorded run
    assert left < 0.6 * most


def memory_of(step, x, y):
    """The bytes that are left by three calls, without the collector, and that were at most."""
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(3):
            step(x, y)
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
