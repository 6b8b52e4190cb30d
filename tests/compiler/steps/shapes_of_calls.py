"""How steps are called and what they return: flags, dictionaries, named tuples, closures."""

import functools
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import minidl
from minidl import nn
from minidl.nn import functional as F
from steps import helpers
from steps.data import batch, convnet, integers, mlp, normal, pictures
from steps.example import Example, example


@example
def closure_from_a_factory(compile):
    def make_train_step(model, loss_fn, optimizer):
        def train_step(x, y):
            model.train()
            yhat = model(x)
            loss = loss_fn(y, yhat)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            return loss

        return train_step

    model = nn.Sequential(nn.Linear(1, 1))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    step = compile(make_train_step(model, nn.MSELoss(reduction="mean"), optimizer))
    return Example(step, lambda i: (normal(i, 8, 1), normal(i + 99, 8, 1)), lambda: [model])


@example
def functools_partial(compile):
    def train_step(model, optimizer, criterion, x, y, clip=None):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        return loss

    model = mlp()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)
    step = functools.partial(train_step, model, optimizer, F.cross_entropy, clip=0.5)
    return Example(compile(step), batch, lambda: [model, optimizer])


@example
def inference_by_a_lambda(compile):
    model = convnet().eval()
    predict = compile(lambda x: F.softmax(model(x), dim=1).max(dim=1))

    def step(x):
        with minidl.no_grad():
            return predict(x)

    return Example(step, lambda i: pictures(i, size=4 + i // 6)[:1], lambda: [model])


@example
def a_compiled_model(compile):
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 3))
    compiled = compile(model)

    def step(x):
        with minidl.no_grad():
            return compiled(x)

    def between(i):
        if i == 5:
            with minidl.no_grad():
                model[0].bias.fill_(0.5)
        if i == 8:
            model.append(nn.Softmax(dim=1))

    return Example(step, lambda i: (normal(i, 5, 4),), lambda: [model], between=between)


@example
def args_and_kwargs(compile):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(4, 3)

        def forward(self, *inputs, scale=1.0, **options):
            logits = self.left(inputs[0]) + self.right(inputs[-1])
            if options.get("tanh"):
                logits = logits.tanh()
            return scale * logits

    model = Net()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(y, *inputs, **options):
        loss = F.cross_entropy(model(*inputs, **options), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def args(i):
        x, y = batch(i)
        return (y, x) if i % 2 else (y, x, normal(i + 50, 6, 4))

    def kwargs(i):
        return {"tanh": True, "scale": 2.0} if i >= 6 else {}

    return Example(step, args, lambda: [model], kwargs=kwargs, calls=12)


@example
def dictionary_batches_with_other_orders(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(batch):
        names = sorted(batch)
        x = batch["a"] + 2 * batch["b"]
        loss = F.cross_entropy(model(x), batch["label"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss, names

    def args(i):
        x, y = batch(i)
        items = {"a": x, "b": normal(i + 30, 6, 4), "label": y}
        return (items if i % 4 < 2 else dict(reversed(items.items())),)

    return Example(step, args, lambda: [model], calls=12)


@example
def an_optional_mask_in_the_batch(compile):
    model = mlp()
    optimizer = minidl.optim.Adam(model.parameters(), lr=0.01)

    @compile
    def step(batch):
        losses = F.cross_entropy(model(batch["x"]), batch["y"], reduction="none")
        mask = batch.get("mask")
        loss = losses.mean() if mask is None else (losses * mask).sum() / mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    def args(i):
        x, y = batch(i)
        return ({"x": x, "y": y} if i % 3 else {"x": x, "y": y, "mask": (y > 0).float() + 0.1},)

    return Example(step, args, lambda: [model], calls=12)


@example
def helper_module(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(batch):
        loss, logs = helpers.supervised_loss(model, batch, smoothing=0.1)
        loss = loss + 0.01 * helpers.l2_penalty(model)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return {"loss": loss, **logs}

    return Example(step, lambda i: (dict(zip("xy", batch(i))),), lambda: [model])


@example
def results_in_a_named_tuple(compile):
    class StepOutput(NamedTuple):
        loss: Any
        logits: Any
        count: int

    Grads = namedtuple("Grads", ["weight", "bias"])
    model = nn.Linear(4, 3)

    @compile
    def step(x, y):
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        gradients = minidl.autograd.grad(loss, [model.weight, model.bias])
        with minidl.no_grad():
            for p, g in zip(model.parameters(), gradients):
                p -= 0.1 * g
        return StepOutput(loss, logits, len(x)), Grads(*gradients)

    return Example(step, batch, lambda: [model])


@example
def results_in_a_dataclass(compile):
    @dataclass
    class Output:
        loss: Any
        logits: Any
        name: str = "train"

    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return Output(loss.detach(), logits.detach())

    return Example(step, batch, lambda: [model])


@example
def results_in_a_model_output(compile):
    class ModelOutput(OrderedDict):
        def __getattr__(self, name):
            return self[name]

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x, labels=None):
            hidden = self.body(x).relu()
            output = ModelOutput(logits=self.head(hidden), hidden_states=(x, hidden))
            if labels is not None:
                output["loss"] = F.cross_entropy(output.logits, labels)
            return output

    model = Net()
    optimizer = minidl.optim.AdamW(model.parameters(), lr=0.01)

    @compile
    def step(x, y):
        output = model(x, labels=y)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        return output

    return Example(step, batch, lambda: [model])


@example
def iteration_index_in_a_condition(compile):
    model, ema = mlp(), mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y, iteration):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if iteration % 3 == 0:
            helpers.soft_update(ema, model, 0.5)
        return loss

    return Example(step, lambda i: (*batch(i), i), lambda: [model, ema])


@example
def learning_rate_as_a_float_argument(compile):
    model = mlp()

    @compile
    def step(x, y, lr):
        loss = F.cross_entropy(model(x), y)
        for p in model.parameters():
            p.grad = None
        loss.backward()
        with minidl.no_grad():
            for p in model.parameters():
                p.sub_(lr * p.grad)
        return loss

    return Example(step, lambda i: (*batch(i), 0.1 * 0.95**i), lambda: [model])


@example
def learning_rate_as_a_tensor_argument(compile):
    model = mlp()

    @compile
    def step(x, y, lr):
        loss = F.cross_entropy(model(x), y)
        model.zero_grad()
        loss.backward()
        with minidl.no_grad():
            for p in model.parameters():
                p.sub_(lr * p.grad)
        return loss

    return Example(step, lambda i: (*batch(i), minidl.tensor(0.1 * 0.95**i)), lambda: [model])


@example
def strings_and_flags(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y, mode="ce", update=True, detach=True):
        optimizer.zero_grad()
        logits = model(x)
        if mode == "ce":
            loss = F.cross_entropy(logits, y)
        elif mode == "entropy":
            loss = -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()
        else:
            raise ValueError(mode)
        if update:
            loss.backward()
            optimizer.step()
        return loss.detach() if detach else loss

    def kwargs(i):
        return {"mode": ["ce", "entropy"][i % 2], "update": i % 4 != 3}

    return Example(step, batch, lambda: [model], kwargs=kwargs, calls=12)


@example
def exceptions_are_caught_inside(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)
    fallback = {"used": 0}

    @compile
    def step(x, y, bias):
        logits = model(x)
        try:
            logits = logits + bias
        except (RuntimeError, ValueError):
            logits = logits + bias.mean()
        try:
            scale = fallback["scale"]
        except KeyError:
            scale = 1.0
        loss = scale * F.cross_entropy(logits, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return Example(
        step, lambda i: (*batch(i), normal(i, 3 if i % 6 < 3 else 5)), lambda: [model], calls=12
    )


@example
def seed_is_set_inside(compile):
    model = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 3))
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(x, y):
        minidl.manual_seed(1234)
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x + 0.1 * minidl.randn_like(x)), y)
        loss.backward()
        optimizer.step()
        return loss

    return Example(step, batch, lambda: [model])


@example
def batches_of_two_sizes(compile):
    model = convnet()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.05)

    @compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss * len(x)

    return Example(
        step, lambda i: pictures(i, size=3 if i % 4 == 3 else 4), lambda: [model], calls=12
    )


@example
def lists_of_pictures_of_any_number(compile):
    model = mlp()
    optimizer = minidl.optim.SGD(model.parameters(), lr=0.1)

    @compile
    def step(views, y):
        optimizer.zero_grad()
        logits = sum(model(view) for view in views) / len(views)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        return [loss]

    def args(i):
        return [normal(10 * i + k, 6, 4) for k in range(1 + i % 2)], integers(i, 3, 6)

    return Example(step, args, lambda: [model], calls=12)
