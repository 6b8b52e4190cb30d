"""What was refused, or left out, without need."""

import copy
import pickle
from types import SimpleNamespace

import minidl
from minidl import nn
from minidl.nn import functional as F
from minidl.optim import lr_scheduler
from minidl.vision import transforms as T
from steps.faults.case import linear, one, refused, script, silent


@refused
def a_counter_with_the_name_of_a_method(compile):
    class Trainer:
        def __init__(self):
            self.step = 0
            self.w = nn.Parameter(one(3))
            self.opt = minidl.optim.SGD([self.w], lr=0.1)

        def train(self, x):
            self.opt.zero_grad()
            (self.w * x).sum().backward()
            self.opt.step()

    trainer = Trainer()
    train = compile(trainer.train)
    for i in range(6):
        trainer.step = i
        train(one(i))
        yield trainer


@refused
def two_objects_with_one_name(compile):
    used, other = SimpleNamespace(k=2.0, other=None), SimpleNamespace(k=0)
    used.other = other

    def step(x):
        return x * used.k if used.other is not None else x

    step = compile(step)
    for i in range(6):
        other.k = i
        yield step(one(i))


@refused
def globals_with_the_names_of_attributes(compile):
    module = script(
        "def step(x):\n"
        "    y = (w * x).sum()\n"
        "    y.backward()\n"
        "    logs.losses\n"
        "    return lin.weight * y.detach()\n",
        w=one(2).requires_grad_(),
        lin=SimpleNamespace(weight=one(5)),
        logs=SimpleNamespace(losses=0),
        losses=[],
        epoch=0,
        item=None,
        weight=0.0,
        backward=0,
    )
    step = compile(module.step)
    for i in range(6):
        yield step(one(i))
        module.losses.append(float(i))
        module.epoch = module.item = module.weight = module.backward = i


@refused
def a_global_of_a_branch_that_is_not_taken(compile):
    module = script(
        "def step(x, debug=False):\n    if debug:\n        return x * epoch\n    return x * 2\n",
        epoch=0,
    )
    step = compile(module.step)
    for i in range(6):
        module.epoch = i
        yield step(one(i))


@refused
def an_unrelated_key_of_a_dictionary(compile):
    state = {"scale": 2.0, "epoch": 0}
    step = compile(lambda x: x * state["scale"])
    for i in range(6):
        state["epoch"] = i
        yield step(one(i))


def accumulated(compile, every, calls=12):
    w = nn.Parameter(one(3))
    optimizer = minidl.optim.SGD([w], lr=0.1)

    @compile
    def step(x):
        loss = (w * x).square().sum()
        loss.backward()
        return loss

    for i in range(calls):
        yield step(one(i + 1) / 10)
        if i % every == every - 1:
            optimizer.step()
            optimizer.zero_grad()
        yield w


@refused
def accumulation_every_second_call(compile):
    yield from accumulated(compile, 2)


@refused
def accumulation_every_third_call_by_a_flag(compile):
    w = nn.Parameter(one(3))
    optimizer = minidl.optim.SGD([w], lr=0.1)

    @compile
    def step(x, last):
        (w * x).square().sum().backward()
        if last:
            optimizer.step()
            optimizer.zero_grad()

    for i in range(12):
        step(one(i + 1) / 10, i % 3 == 2)
        yield w


@refused
def a_decorated_method(compile):
    class Trainer:
        def __init__(self, k):
            self.k = k

        @compile
        def step(self, x, *, plus=0.0):
            return x * self.k + plus

    trainers = Trainer(2.0), Trainer(3.0)
    for i in range(8):
        for trainer in trainers:
            yield trainer.step(one(i)), Trainer.step(trainer, one(i), plus=1.0)


@refused
def normalize(compile):
    step = compile(T.Normalize((0.5, 0.25), (0.5, 2.0)))
    for i in range(5):
        yield step(minidl.full((2, 3, 3), float(i)))


@refused
def random_erasing(compile):
    step = compile(T.RandomErasing(p=0.7))
    for _ in range(8):
        yield step(minidl.ones(2, 6, 6))


@silent
def batch_norm_without_momentum(compile):
    layer = nn.BatchNorm1d(2, momentum=None)
    step = compile(lambda x: layer(x).detach())
    for i in range(5):
        yield step(minidl.tensor([[1.0, 2.0], [float(i), 3.0]])), layer


@silent
def clipping_that_complains(compile):
    w = nn.Parameter(one(3))

    def step(x):
        w.grad = None
        (w * x).sum().backward()
        return nn.utils.clip_grad_norm_([w], 1.0, error_if_nonfinite=True)

    step = compile(step)
    for i in range(5):
        yield step(one(i + 1)), w


@silent
def a_plateau_inside(compile):
    w = nn.Parameter(one(3))
    optimizer = minidl.optim.SGD([w], lr=0.1)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1)

    def step(x):
        optimizer.zero_grad()
        loss = (w * x).square().sum()
        loss.backward()
        optimizer.step()
        schedule.step(loss.detach())

    step = compile(step)
    for i in range(6):
        step(one(i + 1) / 3)
        yield w, optimizer.param_groups[0]["lr"]


@refused
def a_float_that_differs_in_each_call(compile):
    step = compile(lambda x, k: x * k)
    for i in range(12):
        yield step(one(2), i / 7)


def alternating(compile):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def train(x):
        model.train()
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    @compile
    def evaluate(x):
        model.eval()
        with minidl.no_grad():
            return model(x)

    for i in range(8):
        x = minidl.tensor([[1.0, 2.0], [float(i), 3.0]])
        train(x)
        yield model
        yield evaluate(x)


@refused
def a_compiled_layer_in_a_module(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = compile(nn.Linear(2, 3))

        def forward(self, x):
            return self.inner(x)

    net = Net()
    with minidl.no_grad():
        yield net(minidl.ones(1, 2))
    yield [p.shape for p in net.parameters()]
    yield [(tuple(value.shape)) for value in net.state_dict().values()]
    with minidl.no_grad():
        yield [net(minidl.ones(1, 2)) for _ in range(4)]


@refused
def attributes_of_a_compiled_model(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.k = 2.0

        def forward(self, x):
            return F.dropout(x, 0.5, self.training) * self.k

    net = Net()
    compiled = compile(net)
    for i in range(12):
        if i == 4:
            compiled.training = False
        if i == 8:
            compiled.k = 7.0
        yield compiled(one(i)), net.k, net.training, compiled.k, compiled.training


@refused
def a_deep_copy(compile):
    model = linear(2)
    step = compile(model)
    with minidl.no_grad():
        yield [step(one(i).reshape(1, 1)) for i in range(3)]
        twin = copy.deepcopy(step)
        model.weight.fill_(5.0)
        yield [twin(one(i).reshape(1, 1)) for i in range(4)]
        yield [step(one(i).reshape(1, 1)) for i in range(4)]


@refused
def a_pickled_step(compile):
    step = compile(linear(2))
    with minidl.no_grad():
        yield [step(one(i).reshape(1, 1)) for i in range(3)]
        twin = pickle.loads(pickle.dumps(step))
        yield [twin(one(i).reshape(1, 1)) for i in range(4)]
