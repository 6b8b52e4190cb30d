"""Objects that go into a compiled step and leave it: identity, aliasing, memory, errors.

Each program is a generator: given `minidl.compile` or a function that does nothing, it yields what
an eager and a compiled copy must agree on after each call.
"""

import collections
import dataclasses
import types

import numpy as np
import pytest

import minidl
from minidl import nn
from minidl.compiler import CaptureError
from minidl.nn import functional as F


def tensor(*values):
    return minidl.tensor(np.array(values, np.float32))


# --------------------------------------------------------------------------- gradients


def kept_gradients(compile):
    layer, kept = nn.Linear(1, 1, bias=False), []

    @compile
    def task(x):
        layer.zero_grad()
        layer(x).sum().backward()

    for i in range(6):
        task(tensor([float(i)]))
        kept.append(layer.weight.grad)
        yield [gradient.item() for gradient in kept]


def kept_memory_of_gradients(compile):
    layer, kept = nn.Linear(2, 1, bias=False), []

    @compile
    def task(x):
        layer.zero_grad()
        layer(x).sum().backward()

    for i in range(8):
        task(tensor([float(i), 1.0]))
        gradient = layer.weight.grad
        kept.append((gradient.numpy(), gradient.detach(), gradient[0, :1])[i % 3])
        yield [np.asarray(each).tolist() for each in kept]


def gradient_as_an_argument(compile):
    layer, gradient = nn.Linear(1, 1, bias=False), minidl.zeros(1, 1)

    @compile
    def step(x, last):
        layer.zero_grad()
        layer(x).sum().backward()
        return (layer.weight.grad * last).sum()

    for i in range(6):
        yield step(tensor([float(i + 1)]), gradient).item()
        gradient = layer.weight.grad


def gradient_that_is_stored(compile):
    layer, kept = nn.Linear(1, 1, bias=False), []

    @compile
    def step(x):
        layer.zero_grad()
        layer(x).sum().backward()
        kept.append(layer.weight.grad)

    for i in range(6):
        step(tensor([float(i)]))
        yield kept[-1] is layer.weight.grad, [gradient.item() for gradient in kept]


# --------------------------------------------------------------------------- arguments


@dataclasses.dataclass
class Trainer:
    lr: float
    steps: int = 0

    def step(self, x):
        self.steps += 1
        return x * self.lr


def method_of_a_dataclass(compile):
    trainer, step = Trainer(0.1), compile(Trainer.step)
    for trainer.lr in (1.0, 2.0, 3.0, 3.0, 4.0, 5.0, 6.0, 6.0):
        yield step(trainer, tensor(1.0)).item(), trainer.steps


def identity_of_a_tensor(compile):
    first, second = tensor(1.0), tensor(1.0)
    step = compile(lambda x: x * (2 if x is first else 3))
    for x in (first, first, first, second, second, second, first):
        yield step(x).item()


def state_by_parameter(compile):
    first, second = tensor(0.0), tensor(0.0)
    rates = {first: 0.1, second: 0.5}

    @compile
    def update(p, g):
        p.sub_(g * rates[p])

    for p in (first, first, first, second, second, second):
        update(p, tensor(1.0))
        yield first.item(), second.item()


def ranges(compile):
    step = compile(lambda x, some: x * len(some))
    for n in (1, 1, 1, 2, 2, 3):
        yield step(tensor(1.0), range(n)).item()


def methods(compile):
    objects = [types.SimpleNamespace(k=k) for k in (1.0, 2.0)]

    class Scale:
        def __init__(self, state):
            self.state = state

        def apply(self, x):
            return x * self.state.k

    scales = [Scale(state) for state in objects]
    step = compile(lambda x, function: function(x))
    for i in (0, 0, 0, 0, 1, 1, 0):
        yield step(tensor(1.0), scales[i].apply).item()


def integers_of_numpy(compile):
    def power(x, n):
        for _ in range(n):
            x = x * 2
        return x

    step = compile(power)
    for n in (1, 1, 1, 3, 3, 2, 1, 2):
        yield step(tensor(1.0), np.int64(n)).item()


class Batch(dict):
    def __getattr__(self, name):
        return self[name]


def attribute_of_a_batch(compile):
    step = compile(lambda batch: batch["x"] * batch.scale)
    for scale in (1, 1, 1, 2, 1, 3):
        batch = collections.OrderedDict(x=tensor(1.0))
        batch.scale = scale
        yield step(batch).item()


def numbers_in_a_batch(compile):
    step = compile(lambda batch: batch.x * batch.weight)
    for i in range(7):
        yield step(Batch(x=tensor(1.0), weight=0.5 * i)).item()


def attribute_of_a_parameter(compile):
    class Scaled(nn.Parameter):
        pass

    step = compile(lambda p: p.detach() * p.scale)
    for scale in (1, 1, 1, 2, 2, 1):
        parameter = Scaled(tensor(1.0))
        parameter.scale = scale
        yield step(parameter).item()


def argument_that_is_a_global_as_well(compile):
    options = {"k": 2}
    step = compile(lambda x, given: x * options["k"])
    for _ in range(3):
        yield step(tensor(1.0), options).item()
    options["k"] = 9
    yield step(tensor(1.0), {"k": 2}).item()


def keys_of_a_dict(compile):
    step = compile(list)
    step = compile(lambda d: (d["x"], [type(key).__name__ for key in d]))
    for key in (1, 1, 1, True, 1.0, 1):
        yield step({"x": tensor(1.0), key: tensor(2.0)})[1]


def graph_that_is_used_up(compile):
    step = compile(lambda x: (x * 1, x.is_leaf))
    for i in range(5):
        x = tensor(1.0).requires_grad_()
        if i > 2:
            x = x * 1
            x.sum().backward()
        with minidl.no_grad():
            yield step(x)[1]


# --------------------------------------------------------------------------- results and writes


def stored_and_returned(compile):
    state = types.SimpleNamespace()

    @compile
    def step(x):
        state.last = x.sum()
        return state.last

    for _ in range(6):
        result = step(tensor(1.0))
        result.zero_()
        yield state.last.item(), result is state.last


def stored_twice(compile):
    state = types.SimpleNamespace()

    @compile
    def step(x):
        state.a = state.b = x * 2
        state.c = {"values": [state.a]}
        return state.c

    for i in range(6):
        step(tensor(1.0))["epoch"] = i
        state.a.zero_()
        yield state.b.item(), state.c["epoch"], state.c["values"][0] is state.b


def references_to_parameters(compile):
    weight, state = nn.Parameter(tensor(1.0)), types.SimpleNamespace()

    @compile
    def step(x):
        state.reference = {"w": weight.detach(), "itself": weight}
        return x * 1

    for _ in range(6):
        step(tensor(1.0))
        weight.data.add_(1.0)
        yield state.reference["w"].item(), state.reference["itself"] is weight


def argument_that_is_stored(compile):
    queue, batches = [], []

    @compile
    def step(batch):
        queue.append(batch["x"])
        batches.append(batch)
        return batch

    for _ in range(6):
        x = tensor(1.0)
        batch = {"x": x, "k": 1}
        result = step(batch)
        x.zero_()
        yield queue[-1].item(), queue[-1] is x, batches[-1] is batch, result is batch


def sets_and_deques(compile):
    state = types.SimpleNamespace()

    @compile
    def step(x):
        state.queue = collections.deque([1, 2], maxlen=5)
        return {1}

    for i in range(7):
        result = step(tensor(1.0))
        yield sorted(result), list(state.queue)
        if i > 2:
            result.add(i)
            state.queue.append(i)


def detached_parameter(compile):
    weight = nn.Parameter(tensor(1.0))
    step = compile(lambda x: (weight.detach(), x.detach(), x, weight))
    for _ in range(5):
        x = tensor(2.0)
        a, b, c, d = step(x)
        a.add_(1.0)
        yield a.requires_grad, a is weight, b is x, c is x, d is weight, weight.item()


def attribute_of_the_step(compile):
    @compile
    def step(x):
        step.calls += 1
        return x

    step.calls = 0
    for i in range(7):
        if i == 5:
            step.calls = 0
        step(tensor(1.0))
        yield step.calls


def writes_by_two_paths(compile):
    state = types.SimpleNamespace()

    @compile
    def step(x):
        state.__dict__["a"] = x * 2
        state.a = 1

    for _ in range(5):
        step(tensor(1.0))
        yield state.a


def module_call_that_is_replaced(compile):
    original, log = nn.Module.__call__, []

    def traced(self, *args):
        log.append(1)
        return original(self, *args) * 2

    layer = nn.ReLU()
    step = compile(lambda x: layer(x))
    try:
        for i in range(6):
            if i == 3:
                nn.Module.__call__ = traced
            yield step(tensor(1.0)).item(), len(log)
    finally:
        nn.Module.__call__ = original


def division_that_fails(compile):
    @compile
    def step(x, n):
        try:
            return x * (6 / n)
        except ZeroDivisionError:
            return x * 100

    for n in (1, 2, 3, 4, 0, 5, 0):
        yield step(tensor(1.0), n).item()


@dataclasses.dataclass(frozen=True)
class Key:
    name: str
    index: int = 0


def frozen_dataclasses_as_keys(compile):
    rates, chosen = {Key("a"): 1.0, Key("b", 1): 2.0}, [Key("a")]

    @compile
    def step(x):
        return x * rates[chosen[0]] * {Key("a"): 3.0}.get(chosen[0], 5.0) * (Key("a") in rates)

    for i in range(9):
        chosen[0] = Key("a") if i < 4 else Key("b", 1)
        if i == 7:
            rates[Key("b", 1)] = 7.0
        yield step(tensor(1.0)).item()


PROGRAMS = [
    kept_gradients, kept_memory_of_gradients, gradient_as_an_argument, gradient_that_is_stored,
    method_of_a_dataclass, identity_of_a_tensor, state_by_parameter, ranges, methods,
    integers_of_numpy, attribute_of_a_batch, numbers_in_a_batch, attribute_of_a_parameter,
    argument_that_is_a_global_as_well, keys_of_a_dict, graph_that_is_used_up, stored_and_returned,
    stored_twice, references_to_parameters, argument_that_is_stored, sets_and_deques,
    detached_parameter, attribute_of_the_step, writes_by_two_paths, module_call_that_is_replaced,
    division_that_fails, frozen_dataclasses_as_keys,
]  # fmt: skip


@pytest.mark.parametrize("audit", [None, 0])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_compiled_copy_agrees_with_an_eager_one(program, audit):
    minidl.manual_seed(0)
    expected = list(program(lambda step: step))
    minidl.manual_seed(0)
    assert list(program(lambda step: minidl.compile(step, audit=audit))) == expected


def test_an_optimizer_that_the_step_makes_is_refused():
    weight = nn.Parameter(tensor(1.0))

    def step(x):
        optimizer = minidl.optim.SGD([weight], lr=0.1, momentum=0.9)
        (weight * x).sum().backward()
        optimizer.step()

    with pytest.raises(CaptureError, match="the step makes a SGD and steps it"):
        minidl.compile(step)(tensor(1.0))


def test_the_identity_of_a_container_among_the_arguments_is_refused():
    known = [1]
    step = minidl.compile(lambda x, some: x * (2 if some is known else 3))
    with pytest.raises(CaptureError, match="which object an argument is, a list"):
        step(tensor(1.0), known)


def test_an_error_of_a_replay_that_the_step_might_have_handled():
    state = types.SimpleNamespace(open=0)

    def step(x, labels):
        state.open += 1
        try:
            return F.cross_entropy(x, labels)
        finally:
            state.open -= 1

    step = minidl.compile(step, audit=0)
    x = tensor([1.0, 2.0])
    for _ in range(4):
        step(x, minidl.tensor([0]))
    with pytest.raises(CaptureError, match=r"replay failed with IndexError.*label 7") as error:
        step(x, minidl.tensor([7]))
    assert isinstance(error.value.__cause__, IndexError)
    assert f"{__file__}:" in str(error.value)


def test_an_error_of_a_step_that_handles_none_is_its_own():
    step = minidl.compile(F.cross_entropy, audit=0)
    x = tensor([1.0, 2.0])
    for _ in range(4):
        step(x, minidl.tensor([0]))
    with pytest.raises(IndexError, match="label 7"):
        step(x, minidl.tensor([7]))


def test_the_report_says_that_the_memory_of_a_gradient_was_in_use():
    layer = nn.Linear(1, 1, bias=False)

    @minidl.compile
    def step(x):
        layer.zero_grad()
        layer(x).sum().backward()

    kept = []
    for i in range(9):
        step(tensor([float(i)]))
        if i == 4:
            kept.append(layer.weight.grad.numpy())
    assert "the memory of a gradient of the plan before is still in use" in step.report()
